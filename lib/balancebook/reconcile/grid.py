"""The token ring cut into cells of equal width, each with about a few dozen rows: what a sample draws from."""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.store.errors import StoreError
from balancebook.store.estimate import estimate
from balancebook.store.names import quote
from balancebook.store.ranges import MAY_PASS
from balancebook.store.reader import RING, Reader
from balancebook.store.scan import require_murmur3
from balancebook.store.schema import Table
from balancebook.store.tokens import HIGHEST, LOWEST, TokenRange

_ROWS_A_CELL = 32
# Of which one is enough to be read by chance, and no cell is narrower than a few million tokens.
_MOST_CELLS = 2**40
# Where the server tells nothing: 30 million rows make cells of the wanted size.
_CELLS_UNKNOWN = 2**20
_PROBED = 1000


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells` cells from -2^63 to 2^63-1, that meet without gap or overlap and differ in width by a token at most."""

    cells: int

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= _MOST_CELLS:
            raise ValueError(f"a grid of {self.cells} cells: 1 to {_MOST_CELLS} are possible")

    def tokens(self, cell: int) -> TokenRange:
        """The tokens (lo, hi] of a cell, from 0; the first holds -2^63 too, as store.scan.range_clause asks for it."""
        if not 0 <= cell < self.cells:
            raise ValueError(f"cell {cell} of {self.cells}: they count from 0")
        width = HIGHEST - LOWEST
        return LOWEST + width * cell // self.cells, LOWEST + width * (cell + 1) // self.cells


def grid_for(reader: Reader, table: Table) -> Grid:
    """Cells of about 32 rows, but of one partition on average at the least, since no cell holds a part of one.

    By the server's estimate of rows, which it has not of a new table: then by how densely the first 1,000 lie. If
    neither can be read now, 2^20 cells. Raises StoreError for non-retryable errors.
    """
    require_murmur3(reader)
    try:
        partitions = _by_density(reader, table, "DISTINCT ")
        rows = estimate(reader, table).rows or _by_density(reader, table)
    except StoreError as error:
        if error.kind not in MAY_PASS:
            raise
        return Grid(_CELLS_UNKNOWN)
    return Grid(max(1, min(rows // _ROWS_A_CELL, partitions, _MOST_CELLS)))


def _by_density(reader: Reader, table: Table, distinct: str = "") -> int:
    """About how many rows, or distinct partitions, there are, by the tokens of the first of them."""
    token = f"token({', '.join(quote(column.name) for column in table.partition_key)})"
    first = reader.rows(f"SELECT {distinct}{token} FROM {table.cql_name} LIMIT {_PROBED}")
    if len(first) < _PROBED:
        return len(first)
    return int(len(first) * RING // max(1, first[-1][0] - LOWEST))
