"""Bases and views of any shape, and the comparison of them without a pause."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from cassandra.cluster import Session

from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.full_report import Report
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_view

VIEW, BASE = "user_balances_by_user", "balance_ledger"
numbers = itertools.count()


@dataclass(frozen=True)
class Shape:
    """A base and its view in CQL, rows of the base, and statements that write faults into the view's scratch table."""

    columns: str
    key: str
    selected: str
    view_key: str
    rows: tuple[str, ...]
    faults: tuple[str, ...]
    expected: dict[str, int]
    options: str = ""
    types: tuple[str, ...] = ()


def made(session: Session, reader: Reader, place: str, shape: Shape) -> View:
    """The base and the view of a shape, with its rows."""
    name = f"shape_{next(numbers)}"
    for user_type in shape.types:
        session.execute(f"CREATE TYPE IF NOT EXISTS {place}.{user_type}")
    session.execute(f"CREATE TABLE {place}.{name} ({shape.columns}, PRIMARY KEY ({shape.key}))")
    keys = [part.strip(" ()") for part in shape.view_key.split(",")]
    where = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.{name}_v AS SELECT {shape.selected} FROM {place}.{name} WHERE {where} "
        f"PRIMARY KEY ({shape.view_key}) {shape.options}"
    )
    for row in shape.rows:
        session.execute(f"INSERT INTO {place}.{name} {row}")
    return there(reader, place, f"{name}_v")


def there(reader: Reader, keyspace: str, name: str = VIEW) -> View:
    found = read_view(reader, keyspace, name)
    assert found
    return found


def compared(reader: Reader, view: View, **options: Any) -> Report:
    return reconcile(reader, view, Options(**{"grace_s": 0, "sleep": lambda _: None, **options}))


def counts(**kinds: int) -> dict[Kind, int]:
    return dict.fromkeys(Kind, 0) | {Kind(name): number for name, number in kinds.items()}
