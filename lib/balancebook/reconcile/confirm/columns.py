"""What a look reads of either side: the view's columns, and the write times and times to live that CQL gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from balancebook.reconcile.confirm.rule import BaseRow, Cells, times_to_live
from balancebook.reconcile.model.identity import KeyIdentity, RawKey
from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.store.cql_types import has_one_write_time
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import RawCells
from balancebook.store.reader import Reader
from balancebook.store.schema import Column

# Each costs the server a fifth of a plain scan; one unwritten cell is enough to show that a row stayed.
_MOST_UNSELECTED = 2


@dataclass(frozen=True, slots=True)
class LookColumns:
    """The columns of one view and its base, by which looks at them are read.

    keys: how many columns are the view's key. timed: the others that have a write time, on both sides. moving: regular
    columns of the base that are in the view's key. unselected: columns of the base that the view does not have.
    identity: of the view's keys; base_identity: of the base's, whose columns stand at `address` in the view's key.
    """

    names: tuple[str, ...]
    keys: int
    timed: tuple[str, ...]
    moving: tuple[str, ...]
    unselected: tuple[str, ...]
    identity: KeyIdentity
    base_identity: KeyIdentity
    address: tuple[int, ...]
    base_partition: tuple[int, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that are not the view's key."""
        return self.names[self.keys :]

    @property
    def all_timed(self) -> bool:
        """Whether every column outside the view's key has a write time."""
        return self.timed == self.values

    @property
    def shares_rows(self) -> bool:
        """Whether several rows of the base can derive one row of the view: the base tells keys apart by their bytes
        that the view does not."""
        return any(self.identity.normalises(place) for place in self.base_partition)

    def times(self, side: int) -> tuple[str, ...]:
        """The columns whose write time is read of a side, those of both sides first."""
        return self.timed if side == VIEW else (*self.timed, *self.moving, *self.unselected)

    def expressions(self, side: int) -> tuple[str, ...]:
        """What a look selects, in CQL: the columns, then write times, then times to live."""
        timed = (f"{each}({quote(name)})" for each in ("WRITETIME", "TTL") for name in self.times(side))
        return (*map(quote, self.names), *timed)

    def expires(self, row: RawCells, side: int) -> bool:
        """Whether a cell of the row, as `expressions` has it, expires some day."""
        _, lives = self._split(row, side)
        return any(True for life in lives for _ in times_to_live(life))

    def is_timed(self, row: RawCells) -> bool:
        """Whether the row, of either side and as `expressions` has it, has a write time that both sides have."""
        begin = len(self.names)
        return any(time is not None for time in row[begin : begin + len(self.timed)])

    def without_unselected(self) -> LookColumns:
        """The same, with the view's columns alone."""
        return replace(self, unselected=())

    def base_key(self, key: Sequence[bytes | None]) -> RawKey:
        """Of a key of the view, the base's primary key in its normal form."""
        return self.base_identity.of([key[place] for place in self.address])

    def raw_key(self, row: RawCells) -> RawKey:
        """The view's key of a row of either side, as the row has it."""
        return tuple(cell or b"" for cell in row[: self.keys])

    def key_of(self, row: RawCells) -> RawKey:
        """The same in its normal form."""
        return self.identity.of(row[: self.keys])

    def view_row(self, row: RawCells) -> Cells:
        """A row of the view as the rule takes it."""
        return self._cells(row, VIEW)

    def base_row(self, row: RawCells, key: RawKey) -> BaseRow:
        """A row of the base as the rule takes it, for the row of the view of that key (in its normal form)."""
        own = row[: self.keys]
        derived = self._cells(row, BASE) if None not in own and self.identity.of(own) == key else None
        times, lives = self._split(row, BASE)
        timed, moved = len(self.timed), len(self.timed) + len(self.moving)
        return BaseRow(
            derived,
            key_values=tuple(row[self.names.index(name)] for name in self.moving),
            key_times=times[timed:moved],
            others=times[moved:],
            key_lives=lives[timed:moved],
            other_lives=lives[moved:],
        )

    def _cells(self, row: RawCells, side: int) -> Cells:
        times, lives = (dict(zip(self.timed, each, strict=False)) for each in self._split(row, side))
        return Cells(
            row[self.keys : len(self.names)],
            tuple(times.get(name) for name in self.values),
            tuple(lives.get(name) for name in self.values),
        )

    def _split(self, row: RawCells, side: int) -> tuple[RawCells, RawCells]:
        """The write times and the times to live of a row."""
        begin = len(self.names)
        middle = begin + len(self.times(side))
        return row[begin:middle], row[middle:]


def look_columns(reader: Reader, sides: tuple[Side, Side], types: Sequence[Any]) -> LookColumns:
    """The columns of these sides. `types`: the driver's, of the view's columns, its key first. Raises StoreError."""
    base, view = sides[BASE].table, sides[VIEW].table
    names = (*sides[VIEW].key, *sides[VIEW].values)
    keys = len(sides[VIEW].key)
    partition = {names.index(column.name) for column in view.partition_key}
    address = tuple(names.index(name) for name in sides[BASE].address)
    base_partition = tuple(names.index(column.name) for column in base.partition_key)
    regular = {column.name: column for column in base.regular}
    return LookColumns(
        names=names,
        keys=keys,
        timed=tuple(
            name for name in sides[VIEW].values if name in regular and _timed(reader, sides, regular[name])
        ),
        moving=tuple(name for name in sides[VIEW].key if name in regular),
        unselected=tuple(
            column.name
            for column in base.regular
            if column.name not in names and has_one_write_time(column.cql_type)
        )[:_MOST_UNSELECTED],
        identity=KeyIdentity(types[:keys], partition),
        base_identity=KeyIdentity([types[place] for place in address], range(len(base_partition))),
        address=address,
        base_partition=base_partition,
    )


def _timed(reader: Reader, sides: tuple[Side, Side], column: Column) -> bool:
    """Whether the server gives write times of a column. Of one that is not frozen it gives a list of them, from
    Cassandra 5.0 on."""
    if has_one_write_time(column.cql_type):
        return True
    try:
        for side in sides:
            reader.column_types(f"SELECT WRITETIME({quote(column.name)}) FROM {side.table.cql_name}")
    except StoreError as error:
        if error.kind in ("unreachable", "timeout", "unavailable", "auth"):
            raise
        return False
    return True
