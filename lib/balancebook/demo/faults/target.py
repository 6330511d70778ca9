"""What a fault is made in: a base, the view in question, all views of the base, and how their rows are read."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from cassandra.cluster import Session
from cassandra.query import BoundStatement, PreparedStatement

from balancebook.demo.faults.inject import Injector
from balancebook.demo.faults.kinds import FaultError
from balancebook.demo.node import Node
from balancebook.errors import UsageError
from balancebook.reconcile.values import hashable_key
from balancebook.settings import Profile
from balancebook.store.admin import Admin
from balancebook.store.connect import close, connect
from balancebook.store.cql import decoding
from balancebook.store.names import close_name, did_you_mean, quote
from balancebook.store.reader import Pending, Reader, open_reader
from balancebook.store.scan import scan
from balancebook.store.schema import Table, View, read_table, read_view, read_view_names

Key = tuple[Any, ...]
T = TypeVar("T")
_IN_FLIGHT = 64
_PATIENCE_S = 30.0  # of a schema change on a busy machine
_EVERYTHING = 10**12


@dataclass(frozen=True, slots=True)
class Cells:
    """One row of a table or view: column -> value, and its newest write time in microseconds, if any is known."""

    values: Mapping[str, Any]
    newest: int | None

    def of(self, columns: Iterable[str]) -> dict[str, Any]:
        """Some of the columns."""
        return {name: self.values[name] for name in columns}


@dataclass(frozen=True)
class Target:
    """One base and one of its views on the embedded database, with sessions that read, write and administer."""

    profile: Profile
    node: Node
    reader: Reader
    admin: Admin
    execute: Prepared
    base: Table
    view: View

    @property
    def keyspace(self) -> str:
        return self.view.keyspace

    @cached_property
    def views(self) -> tuple[View, ...]:
        """All views of the base."""
        names = read_view_names(self.reader, self.keyspace)
        views = (read_view(self.reader, self.keyspace, name) for name in names)
        return tuple(view for view in views if view and view.base_name == self.base.name)

    @property
    def injector(self) -> Injector:
        return Injector(self.execute, self.admin, self.keyspace)

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns of the view's primary key."""
        return primary_key(self.view)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The view's other columns."""
        return tuple(column.name for column in self.view.columns if column.name not in self.key)

    @cached_property
    def types(self) -> dict[str, str]:
        """Column -> CQL type, of the base."""
        return {column.name: column.cql_type for column in self.base.columns}

    def derived_keys(self, where: Mapping[str, Any] | None = None) -> Iterator[Key]:
        """The view keys of all rows that the base derives; `where` keeps those with these values."""
        asked = where or {}
        wanted, width = tuple(asked.values()), len(self.key)
        for row in self._all(self.base, (*self.key, *asked)):
            if None not in row[:width] and row[width:] == wanted:
                yield row[:width]

    def view_keys(self) -> Iterator[Key]:
        """The keys of all rows of the view."""
        return self._all(self.view, self.key)

    def missing_keys(self) -> list[Key]:
        """All keys that the base derives and the view lacks."""
        there = set(map(hashable_key, self.view_keys()))
        return [key for key in self.derived_keys() if hashable_key(key) not in there]

    def partitions(self) -> Iterator[Key]:
        """The partition keys of the base, each once."""
        return self._all(self.base, [column.name for column in self.base.partition_key], distinct=True)

    def _all(self, table: Table, columns: Sequence[str], *, distinct: bool = False) -> Iterator[Key]:
        """These columns of all rows. Raises FaultError at the end if some could not be read."""
        pages = scan(self.reader, table, columns, budget_rows=_EVERYTHING, distinct=distinct)
        for page in pages:
            yield from page
        if not pages.report.complete:
            raise FaultError(f"{table.cql_name} could not be read: {'; '.join(pages.report.reasons)}.")

    def drawn(self, count: int, seed: int, where: Mapping[str, Any] | None = None) -> list[Key]:
        """`count` of those keys, or all there are, always the same ones in the same order for the same rows."""
        return heapq.nsmallest(count, self.derived_keys(where), key=rank_of(seed))

    def both(self, keys: Sequence[Key]) -> Iterator[tuple[Cells | None, Cells | None]]:
        """For each view key its row in (base, view), None where it is not; a base row under another key is not it."""
        named = [dict(zip(self.key, key, strict=True)) for key in keys]
        for key, base, view in zip(
            named, self.read(self.base, named), self.read(self.view, named), strict=True
        ):
            here = base is not None and repr(base.of(self.key)) == repr(key)
            yield base if here else None, view

    def read(self, table: Table, keys: Iterable[Mapping[str, Any]]) -> Iterator[Cells | None]:
        """The rows of a table or view by its primary key, in the order asked."""
        select = _select(table)
        address = primary_key(table)
        where = " AND ".join(f"{quote(name)} = ?" for name in address)
        waiting: deque[Pending] = deque()
        asked = (([key[name] for name in address]) for key in keys)
        for values in asked:
            waiting.append(self.reader.execute_async(f"{select} WHERE {where}", values))
            if len(waiting) == _IN_FLIGHT:
                yield self._cells(table, waiting.popleft())
        while waiting:
            yield self._cells(table, waiting.popleft())

    def last_of_group(self, cells: Cells, column: str) -> Cells:
        """The base row with the greatest `column`, the last of the clustering key, among those that share the rest."""
        rest = [name for name in primary_key(self.base) if name != column]
        where = " AND ".join(f"{quote(name)} = ?" for name in rest)
        cql = f"{_select(self.base)} WHERE {where} {_descending(self.base)} LIMIT 1"
        found = self._cells(self.base, self.reader.execute_async(cql, [cells.values[name] for name in rest]))
        return found or cells

    def _cells(self, table: Table, pending: Pending) -> Cells | None:
        rows = pending.rows()
        if not rows:
            return None
        names = [column.name for column in table.columns]
        values, times = rows[0][: len(names)], _flat(rows[0][len(names) :])
        return Cells(dict(zip(names, values, strict=True)), max(times, default=None))


class Prepared:
    """Runs CQL with %s parameters as prepared statements, so that a value of any type is sent as its type says."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # What it writes was read by a Reader: it is to have the same types.
        session.client_protocol_handler = decoding.ReadingHandler
        self._known: dict[str, PreparedStatement] = {}

    def __call__(self, cql: str, values: Sequence[Any] = ()) -> list[Key]:
        if not values:
            return list(self._session.execute(cql))
        if cql not in self._known:
            prepared = self._session.prepare(cql.replace("%s", "?"))
            self._known[cql] = decoding.with_plain_types(prepared)
        bound = BoundStatement(self._known[cql])
        decoding.bind(bound, values)
        return list(self._session.execute(bound))


@contextmanager
def open_target(profile: Profile, node: Node, *, base: str = "", definition: str = "") -> Iterator[Target]:
    """The target of an embedded profile. Raises UsageError if its view is not there, StoreError, AdminError.

    definition: CQL that creates the view, if it is not there and its `base` is.
    """
    limits = profile.limits.model_copy(update={"request_timeout_s": _PATIENCE_S})
    patient = profile.model_copy(update={"limits": limits})
    session = connect(patient)
    try:
        with open_reader(patient) as reader, node.admin() as admin:
            gone = definition and read_view(reader, profile.keyspace, profile.view) is None
            if gone and read_table(reader, profile.keyspace, base):
                session.execute(definition)
            table, view = _tables(reader, profile)
            yield Target(profile, node, reader, admin, Prepared(session), table, view)
    finally:
        close(session)


def _tables(reader: Reader, profile: Profile) -> tuple[Table, View]:
    view = read_view(reader, profile.keyspace, profile.view)
    base = read_table(reader, profile.keyspace, view.base_name) if view else None
    if view is None or base is None:
        known = read_view_names(reader, profile.keyspace)
        raise UsageError(
            f"There is no view {profile.keyspace}.{profile.view}.{did_you_mean(profile.view, known)}",
            "Load the demo exchange: balancebook up.",
            parameter="view",
            suggestion=close_name(profile.view, known),
        )
    return base, view


def rank_of(seed: int) -> Callable[[Key], bytes]:
    """An order of keys drawn by the seed: always the same one."""
    salt = str(seed).encode()
    return lambda key: blake2b(repr(key).encode(), key=salt, digest_size=8).digest()


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the nulls, which would be written as tombstones."""
    return {name: value for name, value in values.items() if value is not None}


def require_enough(found: int, rows: int, what: str, kind: str) -> None:
    """Raises UsageError if fewer than `rows` of what there is can carry a fault of that kind."""
    if found < rows:
        raise UsageError(
            f"{found} {what} can carry a fault {kind}, not {rows}.",
            f"Ask for --rows {found} or fewer." if found else "Choose another kind, or another user.",
            parameter="rows",
        )


def primary_key(table: Table) -> tuple[str, ...]:
    """The columns of a table's primary key, in order."""
    return tuple(column.name for column in (*table.partition_key, *table.clustering_key))


def chunks(items: Iterable[T], size: int = 256) -> Iterator[list[T]]:
    """The items a few at a time."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk


def _select(table: Table) -> str:
    names = [quote(column.name) for column in table.columns]
    # Unlike WRITETIME it takes collections too, and gives the newest of their cells.
    times = [f"MAXWRITETIME({quote(column.name)})" for column in table.regular]
    return f"SELECT {', '.join(names + times)} FROM {table.cql_name}"


def _descending(table: Table) -> str:
    """ORDER BY that turns to descending the last clustering column, which means all of them or none."""
    columns = table.clustering_key
    if columns[-1].clustering_order == "desc":
        return ""
    turned = (f"{quote(c.name)} {'DESC' if c.clustering_order == 'asc' else 'ASC'}" for c in columns)
    return f"ORDER BY {', '.join(turned)}"


def _flat(times: Sequence[Any]) -> list[int]:
    return [time for time in times if time is not None]
