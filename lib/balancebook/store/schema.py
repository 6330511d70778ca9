"""Tables and views as the server describes them, read from system_schema by SELECT (which needs no GRANT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from balancebook.store.names import did_you_mean, quote

if TYPE_CHECKING:
    from balancebook.store.reader import Reader

__all__ = [
    "Column",
    "Table",
    "View",
    "did_you_mean",
    "quote",
    "read_keyspaces",
    "read_table",
    "read_table_names",
    "read_view",
    "read_view_names",
    "suggest",
]

ColumnKind = Literal["partition_key", "clustering", "static", "regular"]
_KIND_ORDER: tuple[ColumnKind, ...] = ("partition_key", "clustering", "static", "regular")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `position` is its place in its part of the key, -1 outside; the order is asc, desc or none."""

    name: str
    kind: ColumnKind
    position: int
    clustering_order: Literal["asc", "desc", "none"]
    cql_type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view. Columns stand as the server orders them: partition key, clustering key, then by name."""

    keyspace: str
    name: str
    columns: tuple[Column, ...]
    table_id: UUID

    @property
    def partition_key(self) -> tuple[Column, ...]:
        return self._of("partition_key")

    @property
    def clustering_key(self) -> tuple[Column, ...]:
        return self._of("clustering")

    @property
    def static(self) -> tuple[Column, ...]:
        return self._of("static")

    @property
    def regular(self) -> tuple[Column, ...]:
        return self._of("regular")

    @property
    def cql_name(self) -> str:
        """The name as a statement takes it, quoted, keyspace first."""
        return f"{quote(self.keyspace)}.{quote(self.name)}"

    def _of(self, kind: ColumnKind) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind == kind)


@dataclass(frozen=True, slots=True)
class View(Table):
    """A materialized view: a table, the base table it is derived from, and the filter it applies."""

    base_name: str
    where_clause: str
    include_all: bool


def read_keyspaces(reader: Reader) -> tuple[str, ...]:
    """The names of all keyspaces, sorted."""
    return tuple(sorted(name for (name,) in reader.rows("SELECT keyspace_name FROM system_schema.keyspaces")))


def read_table_names(reader: Reader, keyspace: str) -> tuple[str, ...]:
    """The names of the tables of a keyspace, views not among them, sorted; empty if there is no such keyspace."""
    return _names(reader, "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", keyspace)


def read_view_names(reader: Reader, keyspace: str) -> tuple[str, ...]:
    """The names of the materialized views of a keyspace, sorted; empty if there is no such keyspace."""
    return _names(reader, "SELECT view_name FROM system_schema.views WHERE keyspace_name = ?", keyspace)


def read_table(reader: Reader, keyspace: str, name: str) -> Table | None:
    """The table of that name, as stored (no quotes, case matters), or None; a view is no table here."""
    cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    found = reader.rows(cql, (keyspace, name))
    return Table(keyspace, name, _columns(reader, keyspace, name), found[0][0]) if found else None


def read_view(reader: Reader, keyspace: str, name: str) -> View | None:
    """The materialized view of that name, as stored (no quotes, case matters), or None."""
    cql = (
        "SELECT id, base_table_name, where_clause, include_all_columns FROM system_schema.views "
        "WHERE keyspace_name = ? AND view_name = ?"
    )
    found = reader.rows(cql, (keyspace, name))
    if not found:
        return None
    table_id, base_name, where_clause, include_all = found[0]
    return View(
        keyspace, name, _columns(reader, keyspace, name), table_id, base_name, where_clause, include_all
    )


def suggest(reader: Reader, what: str, name: str) -> str:
    """The words " Did you mean X?" for a name that the server did not find, or nothing.

    `what` is keyspace or table (tables and views of the profile's keyspace are known); columns get no suggestion.
    """
    if what == "keyspace":
        return did_you_mean(name, read_keyspaces(reader))
    if what == "table":
        keyspace = reader.profile.keyspace
        return did_you_mean(name, read_table_names(reader, keyspace) + read_view_names(reader, keyspace))
    return ""


def _names(reader: Reader, cql: str, keyspace: str) -> tuple[str, ...]:
    return tuple(sorted(name for (name,) in reader.rows(cql, (keyspace,))))


def _columns(reader: Reader, keyspace: str, table: str) -> tuple[Column, ...]:
    cql = (
        "SELECT column_name, kind, position, clustering_order, type FROM system_schema.columns "
        "WHERE keyspace_name = ? AND table_name = ?"
    )
    columns = [Column(*row) for row in reader.rows(cql, (keyspace, table))]
    return tuple(sorted(columns, key=lambda c: (_KIND_ORDER.index(c.kind), c.position, c.name)))
