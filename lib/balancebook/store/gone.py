"""What a failed read means if the table itself went away meanwhile.

A server whose view is dropped under a read answers with a NullPointerException (Apache Cassandra 5.0.6), with failed
replicas, or, once the statement is prepared again, with a table that does not exist: so the schema is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from balancebook.store.errors import MAY_PASS, Kind, StoreError
from balancebook.store.reader import Reader
from balancebook.store.schema import Table, View, read_table, read_view

# A server that does not answer is not asked for its schema too; what it refuses says enough by itself.
_MAY_MEAN_IT: tuple[Kind, ...] = ("missing", "protocol", "unavailable")


@contextmanager
def naming_what_is_gone(reader: Reader, *tables: Table, doing: str = "read") -> Iterator[None]:
    """A StoreError raised within the block says that one of `tables` was dropped while it was being `doing`, if so."""
    try:
        yield
    except StoreError as error:
        told = gone_meanwhile(reader, tables, error, doing)
        if told is None:
            raise
        raise told from error


def gone_meanwhile(
    reader: Reader, tables: tuple[Table, ...], error: StoreError, doing: str = "read"
) -> StoreError | None:
    """The StoreError that says which of `tables` was dropped, or None if `error` has another cause."""
    if error.kind not in _MAY_MEAN_IT:
        return None
    for table in tables:
        try:
            found = _read_again(reader, table)
        except StoreError:
            # Then the first error is the better news.
            return None
        if found is None or found.table_id != table.table_id:
            return StoreError(
                "missing", f"{change_of(table, found, doing)}.", "Run it again once the view is built."
            )
    return None


def change_of(table: Table, found: Table | None, doing: str = "read") -> str:
    """What happened to a table that is now `found`, a clause: "the view trading.v was dropped while it was read"."""
    kind = "view" if isinstance(table, View) else "table"
    if found is None:
        event = "dropped"
    else:
        event = "altered" if found.table_id == table.table_id else "dropped and created again"
    return f"the {kind} {table.keyspace}.{table.name} was {event} while it was {doing}"


def changes_of(reader: Reader, tables: Sequence[Table], doing: str) -> list[str]:
    """What happened to tables since they were read, a clause each; also where that cannot be read now.

    Raises StoreError for non-retryable errors.
    """
    try:
        now = [_read_again(reader, table) for table in tables]
    except StoreError as error:
        if error.kind not in MAY_PASS:
            raise
        return [f"whether {tables[0].cql_name} was altered meanwhile could not be read: {error}"]
    return [
        change_of(table, found, doing) for table, found in zip(tables, now, strict=True) if found != table
    ]


def _read_again(reader: Reader, table: Table) -> Table | None:
    read = read_view if isinstance(table, View) else read_table
    return read(reader, table.keyspace, table.name)
