"""Q003 latest_row_values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from balancebook.assets import label
from balancebook.checks.answers import NOT_ALIKE, Answer, lasting, overdue, read_answer
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.samples import as_json
from balancebook.checks.truth import Entry, assets_in_base, entries_between
from balancebook.verdict import Json


@check("Q003", "latest_row_values")
def latest_row_values(
    ctx: Context, *, strategy: str, user_id: int | str, assets_from: str = "scan"
) -> Finding:
    """Is every cell that the balance query returns equal to the base row of the same key?

    Q001 asks whether the right rows come back; this asks whether what stands in them is true: available, held and
    time, null apart from zero.
    """
    account = ctx.account(user_id)
    assets = assets_in_base(ctx, account, assets_from).assets
    answer = read_answer(ctx, strategy, account, assets)
    wrong = _wrong_cells(ctx, account, answer)
    if wrong:
        ctx.sleep(ctx.grace_s)
        first, answer = answer, read_answer(ctx, strategy, account, assets)
        now = _wrong_cells(ctx, account, answer)
        wrong = lasting(_wrong_cells(ctx, account, first), now, "asset")
        if not wrong and (late := overdue(now)):
            return unknown(f"{strategy}: {_names(late)} {NOT_ALIKE}.", samples=late)
    counts = {"rows": len(answer), "wrong": len(wrong)}
    if wrong:
        return failed(f"{strategy}: {_names(wrong)} not as in the base.", counts=counts, samples=wrong)
    if not answer:
        return unknown(f"{strategy} returned no row for user {user_id}: no value to compare.", counts=counts)
    return passed(f"{strategy}: every cell of {len(answer)} rows equals the base.", counts=counts)


def _names(cells: Sequence[Mapping[str, Json]]) -> str:
    return enumerated(list(dict.fromkeys(str(cell["asset"]) for cell in cells)))


def _wrong_cells(ctx: Context, account: Any, answer: Answer) -> list[dict[str, Json]]:
    base = {asset: _entry_at(ctx, account, asset, row.order) for asset, row in answer.items()}
    return judge_cells(answer, base, lambda asset: label(asset, ctx.registry))


def judge_cells(
    answer: Answer, base: dict[Any, Entry | None], name: Callable[[Any], str]
) -> list[dict[str, Json]]:
    """The cells of an answer that differ from the base row of the same key, as stored. A row not in the base is one."""
    wrong: list[dict[str, Json]] = []
    for asset, row in answer.items():
        true = base[asset]
        if true is None:
            wrong.append(
                {"asset": name(asset), "order": row.order, "column": None, "base": None, "answer": None}
            )
            continue
        wrong += [
            {
                "asset": name(asset),
                "order": row.order,
                "column": cell,
                "base": as_json(getattr(true, cell)),
                "answer": as_json(getattr(row, cell)),
            }
            for cell in ("available", "held", "time")
            if getattr(true, cell) != getattr(row, cell)
        ]
    return wrong


def _entry_at(ctx: Context, account: Any, asset: Any, order: int) -> Entry | None:
    return next(iter(entries_between(ctx, account, asset, order, order)), None)
