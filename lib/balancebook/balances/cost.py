"""What a balance query costs: round trips, rows and bytes that come back, and what the server reads for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

from balancebook.balances.sample import Sampled
from balancebook.balances.strategies import STRATEGIES, Strategy
from balancebook.balances.target import Target, shape_of
from balancebook.store.errors import StoreError
from balancebook.store.metered import MeteredReader, Usage
from balancebook.store.reader import Reader
from balancebook.store.traces import Trace, read_traces, require_traces

# Of each partition that a traced query reads the server writes some ten rows: beyond these it is not traced.
MOST_TRACED = 100
# A picture of depth needs no more, and each of them is some hundred queries to trace.
MOST_MEASURED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one strategy costs for one account; None for what is not known, and `why`.

    entries: of the account in the base. statements, pages, rows, bytes, cql: of one run that is not traced, as in
    store.metered.Usage, each CQL text once. rows_read, tombstones: of one run by the server's traces, summed over its
    statements; microseconds: the coordinator's time, summed alike. Of several traced runs they are the low medians.
    """

    strategy: str
    account: Any
    entries: int
    statements: int | None = None
    pages: int | None = None
    rows: int | None = None
    bytes: int | None = None
    rows_read: int | None = None
    tombstones: int | None = None
    microseconds: int | None = None
    cql: tuple[str, ...] = ()
    why: str = ""


def spread(accounts: Sequence[Sampled], most: int = MOST_MEASURED) -> list[Sampled]:
    """At most `most` accounts that have entries: the first one, and those nearest to even steps of log(entries), from
    the fewest to the most. Ordered by entries."""
    able = sorted((each for each in accounts if each.entries), key=lambda each: each.entries)
    if len(able) <= most:
        return able
    low, high = (math.log(able[end].entries) for end in (0, -1))
    chosen = {id(each): each for each in accounts[:1] if each.entries}
    for step in (low + (high - low) * part / max(1, most - 2) for part in range(most - 1)):
        left = [each for each in able if id(each) not in chosen]
        nearest = min(left, key=lambda each: abs(math.log(each.entries) - step))
        chosen[id(nearest)] = nearest
    return [each for each in able if id(each) in chosen]


def measure(
    reader: Reader, target: Target, accounts: Sequence[Sampled], *, trace: bool, repeats: int
) -> list[Cost]:
    """One Cost for each account and strategy, the wrong ones too: the price of an answer does not make it right.

    `trace`: the server traces `repeats` runs more of each, and writes that into its own system_traces, where it stays
    for 24 hours. A run that reads more than MOST_TRACED partitions is not traced, one of many is repeated less. Once
    traces cannot be read, no more are asked for. What fails is a Cost that says why; nothing is raised but for a target
    that is not there (StoreError).
    """
    meter = MeteredReader(reader)
    # Else the first strategy that needs it would be charged with reading the schema.
    shape_of(meter, target)
    why = _not_traced(reader, trace)
    costs = []
    for sampled in accounts:
        plain = [_plain(meter, target, strategy, sampled) for strategy in STRATEGIES.values()]
        traced, why = _traced(reader, meter, target, sampled, plain, repeats if not why else 0, why)
        costs += traced
    return costs


def _not_traced(reader: Reader, trace: bool) -> str:
    """Why nothing is to be traced, if so."""
    if not trace:
        return "not traced: trace is off"
    try:
        require_traces(reader)
    except StoreError as error:
        return f"not traced: {error}"
    return ""


def _plain(meter: MeteredReader, target: Target, strategy: Strategy, sampled: Sampled) -> Cost:
    cost = Cost(strategy=strategy.name, account=sampled.account, entries=sampled.entries)
    try:
        used = _run(meter, target, strategy, sampled)
    except StoreError as error:
        return replace(cost, why=str(error))
    statements = tuple(dict.fromkeys(used.statements))
    return replace(
        cost,
        statements=len(used.statements),
        pages=used.pages,
        rows=used.rows,
        bytes=used.bytes,
        cql=statements,
    )


def _run(
    meter: MeteredReader, target: Target, strategy: Strategy, sampled: Sampled, *, trace: bool = False
) -> Usage:
    with meter.metering(trace=trace) as used:
        strategy.fetch(meter, target, sampled.account, sampled.assets)
    return used


def _traced(
    reader: Reader,
    meter: MeteredReader,
    target: Target,
    sampled: Sampled,
    plain: Sequence[Cost],
    repeats: int,
    why: str,
) -> tuple[list[Cost], str]:
    """The costs with what traces tell, and why no more traces are to be asked for, if so.

    All strategies of an account run before the first trace is read: the server writes traces a moment later.
    """
    if why:
        return [_without(cost, why) for cost in plain], why
    try:
        runs = {cost.strategy: list(_runs(meter, target, sampled, cost, repeats)) for cost in plain}
        traces = read_traces(reader, [each for used in runs.values() for run in used for each in run.traces])
    except StoreError as error:
        why = f"not traced: {error}"
        return [_without(cost, why) for cost in plain], why
    return [
        _with(cost, [[traces[each] for each in run.traces] for run in runs[cost.strategy]]) for cost in plain
    ], ""


def _runs(
    meter: MeteredReader, target: Target, sampled: Sampled, cost: Cost, repeats: int
) -> Iterator[Usage]:
    if cost.pages is None:
        return
    # A query without a statement (no asset to ask for) has no trace, and costs the server nothing.
    for _ in range(min(repeats, MOST_TRACED // max(1, _partitions(cost)))):
        yield _run(meter, target, STRATEGIES[cost.strategy], sampled, trace=True)


def _partitions(cost: Cost) -> int:
    """How often the server looks into a partition for one run: for each page, and of the base for each asset's row."""
    of_base = (cost.rows or 0) if STRATEGIES[cost.strategy].reads == "base" else 0
    return max(cost.pages or 0, of_base)


def _without(cost: Cost, why: str) -> Cost:
    return replace(cost, why=cost.why or why)


def _with(cost: Cost, runs: Iterable[Sequence[Trace]]) -> Cost:
    """The cost with the medians of its traced runs. A run with fewer rows read than returned was not told in full."""
    of_runs = [
        (
            sum(trace.rows_read for trace in run),
            sum(trace.tombstones for trace in run),
            sum(trace.microseconds for trace in run),
        )
        for run in runs
    ]
    if not of_runs:
        return _without(cost, f"not traced: it reads {_partitions(cost)} partitions, more than {MOST_TRACED}")
    rows_read, tombstones, microseconds = (median_low(values) for values in zip(*of_runs, strict=True))
    if rows_read < (cost.rows or 0):
        return _without(
            cost, f"the traces tell of {rows_read} rows read, fewer than the {cost.rows} returned"
        )
    return replace(cost, rows_read=rows_read, tombstones=tombstones, microseconds=microseconds)
