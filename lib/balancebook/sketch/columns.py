"""The columns of a raw page as arrays: whole numbers as they are, everything else as a hash of its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.sketch.layout import Page
from balancebook.sketch.machine_code import Kernel
from balancebook.sketch.sketch import raise_for

_COLUMNS = Kernel("columns_kernels.columns", "u1[:] i8 i8 i8[:] i8[:,:] u1[:,:] i8[:,:] i8[:,:]")
_HASH = Kernel("columns_kernels.hash_cell", "u1[:]")

# Whole numbers of at most a word; timestamps are milliseconds.
_NUMBERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "counter": 8, "timestamp": 8}


def is_number(cql_type: str) -> bool:
    """Whether cells of that CQL type are taken as int64."""
    return cql_type in _NUMBERS


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of a page by column, each an array (rows, columns).

    values: int64, the number, or what stands for a cell of another type. there: bool, whether the cell is not null
    (nor, of a number, empty). starts, ends: int64, where its bytes are in `body`; an end of -1 is null.
    """

    values: npt.NDArray[np.int64]
    there: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    body: Page

    def __len__(self) -> int:
        return len(self.values)

    def cell(self, row: int, column: int) -> bytes | None:
        """The bytes of one cell, None for null."""
        start, end = int(self.starts[row, column]), int(self.ends[row, column])
        return None if end < 0 else self.body[start:end].tobytes()


class ColumnReader:
    """Makes columns of pages whose columns have these CQL types."""

    def __init__(self, cql_types: Sequence[str]) -> None:
        self._widths = np.array([_NUMBERS.get(each, 0) for each in cql_types], np.int64)

    def read(self, body: Page, start: int, rows: int) -> Columns:
        """The page's rows, which begin at `start` (at least 8) and end with it. Raises PageError."""
        count = len(self._widths)
        # By column, since that is how they are used: each lies in one piece.
        values, there = np.zeros((count, rows), np.int64), np.zeros((count, rows), np.bool_)
        starts, ends = np.empty((rows, count), np.int64), np.empty((rows, count), np.int64)
        raise_for(_COLUMNS(body, start, rows, self._widths, values, there.view(np.uint8), starts, ends))
        return Columns(values.T, there.T, starts, ends, body)


def hash_of(cell: bytes) -> int:
    """What stands for a cell of those bytes in a column that holds no numbers."""
    raw = np.frombuffer(len(cell).to_bytes(4, "big") + cell, np.uint8)
    return _HASH(raw)
