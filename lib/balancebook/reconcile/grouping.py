"""Which partitions of the other side belong to those asked for, and how they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from balancebook.progress import Step
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.keys_file import Keys
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import Side
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES, ScanReport, tasks_by_turns
from balancebook.store.raw import RawCells, RawPage, encode
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader


@dataclass(slots=True)
class Group:
    """Partitions that are compared at once: the numbers of those asked for; what to read of the other side, as cells
    of its columns; and the rows that a scan of it has found, by the normal form of their key."""

    asked: list[int]
    others: list[Mapping[str, bytes]] = field(default_factory=list)
    held: dict[RawKey, RawCells] = field(default_factory=dict)


class Asked:
    """The partitions asked for, by number, as the rows of a view with these columns belong to them.

    cells: of each partition, as bytes. `types`: the driver's, of the view's key.
    """

    def __init__(self, keys: Keys, columns: LookColumns, types: Sequence[object]) -> None:
        self.columns = keys.columns
        self._places = [columns.names.index(name) for name in keys.columns]
        self._identity = columns.identity
        self.cells: list[RawKey] = [
            tuple(encode(types[place], value) for place, value in zip(self._places, partition, strict=True))
            for partition in keys.partitions
        ]
        self._numbers = {self._normal(cells): number for number, cells in enumerate(self.cells)}

    def number(self, key: Sequence[bytes | None]) -> int | None:
        """The partition to which the row of that key of the view belongs, or None."""
        return self._numbers.get(self._normal([key[place] or b"" for place in self._places]))

    def by(self, columns: Sequence[str]) -> dict[RawKey, list[int]]:
        """The numbers of the partitions by what they have in some of the columns."""
        places = [self.columns.index(name) for name in columns]
        found: dict[RawKey, list[int]] = {}
        for number, cells in enumerate(self.cells):
            found.setdefault(tuple(cells[place] for place in places), []).append(number)
        return found

    def _normal(self, cells: Sequence[bytes]) -> RawKey:
        return tuple(
            self._identity.normal(place, cell) for place, cell in zip(self._places, cells, strict=True)
        )


@dataclass
class Grouping:
    """Finds the groups of `asked` partitions. `scan`: the reading of the other side's list, or of all of it; `how`:
    what to say of that."""

    reader: Reader
    asked: Asked
    other: Side
    budget_rows: int
    tell: Callable[[Step], None]
    identity_of: Callable[[RawCells], RawKey]
    pace: Pace | None = None
    scan: ScanReport | None = None
    how: str = "no table was scanned"

    def find(self) -> list[Group]:
        """The groups, each partition asked for in one of them. Raises StoreError for non-retryable errors."""
        partition = [column.name for column in self.other.table.partition_key]
        given = [name for name in partition if name in self.asked.columns]
        if len(given) == len(partition):
            return self._addressed(partition)
        return self._listed(partition, given) if given else self._scanned()

    def _addressed(self, partition: Sequence[str]) -> list[Group]:
        """The other side's partitions follow from those asked for; with the clustering columns that do, only parts."""
        address = list(partition)
        for column in self.other.table.clustering_key:
            if column.name not in self.asked.columns:
                break
            address.append(column.name)
        return [
            Group(numbers, [dict(zip(address, cells, strict=True))])
            for cells, numbers in self.asked.by(address).items()
        ]

    def _listed(self, partition: Sequence[str], given: Sequence[str]) -> list[Group]:
        """The other side's partitions are those of its list that agree in the columns given."""
        groups = {cells: Group(numbers) for cells, numbers in self.asked.by(given).items()}
        places = [partition.index(name) for name in given]
        for row in self._read(partition, distinct=True):
            cells = tuple(cell or b"" for cell in row)
            if group := groups.get(tuple(cells[place] for place in places)):
                group.others.append(dict(zip(partition, cells, strict=True)))
        table = self.other.table.name
        self.how = f"those of {table} were found by listing all its {self._rows():,} keys"
        return list(groups.values())

    def _scanned(self) -> list[Group]:
        """The other side's rows of what is asked for, all of them held."""
        groups = [Group([number]) for number in range(len(self.asked.cells))]
        keys = len(self.other.key)
        for row in self._read((*self.other.key, *self.other.values), distinct=False):
            number = None if None in row[:keys] else self.asked.number(row)
            if number is not None:
                groups[number].held[self.identity_of(row)] = row
        columns = ", ".join(self.asked.columns)
        table = self.other.table.name
        self.how = f"{table} was scanned whole ({self._rows():,} rows), since {columns} does not narrow it"
        return groups

    def _read(self, columns: Sequence[str], *, distinct: bool) -> Iterator[RawCells]:
        note = f"{'listing' if distinct else 'scanning'} {self.other.table.name}"
        where = "" if distinct else self.other.selected.where
        scan = raw_scan(
            self.reader,
            [self.other.table],
            columns,
            partial(_rows_of, whole=not distinct, wanted=self.asked.number),
            tasks_by_turns(RANGES, 1),
            budget_rows=self.budget_rows,
            first_only=distinct,
            wheres=[where],
            progress=lambda at: self.tell(Step(at.ranges_done, at.ranges_total, at.rows, note=note)),
            pace=self.pace,
        )
        self.scan = scan.report
        for part in scan:
            yield from part.gathered

    def _rows(self) -> int:
        return self.scan.rows if self.scan else 0


def _rows_of(
    _table: int, pages: Iterator[RawPage], *, whole: bool, wanted: Callable[[RawCells], int | None]
) -> list[RawCells]:
    """The rows of pages; of whole rows only those of partitions asked for."""
    rows = (row for page in pages for row in page.cells())
    return [row for row in rows if not whole or wanted(row) is not None]
