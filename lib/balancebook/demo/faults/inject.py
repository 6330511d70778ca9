"""The primitive of all faults: cells that reach a table, or a view, past the view's update.

The servers refuse direct writes to a view, and a write to the base updates the view. Both are passed by writing the
wanted cells into a scratch table of the same layout, flushing it, and importing its SSTables into the target.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from balancebook.demo.schema import LEDGER, VIEW
from balancebook.errors import UsageError
from balancebook.store.admin import Admin
from balancebook.store.cql_types import has_user_type
from balancebook.store.names import quote

Execute = Callable[..., Any]
Key = Mapping[str, int]
Statement = tuple[str, Sequence[Any]]

_SCRATCH = "balancebook_scratch"


class Injector:
    """Faults in one keyspace's tables and views. `execute` runs CQL with %s parameters and gives rows as tuples."""

    def __init__(self, execute: Execute, admin: Admin, keyspace: str) -> None:
        self._execute = execute
        self._admin = admin
        self._keyspace = keyspace

    def lost(self, *keys: Key) -> None:
        """Delete rows in the view only: the base derives them, the view has them not (and holds a tombstone)."""
        self.import_cells(VIEW, [delete(key) for key in keys])

    def orphan(self, *rows: Key) -> None:
        """Write rows in the view only, which the base does not derive."""
        self.import_cells(VIEW, [insert(row) for row in rows])

    def mismatch(self, *rows: Key) -> None:
        """Write cells of existing rows in the view only. Each row gives its key and the cells that shall differ."""
        self.orphan(*rows)

    def never_arrived(self, *rows: Key) -> None:
        """Write rows in the base only, past the view: LOST as after a lost view update, without a tombstone."""
        self.import_cells(LEDGER, [insert(row) for row in rows])

    def base_lost(self, *keys: Key) -> None:
        """Delete rows in the base only: the view's rows are left as orphans."""
        self.import_cells(LEDGER, [delete(key) for key in keys])

    def import_cells(self, table: str, statements: Iterable[Statement]) -> None:
        """Run statements on a scratch table with the layout of `table` (or view), and import its cells there.

        A statement names its table {table} and its values %s. What it writes counts from its own write time: give
        USING TIMESTAMP for another. Raises UsageError if there is no such table, AdminError if the import fails.
        """
        columns = self._columns(table)
        # A type made by CREATE TYPE belongs to its keyspace, and so must the scratch table.
        own = any(has_user_type(cql_type) for *_, cql_type in columns)
        home = self._keyspace if own else _SCRATCH
        # A name that nobody has: a process that was killed leaves its table behind.
        name = f"cells_{secrets.token_hex(8)}"
        scratch = f"{quote(home)}.{name}"
        self._execute(
            f"CREATE KEYSPACE IF NOT EXISTS {_SCRATCH} "
            "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1} AND durable_writes = false"
        )
        self._execute(f"CREATE TABLE {scratch} {_layout(columns)}")
        try:
            for statement, values in statements:
                self._execute(statement.replace("{table}", scratch), values)
            self._admin.flush(home, name)
            self._admin.import_sstables(self._keyspace, table, self._admin.data_paths(home, name)[0])
        finally:
            self._execute(f"DROP TABLE {scratch}")

    def _columns(self, table: str) -> list[tuple[str, str, int, str, str]]:
        """(name, kind, position, clustering order, type) of a table or view, by position; from system_schema."""
        rows = self._execute(
            "SELECT column_name, kind, position, clustering_order, type FROM system_schema.columns "
            "WHERE keyspace_name = %s AND table_name = %s",
            (self._keyspace, table),
        )
        if not rows:
            raise UsageError(f"There is no table or view {self._keyspace}.{table}.", "Name one that exists.")
        return sorted(rows, key=lambda row: row[2])


def _layout(columns: Sequence[tuple[str, str, int, str, str]]) -> str:
    """The columns and the key of a table or view, as CREATE TABLE takes them."""
    static = {name: " STATIC" for name, kind, *_ in columns if kind == "static"}
    cells = ", ".join(f"{quote(name)} {cql_type}{static.get(name, '')}" for name, *_, cql_type in columns)
    partition = ", ".join(quote(name) for name, kind, *_ in columns if kind == "partition_key")
    clustering = [(name, order) for name, kind, _, order, _ in columns if kind == "clustering"]
    key = ", ".join([f"({partition})", *(quote(name) for name, _ in clustering)])
    order = ", ".join(f"{quote(name)} {direction}" for name, direction in clustering)
    return f"({cells}, PRIMARY KEY ({key}))" + (f" WITH CLUSTERING ORDER BY ({order})" if order else "")


def insert(row: Mapping[str, Any], written_at: int | None = None) -> Statement:
    """INSERT of a row; `written_at` is its write time in microseconds, else the server's now."""
    names, places = ", ".join(map(quote, row)), ", ".join(["%s"] * len(row))
    using, at = _using(written_at)
    return f"INSERT INTO {{table}} ({names}) VALUES ({places}){using}", [*row.values(), *at]


def update(key: Mapping[str, Any], cells: Mapping[str, Any], written_at: int | None = None) -> Statement:
    """UPDATE of some cells of a row."""
    changed = ", ".join(f"{quote(name)} = %s" for name in cells)
    using, at = _using(written_at)
    return f"UPDATE {{table}}{using} SET {changed} WHERE {_where(key)}", [*at, *cells.values(), *key.values()]


def delete(
    key: Mapping[str, Any], written_at: int | None = None, *, columns: Sequence[str] = ()
) -> Statement:
    """DELETE of a row, or of some columns of it."""
    names = "".join(f" {name}" for name in [", ".join(map(quote, columns))] if name)
    using, at = _using(written_at)
    return f"DELETE{names} FROM {{table}}{using} WHERE {_where(key)}", [*at, *key.values()]


def _using(written_at: int | None) -> tuple[str, list[int]]:
    return ("", []) if written_at is None else (" USING TIMESTAMP %s", [written_at])


def _where(key: Mapping[str, Any]) -> str:
    return " AND ".join(f"{quote(name)} = %s" for name in key)
