"""The columns of a raw page as arrays: whole numbers as they are, everything else as a hash of its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.sketch.compiler import kernel
from balancebook.sketch.rows import LEFT_OVER, OK, Page, Places, hash_bytes, next_row, number_before
from balancebook.sketch.sketch import raise_for

# Whole numbers of at most a word; timestamps are milliseconds.
_NUMBERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "counter": 8, "timestamp": 8}
# Of hashes that are only compared within one process; two values are taken for one by a chance of 2^-64 each.
_ONE, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


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
        code, values, there, starts, ends = _columns(body, start, rows, self._widths)
        raise_for(code)
        return Columns(values, there, starts, ends, body)


def hash_of(cell: bytes) -> int:
    """What stands for a cell of those bytes in a column that holds no numbers."""
    raw = np.frombuffer(len(cell).to_bytes(4, "big") + cell, np.uint8)
    return int(_hash(raw))


@kernel
def _hash(raw: Page) -> np.int64:
    return np.int64(hash_bytes(raw, 0, raw.shape[0], _ONE, _OTHER)[0])


@kernel
def _columns(
    body: Page, at: int, rows: int, widths: Places
) -> tuple[int, Places, npt.NDArray[np.bool_], Places, Places]:
    count = widths.shape[0]
    # By column, since that is how they are used: each lies in one piece.
    values = np.zeros((count, rows), np.int64).T
    there = np.zeros((count, rows), np.bool_).T
    starts, ends = np.empty((rows, count), np.int64), np.empty((rows, count), np.int64)
    for row in range(rows):
        code, end, _ = next_row(body, at, widths, 0, starts[row], ends[row])
        if code != OK:
            return code, values, there, starts, ends
        for column in range(count):
            size = ends[row, column] - starts[row, column]
            if ends[row, column] < 0 or (size == 0 and widths[column] > 0):
                continue
            there[row, column] = True
            if widths[column] == size:
                values[row, column] = number_before(body, ends[row, column], widths[column])
            else:
                first = starts[row, column] - 4
                values[row, column] = np.int64(hash_bytes(body, first, ends[row, column], _ONE, _OTHER)[0])
        at = end
    return (OK if at == body.shape[0] else LEFT_OVER), values, there, starts, ends
