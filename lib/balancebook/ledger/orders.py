"""What was reserved and what was given back: an unlock or refund needs a lock before it, and each lock only one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from balancebook.ledger.breaks import Problem, identity_of, sizes_of
from balancebook.ledger.entries import Entries, Flags, Money, Numbers, is_one_of
from balancebook.ledger.rules import LOCK, REFUND, UNLOCK

# Of one partition so many are held; beyond it, those locks that were given back are forgotten, and another unlock of
# them is named as one of nothing.
_MOST_HELD = 200_000
_MONEY, _OTHERS = ("delta_available", "delta_held"), ("type", "reference", "time")

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
        self._partitions = _WholePartitions()

    def feed(self, new: Entries) -> None:
        """The next entries, at least one."""
        ours = is_one_of(new.other["type"], self._ours) & ~new.missing["type"] & ~new.missing["reference"]
        some = new.only(_MONEY, _OTHERS).take(np.flatnonzero(ours))
        self._judge(self._partitions.feed(some, new))
        held = self._partitions.open
        if held is not None and len(held) > _MOST_HELD:
            self._partitions.open = held.take(_unsettled(held)).trimmed()

    def finish(self) -> None:
        """The last partition ends."""
        last = self._partitions.finish()
        if last is not None:
            self._judge(last)

    def _judge(self, entries: Entries) -> None:
        if not len(entries):
            return
        places, group = _by_reference(entries)
        types = entries.other["type"][places]
        locks = is_one_of(types, self._lock)
        back = ~locks
        locks_before = _before(locks, group)
        nothing = back & (locks_before == 0)
        twice = back & ~nothing & (_before(back, group) >= locks_before)
        given = entries.money["delta_available"][places]
        lock = _last_lock(locks)
        reserved = entries.money["delta_held"][places][lock]
        known = ~entries.missing["delta_available"][places] & ~entries.missing["delta_held"][places][lock]
        whole = is_one_of(types, self._unlock)
        unlike = np.asarray(given > reserved, bool) | (whole & np.asarray(given != reserved, bool))

        def note(problem: Problem, which: Flags, expected: Money | None) -> None:
            if which.any():
                rows, found = entries.take(places[which]), given[which]
                wanted = expected[which] if expected is not None else None
                sizes = sizes_of(found)
                self._noted(problem, rows, "delta_available", wanted, found, sizes)

        note(Problem.NO_LOCK, nothing, None)
        note(Problem.TWICE, twice, np.zeros_like(given))
        note(Problem.TOO_MUCH, back & ~nothing & ~twice & known & unlike, reserved)


class _WholePartitions:
    """Of entries that come page by page gives those whose partitions have ended. `open`: of the one that has not."""

    def __init__(self) -> None:
        self.open: Entries | None = None

    def feed(self, some: Entries, new: Entries) -> Entries:
        """`some` are those that matter of `new`, at least one, the last of which tells what may go on."""
        entries = some.after(self.open) if self.open is not None and len(self.open) else some
        still = (entries.account == new.account[-1]) & (entries.asset == new.asset[-1])
        # A partition's entries come one after the other, so those of the last one are at the end.
        ended = len(entries) - int(np.count_nonzero(still))
        self.open = entries.take(slice(ended, None)).trimmed()
        return entries.take(slice(0, ended))

    def finish(self) -> Entries | None:
        """Those of the last partition, if there is any."""
        last, self.open = self.open, None
        return last


def _unsettled(entries: Entries) -> Numbers:
    """The places of those of references that do not have one lock and one giving back."""
    places, group = _by_reference(entries)
    # In their own order again, as entries of a partition come.
    kept: Numbers = np.sort(places[np.bincount(group)[group] != 2])
    return kept


def _by_reference(entries: Entries) -> tuple[Numbers, Numbers]:
    """The places by account, asset and reference, and in each the order; and the number of each one's reference."""
    keys = identity_of(entries.account, entries.asset, entries.other["reference"])
    places: Numbers = np.lexsort((entries.order, keys))
    ordered = keys[places]
    new = np.zeros(len(places), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    group: Numbers = np.cumsum(new)
    return places, group


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
