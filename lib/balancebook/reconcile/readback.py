"""Reading rows again by what a sketch says of them: their key's bytes, or the tokens of their partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY
from balancebook.reconcile.sides import Side
from balancebook.reconcile.values import Cells, hashable_key
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import PageError, Wanted, key_lane
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import RawPage, decode, raw_pages
from balancebook.store.raw_scan import RawScan
from balancebook.store.reader import Reader
from balancebook.store.scan import LOWEST, ScanReport, filtered, range_clause

RawKey = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as one side has it: the view's key as bytes and decoded, and the other cells, decoded."""

    raw: RawKey
    key: Cells
    cells: Cells


@dataclass(frozen=True, slots=True)
class Rereader:
    """Reads single rows and partitions of both sides again. `sides`: base, view; `columns`: of the view, key first."""

    reader: Reader
    sides: tuple[Side, Side]
    layout: RowLayout
    seed: int

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of either side, in this order."""
        return (*self.sides[1].key, *self.sides[1].values)

    def by_key(self, side: int, raw: RawKey, key: Cells) -> Row | None:
        """The row of that key as one side has it now, at the confirming consistency. Raises StoreError."""
        by_name = dict(zip(self.sides[side].key, raw, strict=True))
        partition = self.sides[side].table.partition_key
        if len(partition) == 1 and by_name[partition[0].name] == b"":
            # `WHERE key = ''` is refused.
            found = self.in_partition(side, LOWEST, [key_lane(raw, self.seed)], by_key=True)
            return next((row for row in found if row.raw == raw), None)
        address = self.sides[side].address
        where = " AND ".join(f"{quote(name)} = ?" for name in address)
        pages = raw_pages(
            self.reader,
            f"{self._select(side)} WHERE {where}",
            [by_name[name] for name in address],
            consistency=BY_KEY_CONSISTENCY,
            serialized=True,
        )
        rows = [row for page in pages for row in self._rows(page)]
        # A base row may be there under another key of the view. What is equal in CQL may have other bytes.
        one = next((row for row in rows if row.raw == raw or row.key == key), None)
        if one is None:
            return None
        cells = dict(zip(self.sides[side].key, one.raw, strict=True))
        return one if self.sides[side].selected.admits(self.reader, cells, serialized=True) else None

    def in_partition(self, side: int, token: int, lanes: Iterable[int], *, by_key: bool = False) -> list[Row]:
        """The wanted rows of the partitions with that token. Raises StoreError."""
        table = self.sides[side].table
        if token == LOWEST:
            # To the server this one means no bound at all: it can be asked for only as a range.
            where, params = range_clause(table, (LOWEST, LOWEST + 1))
        else:
            partition = ", ".join(quote(column.name) for column in table.partition_key)
            where, params = f" WHERE token({partition}) = ?", (token,)
        wanted = Wanted(self.layout, self.seed, lanes, by_key=by_key)
        statement = self._select(side) + filtered(where, self.sides[side].selected.where)
        pages = raw_pages(self.reader, statement, params, consistency=BY_KEY_CONSISTENCY)
        return [row for page in pages for row in self.wanted(page, wanted)]

    def by_scan(
        self, lanes: Iterable[int], sides: Mapping[int, Side], *, by_key: bool
    ) -> tuple[list[tuple[int, Row]], ScanReport]:
        """The wanted rows of whole sides, with the number of the side; they are all only if the report is complete."""
        wanted = Wanted(self.layout, self.seed, lanes, by_key=by_key)
        numbers = list(sides)

        def gather(_table: int, pages: Iterator[RawPage]) -> list[Row]:
            return [row for page in pages for row in self.wanted(page, wanted)]

        scan = RawScan(
            self.reader,
            [side.table for side in sides.values()],
            self.columns,
            gather,
            wheres=[side.selected.where for side in sides.values()],
        )
        rows = [(numbers[table], row) for table, found in scan for row in found]
        return rows, scan.report

    def wanted(self, page: RawPage, wanted: Wanted) -> list[Row]:
        """The rows of a page that are wanted. Raises StoreError for a page that is not as it says."""
        try:
            found, _ = wanted.find(page.body, page.start, page.rows)
        except PageError as error:
            raise StoreError("protocol", f"A page cannot be read: {error}", "Run it again.") from error
        return [self._row(page, row.cells) for row in found]

    def _select(self, side: int) -> str:
        selected = ", ".join(quote(name) for name in self.columns)
        return f"SELECT {selected} FROM {self.sides[side].table.cql_name}"

    def _rows(self, page: RawPage) -> list[Row]:
        keys = self.layout.keys
        return [self._row(page, cells) for cells in page.cells() if None not in cells[:keys]]

    def _row(self, page: RawPage, cells: tuple[bytes | None, ...]) -> Row:
        keys = self.layout.keys
        decoded = decode(page.types, cells)
        raw = tuple(cell or b"" for cell in cells[:keys])
        return Row(raw, hashable_key(decoded[:keys]), decoded[keys:])
