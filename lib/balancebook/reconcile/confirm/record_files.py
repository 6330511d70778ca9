"""Records of many rows in files, by the hash of their address: two whole sides are joined one part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balancebook.sketch.layout import Words
from balancebook.sketch.records import ADDRESS, RECORD_BYTES, WORDS

PARTS = 64
_PART_SHIFT = np.uint64(64 - 6)


def parts_of(addresses: Words) -> Words:
    """The part to which each address belongs."""
    return addresses >> _PART_SHIFT


class RecordFiles:
    """One side of one scan: the records of each part, and, if they are kept, the rows' bytes in the same order.

    A range's records are added when it was read to its end, so that none counts twice.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def add(self, records: Words, rows: Sequence[bytes] | None = None) -> None:
        """Append them, each to its part. Raises OSError."""
        if not len(records):
            return
        parts = parts_of(records[:, ADDRESS])
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(PARTS, dtype=np.uint64), side="right")
        begin = 0
        for part, end in enumerate(ends.tolist()):
            if end > begin:
                chosen = order[begin:end]
                self._append(f"{part}.records", records[chosen].tobytes())
                if rows is not None:
                    self._append(f"{part}.rows", b"".join(rows[row] for row in chosen.tolist()))
            begin = end

    def records(self, part: int) -> Words:
        """The records of a part, uint64 (n, 6)."""
        path = self._path(f"{part}.records")
        found = np.fromfile(path, np.uint64) if path.exists() else np.empty(0, np.uint64)
        return found.reshape(-1, WORDS)

    def rows(self, part: int) -> npt.NDArray[np.uint8]:
        """The bytes of a part's rows, one after another; read from the disk where they are looked at."""
        path = self._path(f"{part}.rows")
        return np.memmap(path, np.uint8, "r") if path.exists() else np.empty(0, np.uint8)

    def _append(self, name: str, data: bytes) -> None:
        with self._path(name).open("ab") as file:
            file.write(data)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._name}.{name}"


def needed_bytes(rows: int, row_bytes: int, *, replicated: bool) -> int:
    """How much disk a comparison of that many rows of both sides together takes at most, each of that size on average:
    the records of two scans, with the rows of the base in the first and of both sides in the second; where rows have
    replicas, the records of four scans, with the rows of three."""
    records, copies = (4, 3) if replicated else (2, 2)
    return rows * (records * RECORD_BYTES + copies * row_bytes)
