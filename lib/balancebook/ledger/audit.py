"""The audit of a ledger: read once; if anything is not explained, read again a grace later.

What a second reading does not show as the first did was in flight: an entry between two pages of writes, a trade whose
entries came a moment later. Only what both show alike is a break.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from balancebook.ledger.breaks import Breaks, Findings, Problem
from balancebook.ledger.entries import SUMS
from balancebook.ledger.legs import COLUMNS, LAYOUT, leg_identities, without_pairs
from balancebook.ledger.parts import read_accounts, read_sample
from balancebook.ledger.reading import Manner, Reading, Unmatched, read_all, read_broken
from balancebook.ledger.source import Source
from balancebook.ledger.sums import TRADES, AssetSums, Uneven, uneven
from balancebook.progress import Step
from balancebook.sketch.sketch import Items
from balancebook.store.estimate import estimate
from balancebook.store.pace import Pace
from balancebook.store.ranges import ScanReport
from balancebook.store.schema import Table

# Of cells of 128 bytes: 38 MB for each range in flight, and legs by the hundred thousand.
_MOST_CELLS = 300_000
_CELLS_A_LEG = 1.7
# Each range costs a millisecond or two more than its rows, so there are few of a small ledger.
_FEWEST_RANGES, _MOST_RANGES, _ROWS_A_RANGE = 16, 65_536, 100_000


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    breaks: those that two readings show alike. entries, partitions, trades: how many were read. reasons: why it is not
    complete, if so; trade_reasons: why what it says of trades is not. no_trades: why there is no trade to compare;
    no_sums: why nothing was summed. in_flight: by code, how many breaks of the first reading the second has explained.
    sums: by asset, of what was read; uneven: the assets that are not conserved; changing: those that two readings show
    as not conserved, each time otherwise. of_part: whether not all was asked for. unsigned: why amounts cannot be
    judged, since they have no signs (see signs). unseen: what was not asked for, and may be there.
    """

    breaks: Breaks
    entries: int
    partitions: int
    trades: int
    reasons: tuple[str, ...] = ()
    trade_reasons: tuple[str, ...] = ()
    no_trades: str = ""
    no_sums: str = ""
    in_flight: Mapping[str, int] = field(default_factory=dict)
    sums: Sequence[AssetSums] = ()
    uneven: frozenset[Any] = frozenset()
    changing: frozenset[Any] = frozenset()
    of_part: bool = False
    unsigned: str = ""
    unseen: str = ""


@dataclass(frozen=True)
class Asking:
    """How an audit is made. ranges: token ranges of each table, a few of which are read at a time; by default so many
    that each has about 100,000 rows, by the server's estimate.

    accounts: only these (account, asset); sample: only so many of 4,096 token ranges, drawn by the seed. Of a part only
    those trades are asked for that its entries name: one that has no entry at all there is not missed.
    """

    grace_s: float
    budget_rows: int | None = None
    ranges: int | None = None
    accounts: Sequence[tuple[Any, Any]] | None = None
    sample: int | None = None
    pace: Pace | None = None
    sleep: Callable[[float], None] = time.sleep
    step: Callable[[Step], None] | None = None
    seed: int = field(default_factory=lambda: secrets.randbits(64))

    @property
    def of_part(self) -> bool:
        """Whether it is not the whole ledger that is asked for."""
        return self.accounts is not None or self.sample is not None


def audit(source: Source, asking: Asking) -> AuditReport:
    """Audit a ledger and its trades, as far as is asked. Raises StoreError for non-retryable errors."""
    manner = Manner(
        asking.ranges or _ranges_for(source),
        asking.budget_rows,
        asking.seed,
        keep=asking.of_part,
        pace=asking.pace,
        progress=_Passes(asking.step) if asking.step else None,
    )
    first, legs = _read(source, replace(manner, settled=_due(asking)), asking)
    before = _add_uneven(source, first, asking)
    unsigned = _unsigned(source, first)
    if not (first.breaks.count or legs):
        return _report(source, asking, first, Breaks(), {}, unsigned)
    asking.sleep(asking.grace_s)
    manner = replace(manner, settled=min([_due(asking), *_latest(first)]))
    torn = any(each.what == TRADES for each in before)
    again, legs_again = _read_again(source, manner, asking, first, legs, torn=torn)
    after = _add_uneven(source, again, asking)
    breaks = first.breaks.lasting(again.breaks)
    uneven, changing = _compared(breaks, before, after)
    in_flight = first.breaks.fewer(breaks)
    in_flight["L007"] -= breaks.of[Problem.MOVING].count
    if not (again.reasons or again.trade_reasons):
        _add_legs(breaks, legs, legs_again, again)
        lasting = sum(breaks.of[problem].count for problem in (Problem.LEG_LOST, Problem.LEG_SPARE))
        in_flight["L004"] += (len(legs) if legs else 0) - lasting
    # What the first did not see, the second cannot confirm.
    again.reasons = first.reasons + again.reasons
    again.trade_reasons = first.trade_reasons + again.trade_reasons
    report = _report(source, asking, again, breaks, {} if again.reasons else in_flight, unsigned)
    return replace(report, uneven=uneven, changing=changing)


def _ranges_for(source: Source) -> int:
    rows = estimate(source.reader, source.base).rows or 0
    return max(_FEWEST_RANGES, min(_MOST_RANGES, rows // _ROWS_A_RANGE))


def _read_again(
    source: Source, manner: Manner, asking: Asking, first: Reading, legs: Unmatched | None, *, torn: bool
) -> tuple[Reading, Unmatched | None]:
    """The second reading: of the ranges with breaks alone, unless trades and entries do not match or are not whole, for
    a leg does not tell where the other side of it should be; nor, if sums over trades are `torn`, a sum."""
    of_trades = legs or first.breaks.count_of("L004") or torn
    if not (of_trades or asking.of_part or first.reasons) and first.broken:
        return read_broken(source, manner, first), None
    wanted = np.concatenate([legs.lost, legs.spare]) if legs else manner.wanted
    return _read(source, replace(manner, wanted=wanted), asking)


def _due(asking: Asking) -> int:
    """What is dated until then (ms) is there by now with all that belongs to it."""
    return int(time.time() * 1000) - math.ceil(asking.grace_s * 1000)


def _latest(reading: Reading) -> list[int]:
    """The newest time (ms) that a reading has seen, if any: a grace period later all until then is there, by a clock of
    the ledger's own that is slow, too."""
    times = [each.latest for each in reading.sums.values() if each.latest is not None]
    return [max(times)] if times else []


def _add_uneven(source: Source, reading: Reading, asking: Asking) -> list[Uneven]:
    """Of all of a ledger, note the assets that are not conserved, and return them."""
    if asking.of_part or reading.reasons or source.no_sums:
        return []
    has = source.roles.has
    found = list(uneven(reading.sums, by_type=has("type"), held=has("held", "delta_held"), timed=has("time")))
    for each in found:
        reading.breaks.of[Problem.UNEQUAL].add(each.identity, [each.named(Problem.UNEQUAL)])
    return found


def _compared(
    breaks: Breaks, before: Sequence[Uneven], after: Sequence[Uneven]
) -> tuple[frozenset[Any], frozenset[Any]]:
    """The assets that two readings show as not conserved, alike and each time otherwise; the latter are noted."""
    known = {(each.code, each.what): int(each.identity[0]) for each in before}
    seen = [each for each in after if (each.code, each.what) in known]
    alike = [each for each in seen if known[each.code, each.what] == int(each.identity[0])]
    changing = [each for each in seen if each not in alike]
    for each in changing:
        breaks.of[Problem.MOVING].add(each.identity, [each.named(Problem.MOVING)])
    return frozenset(each.asset for each in alike), frozenset(each.asset for each in changing)


def _report(
    source: Source,
    asking: Asking,
    reading: Reading,
    breaks: Breaks,
    in_flight: Mapping[str, int],
    unsigned: str,
) -> AuditReport:
    return AuditReport(
        breaks=breaks,
        entries=reading.entries,
        partitions=reading.partitions,
        trades=reading.trades,
        reasons=tuple(dict.fromkeys(reading.reasons)),
        trade_reasons=tuple(filter(None, dict.fromkeys([source.trades_error, *reading.trade_reasons]))),
        no_trades=source.no_trades,
        no_sums=source.no_sums,
        in_flight=in_flight,
        sums=tuple(reading.sums.values()),
        of_part=asking.of_part,
        unsigned=unsigned,
    )


def _unsigned(source: Source, reading: Reading) -> str:
    """Why amounts cannot be judged, since they have no signs: of all that was to be read, not of a part of it."""
    roles = source.roles
    named = [[roles.columns[roles.at[role]] for role in pair] for pair in SUMS if roles.has(*pair)]
    signs = [reading.breaks.signs[balance] for balance, delta in SUMS if roles.has(balance, delta)]
    told = [each.why_unsigned(*names) for each, names in zip(signs, named, strict=True)]
    return "" if reading.reasons else "; ".join(filter(None, told))


class _Passes:
    """Steps out of scan reports: each pass over a table has a report of its own."""

    def __init__(self, step: Callable[[Step], None]) -> None:
        self._step = step
        self._report: ScanReport | None = None
        self._number = 0

    def __call__(self, table: Table, report: ScanReport) -> None:
        self._number += report is not self._report
        self._report = report
        self._step(
            Step(report.ranges_done, report.ranges_total, report.rows, self._number, f"reading {table.name}")
        )


def _read(source: Source, manner: Manner, asking: Asking) -> tuple[Reading, Unmatched | None]:
    """A reading, and the legs that differ in it, if any."""
    if asking.accounts is not None:
        return read_accounts(source, asking.accounts, manner)
    if asking.sample is not None:
        return read_sample(source, asking.sample, manner)
    return _read_all(source, manner)


def _read_all(source: Source, manner: Manner) -> tuple[Reading, Unmatched | None]:
    """With a larger sketch again if more legs differ than this one can name."""
    reading = read_all(source, manner)
    if reading.legs is None or reading.reasons or reading.trade_reasons:
        return reading, None
    items = reading.legs.peel()
    if items.complete:
        return reading, _unmatched(items, reading)
    about = reading.legs.estimate()
    cells = max(int(about * _CELLS_A_LEG), 2 * manner.cells)
    if cells > _MOST_CELLS:
        reading.trade_reasons.append(
            f"about {about:,} entries and trades do not match, too many to name them"
        )
        return reading, None
    return _read_all(source, replace(manner, cells=cells))


def _unmatched(items: Items, reading: Reading) -> Unmatched:
    """The legs that were peeled: of trades, whose sign is positive, and of entries, but for those of trades that lack a
    cell: such a trade is named itself."""
    cells = b"".join(b"".join(LAYOUT.key_cells(words)) for _, words, _ in items)
    codes = np.frombuffer(cells, ">i8").reshape(-1, len(COLUMNS)).astype(np.int64)
    spare = (items.signs < 0) & ~reading.of_incomplete(codes[:, 0])
    lost_codes, spare_codes = without_pairs(codes[items.signs > 0], codes[spare])
    return Unmatched(lost=leg_identities(lost_codes), spare=leg_identities(spare_codes))


def _add_legs(breaks: Breaks, first: Unmatched | None, again: Unmatched | None, reading: Reading) -> None:
    """Note those legs that both readings show, on the same side, with their names from the second."""
    if first is None or again is None:
        return
    for problem, before, after in (
        (Problem.LEG_LOST, first.lost, again.lost),
        (Problem.LEG_SPARE, first.spare, again.spare),
    ):
        lasting = np.intersect1d(before, after)
        still = set(lasting.tolist())
        named = [each for each in reading.named if each.problem is problem and each.identity in still]
        found = Findings()
        found.add(lasting, named)
        breaks.of[problem] = found
