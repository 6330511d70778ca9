"""Which partitions of the other side belong to those asked for, and how they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from balancebook.progress import Step
from balancebook.reconcile.keys_file import Keys
from balancebook.reconcile.sides import Rows, Side
from balancebook.reconcile.values import Cells
from balancebook.store.pace import Pace
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.store.scan import scan


@dataclass(slots=True)
class Group:
    """Partitions that are compared at once: the numbers of those asked for; what to read of the other side, as values
    of its columns; and the rows that a scan of it has found."""

    asked: list[int]
    others: list[Mapping[str, Any]] = field(default_factory=list)
    held: Rows = field(default_factory=dict)


class Asked:
    """The partitions asked for, by number, as the rows of a view with that key belong to them."""

    def __init__(self, keys: Keys, view_key: Sequence[str]) -> None:
        self.columns, self.partitions = keys.columns, keys.partitions
        self._places = [view_key.index(name) for name in keys.columns]
        # By its text a partition is told from all others: decimal 1.0 from 1.00.
        self._numbers = {repr(partition): number for number, partition in enumerate(keys.partitions)}

    def number(self, key: Cells) -> int | None:
        """The partition to which the row of that key belongs, or None."""
        return self._numbers.get(repr(tuple(key[place] for place in self._places)))

    def by(self, columns: Sequence[str]) -> dict[str, tuple[Cells, list[int]]]:
        """The partitions by what they have in some of the columns: its text -> (it, the numbers)."""
        places = [self.columns.index(name) for name in columns]
        found: dict[str, tuple[Cells, list[int]]] = {}
        for number, partition in enumerate(self.partitions):
            part = tuple(partition[place] for place in places)
            found.setdefault(repr(part), (part, []))[1].append(number)
        return found


@dataclass
class Grouping:
    """Finds the groups of `asked` partitions. `scan`: the reading of the other side's list, or of all of it; `how`:
    what to say of that."""

    reader: Reader
    asked: Asked
    other: Side
    budget_rows: int
    tell: Callable[[Step], None]
    pace: Pace | None = None
    scan: ScanReport | None = None
    how: str = "no table was scanned"

    def find(self) -> list[Group]:
        """The groups, each partition asked for in one of them. Raises StoreError for what no retry mends."""
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
            Group(numbers, [dict(zip(address, values, strict=True))])
            for values, numbers in self.asked.by(address).values()
        ]

    def _listed(self, partition: Sequence[str], given: Sequence[str]) -> list[Group]:
        """The other side's partitions are those of its list that agree in the columns given."""
        groups = {text: Group(numbers) for text, (_, numbers) in self.asked.by(given).items()}
        places = [partition.index(name) for name in given]
        for row in self._read(partition, distinct=True):
            if group := groups.get(repr(tuple(row[place] for place in places))):
                group.others.append(dict(zip(partition, row, strict=True)))
        table = self.other.table.name
        self.how = f"those of {table} were found by listing all its {self._rows():,} keys"
        return list(groups.values())

    def _scanned(self) -> list[Group]:
        """The other side's rows of what is asked for, all of them held."""
        groups = [Group([number]) for number in range(len(self.asked.partitions))]
        for row in self._read((*self.other.key, *self.other.values), distinct=False):
            for key, cells in self.other.shaped(row):
                number = self.asked.number(key)
                if number is not None:
                    groups[number].held[key] = cells
        columns = ", ".join(self.asked.columns)
        table = self.other.table.name
        self.how = f"{table} was scanned whole ({self._rows():,} rows), since {columns} does not narrow it"
        return groups

    def _read(self, columns: Sequence[str], *, distinct: bool) -> Iterator[tuple[Any, ...]]:
        note = f"{'listing' if distinct else 'scanning'} {self.other.table.name}"
        pages = scan(
            self.reader,
            self.other.table,
            columns,
            budget_rows=self.budget_rows,
            distinct=distinct,
            progress=lambda at: self.tell(Step(at.ranges_done, at.ranges_total, at.rows, note=note)),
            pace=self.pace,
        )
        self.scan = pages.report
        for page in pages:
            yield from page

    def _rows(self) -> int:
        return self.scan.rows if self.scan else 0
