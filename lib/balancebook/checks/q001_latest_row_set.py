"""Q001 latest_row_set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from balancebook.assets import Registry, label
from balancebook.checks.answers import (
    NEWER,
    NOT_ALIKE,
    NOT_IN_BASE,
    lasting,
    overdue,
    read_answer,
    settled_answer,
)
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.truth import Entry, Window, assets_in_base, newest_entries
from balancebook.verdict import Json


@check("Q001", "latest_row_set")
def latest_row_set(ctx: Context, *, strategy: str, user_id: int | str, assets_from: str = "scan") -> Finding:
    """Does the balance query return each asset of the user once, at its highest order?

    A query can answer without an error and still lose assets: one row per partition is one row per user where the
    partition is the user. The base, asked asset by asset, says which rows there must be; nothing returned where
    nothing must be is unknown, for a query that returns nothing to anybody does that too.
    """
    account = ctx.account(user_id)
    listed = assets_in_base(ctx, account, assets_from)
    before = newest_entries(ctx, account, listed.assets)
    answer = read_answer(ctx, strategy, account, listed.assets)
    window = Window(before, before).extended(ctx, account, answer)
    problems = judge_set(answer, window, ctx.registry)
    if problems:
        first = answer
        answer, window = settled_answer(ctx, window, strategy, account, listed.assets)
        earlier, now = (judge_set(each, window, ctx.registry) for each in (first, answer))
        problems = lasting(earlier, now, "asset", "problem")
        if not problems and (late := overdue(now)):
            return unknown(f"{strategy}: {_names(late)}: {NOT_ALIKE}.", samples=late)
    counts = {"assets": len(window.after), "returned": len(answer), "wrong": len(problems)}
    if problems:
        return failed(f"{strategy}: {_names(problems)}.", counts=counts, samples=problems)
    if not answer:
        return unknown(
            f"The base has no entry of user {user_id}, and {strategy} returns nothing: is the id right? {listed.note}",
            counts=counts,
        )
    return passed(
        f"{strategy} returns all {len(answer)} assets, each at its newest row. {listed.note}", counts=counts
    )


def _names(problems: Sequence[Mapping[str, Json]]) -> str:
    return enumerated([f"{problem['asset']} {problem['problem']}" for problem in problems])


def judge_set(answer: Mapping[Any, Entry], window: Window, registry: Registry) -> list[dict[str, Json]]:
    """What is wrong with the rows of an answer, worst first: lost assets, then unknown to the base, then stale."""
    lost = [_problem(asset, "lost", registry, window) for asset in window.before if asset not in answer]
    extra = [
        _problem(asset, NOT_IN_BASE, registry, window, answer)
        for asset in answer
        if asset not in window.after
    ]
    shared = [asset for asset in answer if asset in window.after]
    stale = [a for a in shared if a in window.before and answer[a].order < window.before[a].order]
    ahead = [a for a in shared if answer[a].order > window.after[a].order]
    extra += [_problem(asset, NEWER, registry, window, answer) for asset in ahead]
    return lost + extra + [_problem(asset, "stale", registry, window, answer) for asset in stale]


def _problem(
    asset: Any, problem: str, registry: Registry, window: Window, answer: Mapping[Any, Entry] | None = None
) -> dict[str, Json]:
    base, found = window.after.get(asset), (answer or {}).get(asset)
    return {
        "asset": label(asset, registry),
        "problem": problem,
        "base_order": base.order if base else None,
        "answer_order": found.order if found else None,
    }
