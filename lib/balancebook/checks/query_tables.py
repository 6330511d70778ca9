"""What was found of the balance queries, as tables for people: all columns are text or whole numbers (object)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from balancebook.balances import STRATEGIES
from balancebook.balances.choice import Choice
from balancebook.balances.cost import Cost
from balancebook.checks.judging import Judged
from balancebook.checks.q004_right_for_the_sample import first_words, wrong_accounts
from balancebook.store.cql.values import text_of
from balancebook.verdict import MARKS, Verdict

_UNKNOWN = "?"


def accounts(judged: Judged) -> pd.DataFrame:
    """One row an account of the sample: account, why it is in it, assets, entries (of the base)."""
    rows = [
        (str(each.account), ", ".join(each.why), len(each.assets), each.entries)
        for each in judged.sample.accounts
    ]
    return pd.DataFrame(rows, columns=["account", "why", "assets", "entries"], dtype=object)


def strategies(judged: Judged) -> pd.DataFrame:
    """One row a strategy, in the order of the registry: strategy, reads, right, for (how many accounts of how many),
    cost grows with, what is wrong (the worst account) or not known.

    A strategy that is wrong stays in the table, marked, whatever its speed.
    """
    rows = []
    for strategy in STRATEGIES.values():
        of = judged.by_strategy.get(strategy.name, {})
        passes = sum(each.verdict is Verdict.PASS for each in of.values())
        mark = MARKS[judged.verdict(strategy.name)]
        rows.append(
            (
                strategy.name,
                strategy.reads,
                mark,
                f"{passes} of {len(of)}",
                strategy.cost,
                _why(judged, strategy.name),
            )
        )
    columns = ["strategy", "reads", "right", "for accounts", "cost grows with", "what is wrong"]
    return pd.DataFrame(rows, columns=columns)


def _why(judged: Judged, strategy: str) -> str:
    of = judged.by_strategy.get(strategy, {})
    if wrong := wrong_accounts(of):
        more = f"; and {len(wrong) - 1} more accounts" if len(wrong) > 1 else ""
        return first_words(of) + more
    unread = [f"{text_of(account)}: {each.why}" for account, each in of.items() if each.why]
    return judged.error or next(iter(unread), "")


def costs(measured: Sequence[Cost], judged: Judged) -> pd.DataFrame:
    """One row a strategy, of the named account: strategy, and what it costs, as the columns say; ? where not known."""
    account = judged.sample.accounts[0].account if judged.sample.accounts else None
    names = ("statements", "pages", "rows", "bytes", "rows_read", "tombstones")
    rows = [
        (cost.strategy, *(_shown(getattr(cost, name)) for name in names))
        for cost in measured
        if cost.account == account
    ]
    columns = ["strategy", "statements", "pages", "rows returned", "bytes", "rows read", "tombstones read"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def by_depth(measured: Sequence[Cost], what: str) -> pd.DataFrame:
    """One row an account that has entries, the fewest first: account, entries, and `what` (a field of Cost) of each
    strategy; ? where it is not known."""
    found: dict[Any, dict[str, object]] = {}
    entries = {cost.account: cost.entries for cost in measured if cost.entries}
    for cost in measured:
        if cost.account in entries:
            found.setdefault(cost.account, {})[cost.strategy] = _shown(getattr(cost, what))
    ordered = sorted(found, key=lambda account: (entries[account], str(account)))
    rows = [
        (str(each), entries[each], *(found[each].get(name, _UNKNOWN) for name in STRATEGIES))
        for each in ordered
    ]
    return pd.DataFrame(rows, columns=["account", "entries", *STRATEGIES], dtype=object)


def choice(chosen: Choice) -> pd.DataFrame:
    """The query to use, why, and its CQL; columns "" (which of these it is) and "for this table"."""
    rows = [("use", chosen.strategy or "none")]
    rows += [("why" if number == 0 else "", sentence) for number, sentence in enumerate(chosen.why)]
    rows += [("CQL" if number == 0 else "", statement) for number, statement in enumerate(chosen.cql)]
    return pd.DataFrame(rows, columns=["", "for this table"])


def _shown(value: object) -> object:
    return _UNKNOWN if value is None else value
