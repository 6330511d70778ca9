"""Confirming many candidates at once: one more scan of both sides, a grace after the sketch's own.

What the sketch saw of a row counts as the first of the two reads; the second must show the same cells on both sides.
Rows are held as bytes and compared by their hashes: decoding a hundred thousand rows takes longer than reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from balancebook.reconcile.found import Batch, Listed, RawDifference, decoded_key
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.reconcile.values import canonical
from balancebook.sketch.layout import Words
from balancebook.sketch.sketch import FoundRows, Items, key_lanes
from balancebook.store.raw import RawCells

GONE = "changed before it could be read again"
NOT_READ = "the confirming scan was not complete"
HEALED = "healed before it was confirmed"
CHANGED = "changed between the confirming reads"
_CODES = (Kind.LOST, Kind.MISMATCH, Kind.ORPHAN, Kind.UNKNOWN, Kind.LAGGING)
_LOST, _MISMATCH, _ORPHAN, _UNKNOWN, _LAGGING = range(5)
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Rows:
    """Rows of both sides: whether each is the view's, the lanes (n, 2) of its key and of itself, and its number among
    those of its side (-1: only its hashes are known)."""

    of_view: npt.NDArray[np.bool_]
    lanes: Words
    numbers: Places

    @staticmethod
    def of(found: Sequence[FoundRows], rereader: Rereader) -> _Rows:
        """Those that were found of base and view."""
        sizes = [len(rows) for rows in found]
        return _Rows(
            np.repeat([False, True], sizes),
            np.concatenate([_lanes(rows, rereader) for rows in found]),
            np.concatenate([np.arange(size) for size in sizes]),
        )


@dataclass(frozen=True)
class _State:
    """What each side has of each key, (2, keys): its row's lane (0: no such row) and number (-1: not known)."""

    lanes: Words
    numbers: Places

    @staticmethod
    def of(keys: Words, rows: _Rows) -> _State:
        """`keys`: lanes in order, all keys of the rows among them; rows of other keys are passed over."""
        place = np.searchsorted(keys, rows.lanes[:, 0])
        known = place < len(keys)
        known[known] = keys[place[known]] == rows.lanes[known, 0]
        lanes, numbers = np.zeros((2, len(keys)), np.uint64), np.full((2, len(keys)), -1)
        where = rows.of_view[known].astype(np.int64), place[known]
        lanes[where], numbers[where] = rows.lanes[known, 1], rows.numbers[known]
        return _State(lanes, numbers)

    @property
    def equal(self) -> npt.NDArray[np.bool_]:
        """Which keys' rows both sides have alike, or neither has."""
        return np.asarray(self.lanes[BASE] == self.lanes[VIEW])

    def at(self, places: Places) -> _State:
        """Of some of the keys."""
        return _State(self.lanes[:, places], self.numbers[:, places])


@dataclass(frozen=True)
class BulkBatch:
    """Differences over the rows of two reads; each is put together when it is asked for."""

    codes: npt.NDArray[np.int8]
    first: _State
    second: _State
    found: Sequence[FoundRows]
    key_of: Callable[[int], RawCells]
    keys: int

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kind of each."""
        return [_CODES[code] for code in self.codes.tolist()]

    def __getitem__(self, number: int) -> RawDifference:
        base, view = (self._cells(side, number) for side in (BASE, VIEW))
        row = base or view
        key = row[: self.keys] if row else self.key_of(number)
        kind = _CODES[self.codes[number]]
        lagging = HEALED if self.second.equal[number] else CHANGED
        reason = {Kind.UNKNOWN: NOT_READ, Kind.LAGGING: lagging}.get(kind, "")
        others = [None if cells is None else cells[self.keys :] for cells in (base, view)]
        return RawDifference(kind, key, others[BASE], others[VIEW], reason)

    def _cells(self, side: int, number: int) -> RawCells | None:
        row = int(self.second.numbers[side, number])
        return self.found[side].cells(row) if row >= 0 else None


def confirm_by_scan(
    items: Items, rereader: Rereader, grace_s: float, sleep: Callable[[float], None]
) -> list[Batch]:
    """Each row that differs. What changed or healed meanwhile is LAGGING; all are UNKNOWN if a scan is incomplete."""
    layout = rereader.layout
    if layout.keeps_key:
        lanes = np.stack([key_lanes(layout, items.names, rereader.seed), items.lanes[:, 0]], axis=1)
        rows = _Rows(items.signs < 0, lanes, np.full(len(lanes), -1))
        wanted = lanes[:, 0]

        def key_of_item(item: int) -> RawCells:
            return tuple(layout.key_cells(items.names[item].tolist()))

        return [_confirmed(rows, wanted, key_of_item, rereader, grace_s, sleep)]
    found, complete = _resolved(items, rereader)
    kind, reason = (Kind.LAGGING, GONE) if complete else (Kind.UNKNOWN, NOT_READ)
    nameless = RawDifference(kind, (None,) * layout.keys, None, None, reason)
    missing = max(0, len(items) - sum(map(len, found)))

    def key_of_row(item: int) -> RawCells:
        side, row = (BASE, item) if item < len(found[BASE]) else (VIEW, item - len(found[BASE]))
        return found[side].cells(row)[: layout.keys]

    wanted = np.concatenate([rows.lanes[:, 0] for rows in found])
    first = _Rows.of(found, rereader)
    return [Listed([nameless] * missing), _confirmed(first, wanted, key_of_row, rereader, grace_s, sleep)]


def _resolved(items: Items, rereader: Rereader) -> tuple[list[FoundRows], bool]:
    """The rows of items that carry only tokens, found by their own hashes; and whether all of both sides was read."""
    found, complete = [], True
    for side, sign in ((BASE, 1), (VIEW, -1)):
        rows, report = rereader.by_scan(items.lanes[items.signs == sign, 0], [side], by_key=False)
        found.append(rows[side])
        complete &= report.complete
    return found, complete


def _confirmed(
    rows: _Rows,
    wanted: Words,
    key_of: Callable[[int], RawCells],
    rereader: Rereader,
    grace_s: float,
    sleep: Callable[[float], None],
) -> BulkBatch:
    """`rows`: as seen first; `wanted`: the lanes of their keys as they are spelled; key_of: the key of one of them."""
    keys, an_item = np.unique(rows.lanes[:, 0], return_index=True)
    first = _State.of(keys, rows)
    sleep(grace_s)
    found, report = rereader.by_scan(np.unique(wanted), (BASE, VIEW), by_key=True)
    read = [found[BASE], found[VIEW]]
    second = _State.of(keys, _Rows.of(read, rereader))
    # Alike at first already, but for the spelling of their keys: no candidate at all.
    kept = np.flatnonzero(~first.equal)
    first, second = first.at(kept), second.at(kept)
    codes = _codes(first, second) if report.complete else np.full(len(kept), _UNKNOWN, np.int8)
    return BulkBatch(
        codes, first, second, read, lambda number: key_of(int(an_item[kept[number]])), rereader.layout.keys
    )


def _codes(first: _State, second: _State) -> npt.NDArray[np.int8]:
    """The judgement over two reads of both sides, as confirm.settle gives it."""
    base, view = second.lanes != 0
    codes = np.where(base, np.where(view, _MISMATCH, _LOST), _ORPHAN).astype(np.int8)
    changed = (first.lanes != second.lanes).any(axis=0)
    codes[second.equal | changed] = _LAGGING
    return codes


def _lanes(rows: FoundRows, rereader: Rereader) -> Words:
    """The lanes of keys and rows; where one key can be spelled in several ways, of what they mean."""
    if not rereader.respelled or not len(rows):
        return rows.lanes
    keys = rereader.layout.keys
    cells = [rows.cells(number) for number in range(len(rows))]
    decoded = [canonical(decoded_key(rereader.types[:keys], row[:keys])) for row in cells]
    pairs = [(_hash(key), _hash(row[keys:])) for key, row in zip(decoded, cells, strict=True)]
    return np.array(pairs, np.uint64)


def _hash(value: object) -> int:
    return int.from_bytes(blake2b(repr(value).encode(), digest_size=8).digest(), "big")
