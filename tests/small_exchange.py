"""A small exchange for tests on a real server: its records, and the demo's tables filled with them."""

from __future__ import annotations

from cassandra.cluster import Session

from balancebook.demo.generate import LedgerEntry, SettledTrade, Size, generate
from balancebook.demo.schema import LEDGER, TRADES, create_schema
from filling import insert

RECORDS = list(generate(Size(rows=1500, users=10, deep_events=100)))
ENTRIES = [each for each in RECORDS if isinstance(each, LedgerEntry)]
SETTLED = [each for each in RECORDS if isinstance(each, SettledTrade)]


def filled(session: Session, keyspace: str) -> None:
    """The demo's tables in a keyspace of that name, with the small exchange."""
    create_schema(session.execute, keyspace, indexes=False)
    for table, kind, records in ((LEDGER, LedgerEntry, ENTRIES), (TRADES, SettledTrade, SETTLED)):
        names, places = ", ".join(kind._fields), ", ".join("?" * len(kind._fields))
        statement = session.prepare(f"INSERT INTO {keyspace}.{table} ({names}) VALUES ({places})")
        # By partition.
        insert(session, statement, sorted(records))
