"""What a confirming scan keeps of a side: the layout of its records, its rows, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balancebook.reconcile.confirm import scan_rule
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.record_files import RecordFiles
from balancebook.reconcile.confirm.rule import GONE, IN_STEP
from balancebook.reconcile.confirm.scan_rule import Units
from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.sketch.layout import Words
from balancebook.sketch.records import ADDRESS, KEY, RecordLayout, sizes
from balancebook.sketch.sketch import cells_of
from balancebook.store.raw import RawCells

_KINDS = {
    scan_rule.LOST: Kind.LOST,
    scan_rule.MISMATCH: Kind.MISMATCH,
    scan_rule.ORPHAN: Kind.ORPHAN,
    scan_rule.LAGGING: Kind.LAGGING,
    scan_rule.GONE: Kind.LAGGING,
}
_REASONS = {scan_rule.LAGGING: IN_STEP, scan_rule.GONE: GONE}


class KeptRows:
    """The rows that the scan of that name kept of one part, by address and key.

    keys, columns: how many of a row's cells are the view's key, and how many there are without write times.
    """

    def __init__(self, folder: Path, name: str, part: int, keys: int, columns: int) -> None:
        self._keys, self._columns = keys, columns
        self._files = [RecordFiles(folder, f"{name}.{side}") for side in (BASE, VIEW)]
        self._part = part

    def of(self, address: int, key: int) -> tuple[RawCells | None, RawCells | None]:
        """The rows of base and view of that address under that key."""
        return self.base(address, key), self._row(VIEW, address, key)

    def base(self, address: int, key: int) -> RawCells | None:
        """The base's row, of a scan that kept the base's alone."""
        return self._row(BASE, address, key)

    def all(self) -> Iterator[tuple[tuple[int, int], tuple[RawCells | None, RawCells | None]]]:
        """Each address and key, and the rows there."""
        names = (map(tuple, records[:, [ADDRESS, KEY]].tolist()) for records in self._records)
        for address, key in set().union(*names):
            if key:
                yield (address, key), self.of(address, key)

    def difference(self, address: int, key: int, kind: Kind, reason: str) -> RawDifference:
        """The rows of a key as a difference; nameless, if there are none."""
        base, view = self.of(address, key)
        row = view or base
        named = row[: self._keys] if row else (None,) * self._keys
        return RawDifference(kind, named, base and base[self._keys :], view and view[self._keys :], reason)

    # Read when a row is asked for: of most parts none is. Of a whole side there are many records, of which few are
    # asked for.
    @cached_property
    def _records(self) -> list[Words]:
        return [each.records(self._part) for each in self._files]

    @cached_property
    def _order(self) -> list[npt.NDArray[np.int64]]:
        return [np.argsort(records[:, ADDRESS]) for records in self._records]

    @cached_property
    def _sorted(self) -> list[Words]:
        return [records[order, ADDRESS] for records, order in zip(self._records, self._order, strict=True)]

    @cached_property
    def _bytes(self) -> list[npt.NDArray[np.uint8]]:
        return [each.rows(self._part) for each in self._files]

    @cached_property
    def _ends(self) -> list[npt.NDArray[np.int64]]:
        return [np.cumsum(sizes(records)) for records in self._records]

    def _row(self, side: int, address: int, key: int) -> RawCells | None:
        first, last = (
            int(np.searchsorted(self._sorted[side], np.uint64(address), end)) for end in ("left", "right")
        )
        for place in self._order[side][first:last].tolist():
            if int(self._records[side][place, KEY]) == key:
                begin = int(self._ends[side][place - 1]) if place else 0
                row = self._bytes[side][begin : int(self._ends[side][place])]
                return cells_of(row.tobytes())[: self._columns]
        return None


@dataclass(frozen=True)
class ScanBatch:
    """What two scans settled; each difference is put together when it is asked for."""

    units: Units
    codes: npt.NDArray[np.int8]
    places: npt.NDArray[np.int64]
    shown: KeptRows

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kind of each."""
        return [_KINDS[code] for code in self.codes[self.places].tolist()]

    @property
    def gone(self) -> int:
        """How many are gone from both sides."""
        return int(np.count_nonzero(self.codes == scan_rule.GONE))

    def __getitem__(self, number: int) -> RawDifference:
        unit = int(self.places[number])
        code = int(self.codes[unit])
        address, key = int(self.units.addresses[unit]), int(self.units.keys[unit])
        return self.shown.difference(address, key, _KINDS[code], _REASONS.get(code, ""))


def record_layout(columns: LookColumns, side: int) -> RecordLayout:
    """How the rows of a side lie that are read with their write times."""
    keys, values, times = columns.keys, len(columns.values), len(columns.timed)
    own = len(columns.times(side)) - times
    at = keys + values
    moving = side == BASE and bool(columns.moving)
    proof = range(at + times, at + times + len(columns.moving)) if moving else range(at, at + times + own)
    return RecordLayout(keys, values, times, own, columns.address, tuple(proof), moving)


def among(records: Words, wanted: Words) -> npt.NDArray[np.bool_]:
    """Which records have one of the addresses, which are sorted."""
    if not len(wanted):
        return np.zeros(len(records), bool)
    at = np.minimum(np.searchsorted(wanted, records[:, ADDRESS]), len(wanted) - 1)
    return np.asarray(wanted[at] == records[:, ADDRESS])


def hash_of(key: Sequence[bytes]) -> int:
    """Never 0, which is the lane of a key that is none."""
    parts = (len(cell).to_bytes(4, "big") + cell for cell in key)
    return int.from_bytes(blake2b(b"".join(parts), digest_size=8).digest(), "big") or 1
