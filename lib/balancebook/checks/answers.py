"""Reading the answer of a balance query, and reading it again after the grace period when it looks wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from balancebook import balances
from balancebook.checks.context import Context
from balancebook.checks.truth import Entry, Window
from balancebook.errors import BalancebookError
from balancebook.verdict import Json

Answer = dict[Any, Entry]
NOT_IN_BASE, NEWER = "not in the base", "newer than the base"
AHEAD = (NOT_IN_BASE, NEWER)
NOT_ALIKE = "wrong at both reads, a grace period apart, but not alike; ask again"


def read_answer(ctx: Context, strategy: str, account: Any, assets: Sequence[Any]) -> Answer:
    """The rows that a strategy returns for the account, by asset.

    Raises BalancebookError for an unknown strategy, or when an asset comes back twice.
    """
    frame = balances.read(ctx.reader, ctx.target, strategy, account, assets)
    answer = {_known(asset): Entry(_known(order), *rest) for asset, order, *rest in _rows(frame)}
    if len(answer) != len(frame):
        raise BalancebookError(f"{strategy} returned an asset twice.", "Ask for one row per asset.")
    return answer


def _known(cell: Any) -> Any:
    if cell is None:
        raise BalancebookError("A key column came back null.", "See V005: no view row can have a null key.")
    return cell


def _rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    plain = frame[["asset", "order", "available", "held", "time"]].astype(object)
    return [tuple(map(_plain, row)) for row in plain.itertuples(index=False)]


def _plain(cell: Any) -> Any:
    """As the driver decodes it: numpy's integers would wrap, and pandas' NA compares with nothing."""
    if cell is pd.NA:
        return None
    return int(cell) if isinstance(cell, np.integer) else cell


def settled_answer(
    ctx: Context, window: Window, strategy: str, account: Any, assets: Sequence[Any]
) -> tuple[Answer, Window]:
    """The answer after the grace period, by when the view has what the base had at the window's beginning."""
    ctx.sleep(ctx.grace_s)
    answer = read_answer(ctx, strategy, account, assets)
    return answer, window.extended(ctx, account, answer)


def lasting(
    first: Sequence[Mapping[str, Json]], second: Sequence[Mapping[str, Json]], *parts: str
) -> list[dict[str, Json]]:
    """The problems of the second answer that the first had too, told apart by the cells `parts`.

    Judge the first by the base as it is after the grace period: then a view that was only ahead of the replica of the
    base that was asked is excused by what the base has by now, and one that was behind by the second answer.
    """
    known = {tuple(problem[part] for part in parts) for problem in first}
    return [dict(problem) for problem in second if tuple(problem[part] for part in parts) in known]


def overdue(problems: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """The problems of a second answer that no lag excuses: what the base had a grace period before is lost, old or
    otherwise. If none of them lasted, one cannot say that the answer is right (NOT_ALIKE).

    A view that is ahead of the base, as it was read after the view, may be so each time anew.
    """
    return [
        dict(each)
        for each in problems
        if each.get("problem") not in AHEAD and each.get("column", "") is not None
    ]
