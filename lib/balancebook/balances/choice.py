"""Which balance query to use for a table, from what was measured of it and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from balancebook.balances.strategies import strategy_named
from balancebook.verdict import Verdict

if TYPE_CHECKING:
    from balancebook.balances.cost import Cost

# Reading a row more or less says nothing: what reads up to so many times the fewest rows is as good.
_AS_GOOD = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy to use, or None; why, in sentences with their figures; its statements in CQL."""

    strategy: str | None
    why: tuple[str, ...]
    cql: tuple[str, ...] = ()


def choose(verdicts: dict[str, Verdict], costs: Sequence[Cost]) -> Choice:
    """Of the strategies that are right, the one that reads least of the deepest account whose reads are all known.

    Those that read at most twice as many rows as the least count as alike; among them one that needs no list of assets
    comes first (it costs a scan, or may lack one), then the one of fewer statements, of less time, of the earlier name.
    What could not be judged, or not measured, is not chosen: unknown is neither right nor cheap.
    """
    right = [name for name, verdict in verdicts.items() if verdict is Verdict.PASS]
    out = tuple(_disqualified(verdicts))
    if not right:
        return Choice(None, ("No strategy was seen to be right: none is recommended.", *out))
    deep = _deepest(right, costs)
    if not deep:
        names = ", ".join(right)
        said = f"How many rows the server reads is not known of each: none is recommended. Right are {names}."
        return Choice(None, (said, *out))
    least = min(_read(cost) for cost in deep)
    alike = [cost for cost in deep if _read(cost) <= max(_AS_GOOD * least, least + 1)]
    best = min(alike, key=_rank)
    return Choice(best.strategy, (_because(best), *_set_aside(best, deep), *out), best.cql)


def _disqualified(verdicts: dict[str, Verdict]) -> list[str]:
    wrong = [name for name, verdict in verdicts.items() if verdict is Verdict.FAIL]
    unknown = [name for name, verdict in verdicts.items() if verdict is Verdict.UNKNOWN]
    said = [(wrong, "wrong, so disqualified whatever its speed"), (unknown, "not known to be right")]
    return [f"{', '.join(names)}: {what}." for names, what in said if names]


def _deepest(right: Sequence[str], costs: Sequence[Cost]) -> list[Cost]:
    """The costs of the deepest account of which the rows read are known for every right strategy."""
    known = [cost for cost in costs if cost.strategy in right and cost.rows_read is not None and cost.entries]
    by_account: dict[object, list[Cost]] = {}
    for cost in known:
        by_account.setdefault(cost.account, []).append(cost)
    full = [group for group in by_account.values() if len(group) == len(right)]
    return max(full, key=lambda group: group[0].entries, default=[])


def _read(cost: Cost) -> int:
    return cost.rows_read or 0


def _rank(cost: Cost) -> tuple[bool, int, int, str]:
    needs = strategy_named(cost.strategy).needs_assets
    return needs, cost.statements or 0, cost.microseconds or 0, cost.strategy


def _because(best: Cost) -> str:
    strategy = strategy_named(best.strategy)
    told = "must be told the assets" if strategy.needs_assets else "needs no list of assets"
    return (
        f"Of the {best.entries:,} entries of account {best.account} the server reads {_read(best):,} rows for it, in "
        f"{_statements(best)}; it {told}. Its cost grows with {strategy.cost}."
    )


def _set_aside(best: Cost, deep: Sequence[Cost]) -> list[str]:
    """What stands against each of the other right ones."""
    said = []
    for cost in deep:
        if cost is best:
            continue
        needs = strategy_named(cost.strategy).needs_assets and not strategy_named(best.strategy).needs_assets
        against = "; it must be told the assets" if needs else ""
        said.append(f"{cost.strategy}: {_read(cost):,} rows read, {_statements(cost)}{against}.")
    return said


def _statements(cost: Cost) -> str:
    return "1 statement" if cost.statements == 1 else f"{cost.statements or 0:,} statements"
