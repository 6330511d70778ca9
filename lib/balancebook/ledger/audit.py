"""The audit of a ledger: read once; if anything is not explained, read again a grace later.

What a second reading does not show as the first did was in flight: an entry between two pages of writes, a trade whose
entries came a moment later. Only what both show alike is a break.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from balancebook.ledger.breaks import Breaks, Findings, Problem
from balancebook.ledger.legs import COLUMNS, LAYOUT, leg_identities
from balancebook.ledger.parts import read_accounts, read_sample
from balancebook.ledger.reading import Manner, Reading, Unmatched, read_all
from balancebook.ledger.source import Source
from balancebook.sketch.sketch import Items
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES

# Of cells of 128 bytes: 38 MB for each range in flight, and legs by the hundred thousand.
_MOST_CELLS = 300_000
_CELLS_A_LEG = 1.7


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    breaks: those that two readings show alike. entries, partitions, trades: how many were read. reasons: why it is not
    complete, if so. no_trades: why trades were not held against entries.
    """

    breaks: Breaks
    entries: int
    partitions: int
    trades: int
    reasons: tuple[str, ...] = ()
    no_trades: str = ""


@dataclass(frozen=True)
class Asking:
    """How an audit is made. ranges: token ranges of each table, a few of which are read at a time.

    accounts: only these (account, asset); sample: only so many of 4,096 token ranges, drawn by the seed. Of a part only
    those trades are asked for that its entries name: one that has no entry at all there is not missed.
    """

    grace_s: float
    budget_rows: int | None = None
    ranges: int = RANGES
    accounts: Sequence[tuple[Any, Any]] | None = None
    sample: int | None = None
    pace: Pace | None = None
    sleep: Callable[[float], None] = time.sleep
    seed: int = field(default_factory=lambda: secrets.randbits(64))

    @property
    def of_part(self) -> bool:
        """Whether it is not the whole ledger that is asked for."""
        return self.accounts is not None or self.sample is not None


def audit(source: Source, asking: Asking) -> AuditReport:
    """Audit a ledger and its trades, as far as is asked. Raises StoreError for what no retry mends."""
    manner = Manner(
        asking.ranges,
        asking.budget_rows,
        asking.seed,
        keep=asking.of_part,
        pace=asking.pace,
    )
    first, legs = _read(source, manner, asking)
    if not (first.breaks.count or legs):
        return _report(source, first, Breaks())
    asking.sleep(asking.grace_s)
    wanted = np.concatenate([legs.lost, legs.spare]) if legs else manner.wanted
    again, legs_again = _read(source, replace(manner, wanted=wanted), asking)
    breaks = first.breaks.lasting(again.breaks)
    if not again.reasons:
        _add_legs(breaks, legs, legs_again, again)
    return _report(source, again, breaks)


def _report(source: Source, reading: Reading, breaks: Breaks) -> AuditReport:
    return AuditReport(
        breaks=breaks,
        entries=reading.entries,
        partitions=reading.partitions,
        trades=reading.trades,
        reasons=tuple(dict.fromkeys(reading.reasons)),
        no_trades=source.no_trades,
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
    if reading.legs is None or reading.reasons:
        return reading, None
    items = reading.legs.peel()
    if items.complete:
        return reading, _unmatched(items)
    about = reading.legs.estimate()
    cells = max(int(about * _CELLS_A_LEG), 2 * manner.cells)
    if cells > _MOST_CELLS:
        reading.reasons.append(f"about {about:,} entries and trades do not match, too many to name them")
        return reading, None
    return _read_all(source, replace(manner, cells=cells))


def _unmatched(items: Items) -> Unmatched:
    """The legs that were peeled: of trades, whose sign is positive, and of entries."""
    cells = b"".join(b"".join(LAYOUT.key_cells(words)) for _, words, _ in items)
    identities = leg_identities(np.frombuffer(cells, ">i8").reshape(-1, len(COLUMNS)).astype(np.int64))
    return Unmatched(lost=identities[items.signs > 0], spare=identities[items.signs < 0])


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
