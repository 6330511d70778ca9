"""The audit of a whole ledger: read once; if anything is not explained, read again a grace later.

What a second reading does not show as the first did was in flight: an entry between two pages of writes, a trade whose
entries came a moment later. Only what both show alike is a break.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from balancebook.ledger.breaks import Breaks, Findings, Hashes, Problem
from balancebook.ledger.legs import COLUMNS, LAYOUT, leg_identities
from balancebook.ledger.reading import Manner, Reading, read_all
from balancebook.ledger.source import Source
from balancebook.sketch.sketch import Items
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES, Progress

# Of cells of 128 bytes: 38 MB for each range in flight, and legs by the hundred thousand.
_MOST_CELLS = 300_000
_CELLS_A_LEG = 1.7


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    breaks: those that two readings show alike. in_flight: how many the first alone showed. entries, partitions, trades:
    how many were read. reasons: why it is not complete, if so. no_trades: why trades were not held against entries.
    readings: how often the tables were read.
    """

    breaks: Breaks
    in_flight: int
    entries: int
    partitions: int
    trades: int
    reasons: tuple[str, ...] = ()
    no_trades: str = ""
    readings: int = 1


@dataclass(frozen=True)
class Asking:
    """How an audit is made. ranges: token ranges of each table, a few of which are read at a time."""

    grace_s: float
    budget_rows: int | None = None
    ranges: int = RANGES
    pace: Pace | None = None
    progress: Progress | None = None
    sleep: Callable[[float], None] = time.sleep
    seed: int = field(default_factory=lambda: secrets.randbits(64))


def audit(source: Source, asking: Asking) -> AuditReport:
    """Audit the whole ledger and its trades. Raises StoreError for what no retry mends."""
    manner = Manner(
        asking.ranges, asking.budget_rows, asking.seed, pace=asking.pace, progress=asking.progress
    )
    first, legs, readings = _read(source, manner)
    if not (first.breaks.count or legs):
        return _report(source, first, Breaks(), 0, readings)
    asking.sleep(asking.grace_s)
    wanted = leg_identities(_codes(legs)) if legs else manner.wanted
    again, legs_again, more = _read(source, replace(manner, wanted=wanted))
    breaks = first.breaks.lasting(again.breaks)
    if not again.reasons:
        _add_legs(breaks, legs, legs_again, again)
    seen = first.breaks.count + (len(legs) if legs else 0)
    return _report(source, again, breaks, seen - breaks.count if not again.reasons else 0, readings + more)


def _report(source: Source, reading: Reading, breaks: Breaks, in_flight: int, readings: int) -> AuditReport:
    return AuditReport(
        breaks=breaks,
        in_flight=in_flight,
        entries=reading.entries,
        partitions=reading.partitions,
        trades=reading.trades,
        reasons=tuple(reading.reasons),
        no_trades=source.no_trades,
        readings=readings,
    )


def _read(source: Source, manner: Manner) -> tuple[Reading, Items | None, int]:
    """A reading, and the legs that differ in it, if any; with a larger sketch again if they are too many."""
    reading = read_all(source, manner)
    if reading.legs is None or reading.reasons:
        return reading, None, 1
    items = reading.legs.peel()
    if items.complete:
        return reading, items if len(items) else None, 1
    about = reading.legs.estimate()
    cells = max(int(about * _CELLS_A_LEG), 2 * manner.cells)
    if cells > _MOST_CELLS:
        reading.reasons.append(f"about {about:,} entries and trades do not match, too many to name them")
        return reading, None, 1
    again, items_again, readings = _read(source, replace(manner, cells=cells))
    return again, items_again, readings + 1


def _codes(items: Items) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The legs that were peeled, as Legs.codes has them."""
    cells = b"".join(b"".join(LAYOUT.key_cells(words)) for _, words, _ in items)
    return np.frombuffer(cells, ">i8").reshape(-1, len(COLUMNS)).astype(np.int64)


def _add_legs(breaks: Breaks, first: Items | None, again: Items | None, reading: Reading) -> None:
    """Note those legs that both readings show, on the same side, with their names from the second."""
    if first is None or again is None:
        return
    for problem, sign in ((Problem.LEG_LOST, 1), (Problem.LEG_SPARE, -1)):
        lasting = np.intersect1d(_of_side(first, sign), _of_side(again, sign))
        still = set(lasting.tolist())
        named = [each for each in reading.named if each.problem is problem and each.identity in still]
        found = Findings()
        found.add(lasting, named)
        breaks.of[problem] = found


def _of_side(items: Items, sign: int) -> Hashes:
    found: Hashes = leg_identities(_codes(items))[items.signs == sign]
    return found
