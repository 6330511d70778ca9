"""Q004 right_for_the_sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from balancebook.balances import strategy_named
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.judging import Judged, Judgement
from balancebook.checks.samples import as_json
from balancebook.store.cql.values import text_of
from balancebook.verdict import Json, Verdict


@check("Q004", "right_for_the_sample")
def right_for_the_sample(_ctx: Context, *, strategy: str, judged: Judged) -> Finding:
    """Is the balance query right, cell by cell, for every account of a sample that includes the awkward ones?

    One user proves little: a query that loses assets is right for whoever has only one. It judges by what was read for
    the table of all strategies, so that the two cannot disagree.
    """
    strategy_named(strategy)
    if judged.error:
        return unknown(f"There is no sample: {judged.error}")
    of = judged.by_strategy[strategy]
    counts = {
        "accounts": len(of),
        "rows": sum(each.rows for each in of.values()),
        "wrong": _count(of, Verdict.FAIL),
        "unknown": _count(of, Verdict.UNKNOWN),
    }
    if counts["wrong"]:
        samples = list(_samples(of))
        said = f"{strategy} is wrong for {counts['wrong']} of {len(of)} accounts: {first_words(of)}."
        return failed(said, counts=counts, samples=samples)
    if counts["unknown"]:
        return unknown(f"{strategy}, {_unread(of)}.", counts=counts)
    said = f"{strategy}: every cell for {len(of)} accounts equals the base ({counts['rows']} rows)."
    return passed(f"{said} {judged.sample.blind_spot}", counts=counts)


def _count(of: Mapping[Any, Judgement], verdict: Verdict) -> int:
    return sum(each.verdict is verdict for each in of.values())


def wrong_accounts(of: Mapping[Any, Judgement]) -> list[tuple[Any, Judgement]]:
    """The accounts for which it is wrong, those with the most problems first."""
    wrong = [(account, each) for account, each in of.items() if each.verdict is Verdict.FAIL]
    return sorted(wrong, key=lambda pair: -len(pair[1].problems))


def first_words(of: Mapping[Any, Judgement]) -> str:
    """The first account for which it is wrong, with each asset and what is wrong with it."""
    account, judgement = wrong_accounts(of)[0]
    problems = [f"{each['asset']} {each['problem']}" for each in judgement.problems]
    return f"{text_of(account)} {enumerated(problems)}"


def _unread(of: Mapping[Any, Judgement]) -> str:
    return next(
        f"{text_of(account)}: {each.why}" for account, each in of.items() if each.verdict is Verdict.UNKNOWN
    )


def _samples(of: Mapping[Any, Judgement]) -> Iterator[dict[str, Json]]:
    for account, judgement in wrong_accounts(of):
        yield from ({"account": as_json(account), **problem} for problem in judgement.problems)
