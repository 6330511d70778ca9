"""The confirmation rule over whole scans: what two of them, a grace period apart, prove of rows that nobody wrote.

It says less than confirm.rule, and nothing else: a row is settled here only if its records show that neither side was
written in between, or that both are in step. All others are left to looks at their keys.

Scans do not read times to live, which would cost as much again as write times: a cell that expired between them, and
was written anew with the same value at the same write time, is taken for one that stood still. So where a sample of the
rows has times to live, scans settle nothing (confirm.by_scan).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.reconcile.model.words import mixed
from balancebook.sketch.layout import Words
from balancebook.sketch.records import (
    ADDRESS,
    DERIVED,
    IN_STEP,
    KEY,
    PROVED,
    VALUES,
    VERSION,
    flagged,
)

LOST, MISMATCH, ORPHAN, LAGGING, GONE, OPEN = range(6)
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_NONE = -1


@dataclass(frozen=True, slots=True)
class Units:
    """Rows of the view that looked wrong in a scan: their addresses and keys, and the places of their records on base
    and view in it (-1: not there under that key). elsewhere: the place of the base row of the address, whatever key it
    derives."""

    addresses: Words
    keys: Words
    base: Places
    view: Places
    elsewhere: Places

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Scan:
    """The records of base and view in one part of one scan."""

    base: Words
    view: Words


def differing(scan: Scan) -> Units:
    """The rows of the view that differ in value, or that one side alone has."""
    keys = _places(scan.base[:, ADDRESS], scan.view[:, ADDRESS])
    paired = keys >= 0
    paired[paired] = scan.base[keys[paired], KEY] == scan.view[paired, KEY]
    differs = ~paired
    differs[paired] = scan.base[keys[paired], VALUES] != scan.view[paired, VALUES]
    of_view = np.flatnonzero(differs)
    met = np.zeros(len(scan.base), bool)
    met[keys[paired]] = True
    of_base = np.flatnonzero(flagged(scan.base, DERIVED) & ~met)
    nowhere = np.full(len(of_base), _NONE)
    return Units(
        np.concatenate([scan.view[of_view, ADDRESS], scan.base[of_base, ADDRESS]]),
        np.concatenate([scan.view[of_view, KEY], scan.base[of_base, KEY]]),
        np.concatenate([np.where(paired[of_view], keys[of_view], _NONE), of_base]),
        np.concatenate([of_view, nowhere]),
        np.concatenate([keys[of_view], of_base]),
    )


def settled(
    units: Units, first: Scan, second: Scan, *, all_timed: bool, moving: bool
) -> npt.NDArray[np.int8]:
    """What the second scan, a grace period after the first and of the view before the base, proves of each unit.

    all_timed: whether every column outside the view's key has a write time. moving: whether the view's key holds a
    regular column of the base, so that a base row can stand under another key.
    """
    base2 = _places(second.base[:, ADDRESS], units.addresses)
    view2 = _paired(second.view, units)
    still_there = base2 >= 0
    derived2 = still_there.copy()
    derived2[still_there] = second.base[base2[still_there], KEY] == units.keys[still_there]
    shown2 = view2 >= 0
    both = derived2 & shown2
    same_base = _same(first.base, units.elsewhere, second.base, base2)
    same_view = _same(first.view, units.view, second.view, view2)
    in_step = both & _equal(second.base, base2, second.view, view2, IN_STEP)
    differ = both & ~_equal(second.base, base2, second.view, view2, VALUES)
    had_base, had_view = units.base >= 0, units.view >= 0
    orphan = had_view & ~had_base
    codes = np.full(len(units), OPEN, np.int8)
    codes[in_step] = LAGGING
    codes[orphan & ~shown2 & ~derived2] = GONE
    codes[had_base & ~had_view & derived2 & ~shown2 & same_base] = LOST
    stood_still = same_base & same_view
    codes[had_base & had_view & differ & stood_still & all_timed] = MISMATCH
    no_base = (units.elsewhere < 0) & ~still_there & same_view
    elsewhere = (units.elsewhere >= 0) & same_base & ~derived2 & moving
    codes[orphan & shown2 & (no_base | elsewhere)] = ORPHAN
    codes[_ambiguous(units, first, second)] = OPEN
    return codes


def same_rows(units: Units, others: Units, chosen: Flags | None = None) -> Flags:
    """Which units are among the others, or those chosen of them."""
    names = mixed(others.addresses, others.keys)
    return np.isin(mixed(units.addresses, units.keys), names if chosen is None else names[chosen])


def derived_and_gone(units: Units, later: Scan) -> Flags:
    """Which units the base derived, and are under their key on neither side of a later scan."""
    there = (_paired(later.base, units) >= 0) | (_paired(later.view, units) >= 0)
    return np.asarray((units.base >= 0) & ~there)


def behind(units: Units, first: Scan, again: Scan, quorum: Scan) -> Flags:
    """Which units of `again` differed in `first` too and are in step in `quorum`, with the same version of the base row
    in all three scans. first and again were read from single replicas, a grace period apart."""
    bases = [_places(each.base[:, ADDRESS], units.addresses) for each in (first, quorum)]
    wrong = same_rows(units, differing(first))
    same = _equal(first.base, bases[0], again.base, units.elsewhere, VERSION)
    same &= _equal(quorum.base, bases[1], again.base, units.elsewhere, VERSION)
    in_step = _equal(quorum.base, bases[1], quorum.view, _paired(quorum.view, units), IN_STEP)
    proved = wrong & same & in_step & _proved(quorum.base, bases[1])
    return np.asarray(proved & ~_ambiguous(units, first, again, quorum))


def _places(names: Words, wanted: Words) -> Places:
    """The place of each wanted name, -1 for none; of several alike that of any (such units are left open)."""
    if not len(names):
        return np.full(len(wanted), _NONE)
    order = np.argsort(names)
    sorted_ = names[order]
    at = np.minimum(np.searchsorted(sorted_, wanted), len(sorted_) - 1)
    return np.where(sorted_[at] == wanted, order[at], _NONE)


def _paired(records: Words, units: Units) -> Places:
    """The place of the record of each unit, by address and key."""
    found = _places(mixed(records[:, ADDRESS], records[:, KEY]), mixed(units.addresses, units.keys))
    there = found >= 0
    there[there] = records[found[there], KEY] == units.keys[there]
    return np.where(there, found, _NONE)


def _equal(one: Words, places: Places, other: Words, others: Places, word: int) -> Flags:
    """Whether a word of the two records is the same, where both are there."""
    there = (places >= 0) & (others >= 0)
    equal = np.zeros(len(places), bool)
    equal[there] = one[places[there], word] == other[others[there], word]
    return equal


def _proved(records: Words, places: Places) -> Flags:
    there = places >= 0
    proved = np.zeros(len(places), bool)
    proved[there] = flagged(records, PROVED)[places[there]]
    return proved


def _same(first: Words, before: Places, second: Words, after: Places) -> Flags:
    """Whether the row is the same version under the same key in both scans, and its write times show that it was not
    written in between."""
    return (
        _equal(first, before, second, after, VERSION)
        & _equal(first, before, second, after, KEY)
        & _proved(second, after)
    )


def _ambiguous(units: Units, *scans: Scan) -> Flags:
    """Units of whose address the base has several rows, or of whose key the view has: hashes that meet by chance, or
    keys that are one in different bytes."""
    twice = np.concatenate([_repeated(each.base[:, ADDRESS]) for each in scans])
    keys = np.concatenate([_repeated(each.view[:, KEY]) for each in scans])
    return np.isin(units.addresses, twice) | np.isin(units.keys, keys)


def _repeated(words: Words) -> Words:
    found, counts = np.unique(words, return_counts=True)
    return np.asarray(found[counts > 1])
