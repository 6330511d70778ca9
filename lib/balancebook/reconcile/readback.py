"""Reading rows again by what a sketch says of them: their key's bytes, or the tokens of their partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY
from balancebook.reconcile.found import decoded_key
from balancebook.reconcile.sides import Side
from balancebook.reconcile.values import Cells
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import FoundRows, Wanted, key_lane
from balancebook.store.names import quote
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES, ScanReport, tasks_by_turns
from balancebook.store.raw import RawCells, RawPage, raw_pages
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader
from balancebook.store.tokens import LOWEST, filtered, range_clause

RawKey = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as one side has it: the view's key as bytes and decoded, and the other cells as bytes."""

    raw: RawKey
    key: Cells
    cells: RawCells


@dataclass(frozen=True, slots=True)
class Rereader:
    """Reads single rows and partitions of both sides again. `sides`: base, view; `types`: of the view's columns."""

    reader: Reader
    sides: tuple[Side, Side]
    layout: RowLayout
    types: Sequence[Any]
    seed: int
    ranges: int = RANGES
    pace: Pace | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of either side: the view's columns, its key first."""
        return (*self.sides[1].key, *self.sides[1].values)

    @property
    def respelled(self) -> bool:
        """Whether one key can have different bytes: decimal 1.0 and 1.00 are one."""
        of_key = [column for column in self.sides[1].table.columns if column.name in self.sides[1].key]
        return any(name in column.cql_type for column in of_key for name in ("decimal", "varint"))

    def by_key(self, side: int, raw: RawKey, key: Cells, consistency: str = BY_KEY_CONSISTENCY) -> Row | None:
        """The row of that key as one side has it now. Raises StoreError."""
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
            consistency=consistency,
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
        found = [self._wanted(page, wanted) for page in pages]
        return [self._row(rows.cells(number)) for rows in found for number in range(len(rows))]

    def by_scan(
        self, lanes: Iterable[int], sides: Sequence[int], *, by_key: bool
    ) -> tuple[dict[int, FoundRows], ScanReport]:
        """The wanted rows of whole sides, by the side's number; they are all only if the report is complete."""
        wanted = Wanted(self.layout, self.seed, lanes, by_key=by_key)

        def gather(_table: int, pages: Iterator[RawPage]) -> list[FoundRows]:
            return [self._wanted(page, wanted) for page in pages]

        tasks = tasks_by_turns(self.ranges, len(sides))
        scan = raw_scan(
            self.reader,
            [self.sides[side].table for side in sides],
            self.columns,
            gather,
            tasks,
            wheres=[self.sides[side].selected.where for side in sides],
            pace=self.pace,
        )
        found: dict[int, list[FoundRows]] = {side: [] for side in sides}
        for part in scan:
            found[sides[part.task.table]] += [rows for rows in part.gathered if len(rows)]
        return {side: FoundRows.joined(parts) for side, parts in found.items()}, scan.report

    def first_rows(self, side: int, number: int) -> Iterator[RawPage]:
        """The first rows of a side in the order of their tokens, as pages. Raises StoreError."""
        limited = filtered("", self.sides[side].selected.where, number)
        return raw_pages(self.reader, self._select(side) + limited) if number else iter(())

    def _wanted(self, page: RawPage, wanted: Wanted) -> FoundRows:
        """The rows of a page that are wanted. Raises PageError."""
        return wanted.find(page.body, page.start, page.rows)[0]

    def _select(self, side: int) -> str:
        selected = ", ".join(quote(name) for name in self.columns)
        return f"SELECT {selected} FROM {self.sides[side].table.cql_name}"

    def _rows(self, page: RawPage) -> list[Row]:
        keys = self.layout.keys
        return [self._row(cells) for cells in page.cells() if None not in cells[:keys]]

    def _row(self, cells: RawCells) -> Row:
        keys = self.layout.keys
        raw = tuple(cell or b"" for cell in cells[:keys])
        return Row(raw, decoded_key(self.types[:keys], raw), cells[keys:])
