"""Records of many rows in files, by the hash of their address: two whole sides are joined one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from balancebook.sketch.layout import Page, Words
from balancebook.sketch.records import ADDRESS, RECORD_BYTES, WORDS, gathered, sizes

PARTS = 64
# A side has 128 files open at most.
_BUFFER = 1 << 16
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

    @contextmanager
    def opened(self) -> Iterator[Callable[[Words, Page | None], None]]:
        """Yields a function that appends records, and the bytes of their rows if given, to the files of their parts.

        The rows stand one after another, in the order of their records. Raises OSError.
        """
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {}

            def write(name: str, data: Words | Page) -> None:
                if name not in files:
                    files[name] = stack.enter_context(self._path(name).open("ab", _BUFFER))
                files[name].write(data.data)

            yield partial(_write_parts, write)

    def records(self, part: int) -> Words:
        """The records of a part, uint64 (n, 6)."""
        path = self._path(f"{part}.records")
        found = np.fromfile(path, np.uint64) if path.exists() else np.empty(0, np.uint64)
        return found.reshape(-1, WORDS)

    def rows(self, part: int) -> npt.NDArray[np.uint8]:
        """The bytes of a part's rows, one after another; read from the disk where they are looked at."""
        path = self._path(f"{part}.rows")
        return np.memmap(path, np.uint8, "r") if path.exists() else np.empty(0, np.uint8)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._name}.{name}"


def _write_parts(write: Callable[[str, Words | Page], None], records: Words, rows: Page | None) -> None:
    """Write each record, and its row, to the files of its part."""
    parts = parts_of(records[:, ADDRESS]).astype(np.uint8)
    # Of bytes a stable sort takes a tenth of the time.
    order = np.argsort(parts, kind="stable")
    records_in_order = records[order]
    places = _edges(np.bincount(parts, minlength=PARTS))
    _write_slices(write, "records", records_in_order, places)
    if rows is not None:
        edges = _edges(sizes(records))
        rows_in_order = gathered(rows, np.column_stack([edges[:-1], edges[1:]]), order)
        _write_slices(write, "rows", rows_in_order, _edges(sizes(records_in_order))[places])


def _edges(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of things of these lengths, one after another: where the first begins, and where each ends."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _write_slices(
    write: Callable[[str, Words | Page], None], kind: str, data: Words | Page, places: npt.NDArray[np.int64]
) -> None:
    """Write the data from each place to the next to the file of that part."""
    for part, (begin, end) in enumerate(pairwise(places.tolist())):
        if end > begin:
            write(f"{part}.{kind}", data[begin:end])


def needed_bytes(rows: int, row_bytes: int, *, replicated: bool) -> int:
    """How much disk a comparison of that many rows of both sides together takes at most, each of that size on average:
    the records of two scans, with the rows of the base in the first and of both sides in the second; where rows have
    replicas, the records of four scans, with the rows of three."""
    records, copies = (4, 3) if replicated else (2, 2)
    return rows * (records * RECORD_BYTES + copies * row_bytes)
