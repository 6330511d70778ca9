"""The two sides of a comparison: what to read of base and view so that their rows have one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import Table, View, quote, read_table
from balancebook.store.tokens import LOWEST, range_clause
from balancebook.store.view_filter import ViewFilter, filter_of

BASE, VIEW = 0, 1


@dataclass(frozen=True, slots=True)
class Side:
    """One table, read as rows of the view: `key` and `values` are the view's columns, in its order.

    `address` are the columns of the table's own primary key, all of which are in `key`. `selected` says which of the
    table's rows are rows of the view.
    """

    table: Table
    key: tuple[str, ...]
    values: tuple[str, ...]
    address: tuple[str, ...]
    selected: ViewFilter = field(default_factory=ViewFilter)

    def has_rows(self, reader: Reader) -> bool:
        """Whether this side has any row at all. Raises StoreError."""
        # One SELECT for the first row would read all that was deleted, or does not satisfy conditions, before it.
        pages = scan(reader, self.table, self.address[:1], budget_rows=1, where=self.selected.where)
        if any(pages):
            return True
        if not pages.report.complete:
            raise StoreError(
                "timeout", f"{self.table.cql_name}: {'; '.join(pages.report.reasons)}", "Run it again."
            )
        return False

    def select_where(self, values: Mapping[str, bytes]) -> tuple[str, list[bytes]]:
        """The SELECT of the rows with these cells in columns of the primary key (whose partition key is among them),
        and its parameters, as bytes. Rows of other partitions may come too: look at their keys.

        `WHERE key = ''` is refused, so an empty partition key is asked for by its token, which is the lowest.
        """
        selected = ", ".join(quote(name) for name in (*self.key, *self.values))
        partition = self.table.partition_key
        if len(partition) == 1 and values[partition[0].name] == b"":
            where, params = range_clause(self.table, (LOWEST, LOWEST + 1))
            bounds = [bound.to_bytes(8, "big", signed=True) for bound in params]
            return f"SELECT {selected} FROM {self.table.cql_name}{where}", bounds
        where = " AND ".join(f"{quote(name)} = ?" for name in values)
        return f"SELECT {selected} FROM {self.table.cql_name} WHERE {where}", list(values.values())


def view_side(view: View) -> Side:
    """The view itself."""
    key, values = _key_and_values(view)
    return Side(view, key, values, key)


def base_side(reader: Reader, view: View) -> Side:
    """The base, read as the view would have it. Raises StoreError if the base is not there, BalancebookError if the
    view filters by what cannot be compared."""
    base = read_table(reader, view.keyspace, view.base_name)
    if base is None:
        raise StoreError(
            "missing", f"The base {view.base_name} of {view.cql_name} does not exist.", "Run it again."
        )
    key, values = _key_and_values(view)
    address = tuple(column.name for column in (*base.partition_key, *base.clustering_key))
    return Side(base, key, values, address, filter_of(view, base))


def _key_and_values(view: View) -> tuple[tuple[str, ...], tuple[str, ...]]:
    key = tuple(column.name for column in (*view.partition_key, *view.clustering_key))
    return key, tuple(column.name for column in view.columns if column.name not in key)


def types_of(reader: Reader, sides: tuple[Side, Side]) -> tuple[Any, ...]:
    """The driver's types of the view's columns, its key first (see store.raw.decode). Raises StoreError."""
    view = sides[1]
    selected = ", ".join(quote(name) for name in (*view.key, *view.values))
    return reader.column_types(f"SELECT {selected} FROM {view.table.cql_name}")
