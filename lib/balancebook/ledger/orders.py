"""What was reserved and what was given back: an unlock or refund needs a lock before it, and each lock only one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from balancebook.ledger.breaks import Problem
from balancebook.ledger.entries import Entries, Flags, Money, Numbers, WholePartitions
from balancebook.ledger.rules import LOCK, REFUND, UNLOCK

# Of one partition so many are held; beyond it, those locks that were given back are forgotten, and another unlock of
# them is named as one of nothing.
_MOST_HELD = 200_000

Noted = Callable[[Problem, Entries, str, "Money | None", Money, npt.NDArray[np.float64]], None]


class Orders:
    """Takes the entries of whole partitions as they come; judges those of a partition when it has ended."""

    def __init__(self, kinds: Mapping[int, str], noted: Noted) -> None:
        codes = {
            name: [code for code, kind in kinds.items() if kind == name] for name in (LOCK, UNLOCK, REFUND)
        }
        self._lock, self._unlock, self._refund = (np.array(codes[name], np.int64) for name in codes)
        self._ours = np.concatenate([self._lock, self._unlock, self._refund])
        self._noted = noted
        self._partitions = WholePartitions()

    def feed(self, new: Entries) -> None:
        """The next entries, at least one."""
        ours = np.isin(new.other["type"], self._ours) & ~new.missing["reference"]
        some = new.take(np.flatnonzero(ours))
        self._judge(self._partitions.feed(some, new))
        held = self._partitions.open
        if held is not None and len(held) > _MOST_HELD:
            self._partitions.open = held.take(self._unsettled(held)).trimmed()

    def finish(self) -> None:
        """The last partition ends."""
        last = self._partitions.finish()
        if last is not None:
            self._judge(last)

    def _judge(self, entries: Entries) -> None:
        if not len(entries):
            return
        rows = entries.take(_by_reference(entries))
        locks = np.isin(rows.other["type"], self._lock)
        back = ~locks
        group = _groups(rows)
        locks_before, back_before = _before(locks, group), _before(back, group)
        nothing = back & (locks_before == 0)
        twice = back & ~nothing & (back_before >= locks_before)
        held, given = rows.money["delta_held"], rows.money["delta_available"]
        reserved = held[_last_lock(locks)]
        whole = np.isin(rows.other["type"], self._unlock)
        unlike = np.where(whole, np.asarray(given != reserved, bool), np.asarray(given > reserved, bool))
        self._note(Problem.NO_LOCK, rows, nothing, None, given)
        self._note(Problem.TWICE, rows, twice, np.zeros_like(given), given)
        self._note(Problem.TOO_MUCH, rows, back & ~nothing & ~twice & unlike, reserved, given)

    def _note(
        self, problem: Problem, rows: Entries, which: Flags, expected: Money | None, found: Money
    ) -> None:
        places = np.flatnonzero(which)
        if not len(places):
            return
        given = found[places]
        sizes = np.abs(given.astype(float))
        wanted = expected[places] if expected is not None else None
        self._noted(problem, rows.take(places), "delta_available", wanted, given, sizes)

    def _unsettled(self, entries: Entries) -> Numbers:
        """Those of references that do not have one lock and one giving back."""
        places = _by_reference(entries)
        group = _groups(entries.take(places))
        sizes = np.bincount(group)
        kept: Numbers = places[sizes[group] != 2]
        return kept


def _by_reference(entries: Entries) -> Numbers:
    """The places in the order of partition, reference and order."""
    places: Numbers = np.lexsort((entries.order, entries.other["reference"], entries.asset, entries.account))
    return places


def _groups(rows: Entries) -> Numbers:
    """The number of each row's reference, rows being sorted by it."""
    new = np.zeros(len(rows), bool)
    for column in (rows.account, rows.asset, rows.other["reference"]):
        new[1:] |= column[1:] != column[:-1]
    group: Numbers = np.cumsum(new)
    return group


def _before(flags: Flags, group: Numbers) -> Numbers:
    """How many of the rows before, in the same group, have the flag."""
    so_far: Numbers = np.cumsum(flags) - flags
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    before: Numbers = so_far - so_far[begins][group]
    return before


def _last_lock(locks: Flags) -> Numbers:
    """The place of the last lock before each row, or 0; of no use where there is none in the group."""
    places: Numbers = np.maximum.accumulate(np.where(locks, np.arange(len(locks)), 0))
    return places
