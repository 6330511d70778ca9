"""Random faults in random data of a few schemas: what the comparison says, against plain SELECTs of both sides.

Each example prints its seed; `mess(seed)` makes the same rows and faults again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from cassandra.cluster import Session
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from balancebook.demo.faults import Injector, command
from balancebook.demo.faults.inject import Statement, delete, insert, update
from balancebook.demo.faults.target import Prepared
from balancebook.demo.node import Node
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.run import Request, run
from balancebook.settings import Profile, retarget
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view
from balancebook.verdict import Verdict
from reconciling import compared

pytestmark = pytest.mark.soak

HOUR_US = 3_600_000_000
NOW_US = time.time_ns() // 1000 - 2 * HOUR_US
Rows = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Schema:
    """A base and its view: column -> CQL type, and the columns of each primary key."""

    name: str
    columns: dict[str, str]
    base_key: tuple[str, ...]
    view_key: tuple[str, ...]
    view_values: tuple[str, ...]
    base_ddl: str
    view_order: str = ""

    @property
    def base(self) -> str:
        return f"base_{self.name}"

    @property
    def view(self) -> str:
        return f"view_{self.name}"

    def create(self, session: Session, keyspace: str) -> None:
        session.execute(f"CREATE TABLE {keyspace}.{self.base} {self.base_ddl}")
        there = " AND ".join(f"{column} IS NOT NULL" for column in self.view_key)
        session.execute(
            f"CREATE MATERIALIZED VIEW {keyspace}.{self.view} AS "
            f"SELECT {', '.join((*self.view_key, *self.view_values))} FROM {keyspace}.{self.base} "
            f"WHERE {there} PRIMARY KEY ({', '.join(self.view_key)}){self.view_order}"
        )


SCHEMAS = (
    Schema(
        "ints",
        {"u": "bigint", "a": "int", "s": "bigint", "v": "bigint", "w": "smallint", "x": "boolean"},
        ("u", "a", "s"),
        ("u", "a", "s"),
        ("v", "w"),
        "(u bigint, a int, s bigint, v bigint, w smallint, x boolean, PRIMARY KEY ((u, a), s)) "
        "WITH CLUSTERING ORDER BY (s DESC)",
        " WITH CLUSTERING ORDER BY (a ASC, s DESC)",
    ),
    Schema(
        "moved",
        {
            "p": "text",
            "c": "uuid",
            "t": "text",
            "d": "decimal",
            "n": "varint",
            "m": "map<text, int>",
            "i": "int",
        },
        ("p", "c"),
        ("t", "p", "c"),
        ("d", "n", "m"),
        "(p text, c uuid, st text STATIC, t text, d decimal, n varint, m map<text, int>, i int, PRIMARY KEY (p, c))",
    ),
    Schema(
        "nested",
        {
            "p": "int",
            "q": "text",
            '"C"': "timestamp",
            "b": "blob",
            "f": "double",
            "l": "list<int>",
            "k": "frozen<kind>",
            "z": "set<text>",
        },
        ("p", "q", '"C"'),
        ("q", '"C"', "p"),
        ("b", "f", "k", "l", "z"),
        '(p int, q text, "C" timestamp, b blob, f double, l list<int>, k frozen<kind>, z set<text>, '
        'PRIMARY KEY ((p, q), "C"))',
    ),
)
_EPOCH = datetime(2025, 1, 1)
# `many` values, few of which let keys and cells meet. None is null, nor is a text of a key empty.
VALUES: dict[str, Callable[[random.Random, int], Any]] = {
    **dict.fromkeys(("int", "bigint", "smallint"), lambda rng, many: rng.randrange(-1, many)),
    "varint": lambda rng, many: rng.choice([-1, 2**80]) + rng.randrange(many),
    "boolean": lambda rng, _: rng.random() < 0.5,
    "text": lambda rng, many: rng.choice("aé") + "~" * rng.randrange(many),
    "uuid": lambda rng, many: UUID(int=rng.randrange(many)),
    "decimal": lambda rng, _: rng.choice([Decimal("1.0"), Decimal("1.00"), Decimal("-3E+2")]),
    "double": lambda rng, _: rng.choice([0.0, -0.0, 1.5, float("nan")]),
    "blob": lambda rng, _: rng.choice([b"", b"\x00", b"ab"]),
    "timestamp": lambda rng, many: _EPOCH + timedelta(milliseconds=rng.randrange(many)),
    "list<int>": lambda rng, _: [rng.randrange(3) for _ in range(rng.randrange(3))],
    "set<text>": lambda rng, _: set(rng.sample("abc", rng.randrange(3))),
    "map<text, int>": lambda rng, _: {key: rng.randrange(3) for key in rng.sample("abc", rng.randrange(3))},
    "frozen<kind>": lambda rng, _: (rng.randrange(2), rng.choice(["x", None])),
}


class Mess:
    """Rows and faults of one seed."""

    def __init__(self, schema: Schema, seed: int, many: int = 3) -> None:
        self.schema, self.rng, self.many = schema, random.Random(seed), many

    def value(self, column: str, *, nulls: bool) -> Any:
        drawn = VALUES[self.schema.columns[column]](self.rng, self.many)
        return None if nulls and self.rng.random() < 0.3 else drawn

    def row(self, key: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
        cells = {column: self.value(column, nulls=column not in key) for column in (*key, *others)}
        return {bare(column): cell for column, cell in cells.items()}

    def base_row(self) -> dict[str, Any]:
        others = tuple(column for column in self.schema.columns if column not in self.schema.base_key)
        return self.row(self.schema.base_key, others)

    def book(self, execute: Prepared, keyspace: str, rows: int) -> None:
        """Empty the base and write rows into it; one after the other, since of two at once a null would win."""
        execute(f"TRUNCATE {keyspace}.{self.schema.base}")
        for number in range(rows):
            statement, values = insert(self.base_row(), NOW_US + number)
            execute(statement.replace("{table}", f"{keyspace}.{self.schema.base}"), values)

    def fault(self, *, in_base: bool) -> Statement:
        """One INSERT, UPDATE or DELETE of a row or of cells, at a write time before or after the rows'."""
        schema = self.schema
        key = schema.base_key if in_base else schema.view_key
        moved = tuple(column for column in schema.view_key if column not in schema.base_key)
        others = (*moved, *schema.view_values) if in_base else schema.view_values
        row = self.row(key, others)
        address = {bare(column): row[bare(column)] for column in key}
        cells = {name: cell for name, cell in row.items() if name not in address}
        some = dict(self.rng.sample(list(cells.items()), self.rng.randrange(1, len(cells) + 1)))
        at = NOW_US + self.rng.choice([-HOUR_US, self.rng.randrange(30), HOUR_US])
        return self.rng.choice(
            [
                insert({name: cell for name, cell in row.items() if cell is not None}, at),
                update(address, some, at),
                delete(address, at),
                delete(address, at, columns=list(some)),
            ]
        )


def bare(column: str) -> str:
    return column.strip('"')


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    name = f"random_{os.getpid()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    session.execute(f"CREATE TYPE {name}.kind (n int, s text)")
    for schema in SCHEMAS:
        schema.create(session, name)
    return name


@pytest.fixture(scope="module")
def reader(profile: Profile) -> Iterator[Reader]:
    with open_reader(profile) as opened:
        yield opened


def the_view(reader: Reader, keyspace: str, schema: Schema) -> View:
    found = read_view(reader, keyspace, schema.view)
    assert found
    return found


def oracle(session: Session, keyspace: str, schema: Schema) -> dict[Kind, set[str]]:
    """What differs, by two SELECTs and two dictionaries."""

    def side(table: str) -> Rows:
        columns = ", ".join((*schema.view_key, *schema.view_values))
        width = len(schema.view_key)
        rows = session.execute(f"SELECT {columns} FROM {keyspace}.{table}")
        return {repr(row[:width]): tuple(map(repr, row[width:])) for row in rows if None not in row[:width]}

    base, view = side(schema.base), side(schema.view)
    return {
        Kind.LOST: base.keys() - view.keys(),
        Kind.ORPHAN: view.keys() - base.keys(),
        Kind.MISMATCH: {key for key in base.keys() & view.keys() if base[key] != view[key]},
    }


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_the_comparison_says_what_plain_selects_say(
    schema: Schema, place: str, session: Session, server: Node, reader: Reader
) -> None:
    execute = Prepared(session)
    found: set[Kind] = set()

    @settings(
        max_examples=10,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @example(seed=1, rows=40, faults=60)
    @given(seed=st.integers(0, 2**32), rows=st.integers(0, 30), faults=st.integers(0, 30))
    def mess(seed: int, rows: int, faults: int) -> None:
        print(f"schema {schema.name}, seed {seed}, {rows} rows, {faults} faults a side")  # noqa: T201 (to repeat it)
        made = Mess(schema, seed)
        made.book(execute, place, rows)
        with server.admin() as admin:
            injector = Injector(execute, admin, place)
            for in_base, table in ((True, schema.base), (False, schema.view)):
                if faults:
                    injector.import_cells(table, [made.fault(in_base=in_base) for _ in range(faults)])
        expected = oracle(session, place, schema)
        report = compared(reader, the_view(reader, place, schema))
        said = {kind: {repr(each.key) for each in report.samples if each.kind is kind} for kind in expected}
        assert said == expected
        assert {kind: report.counts[kind] for kind in expected} == {k: len(v) for k, v in expected.items()}
        assert report.counts[Kind.UNKNOWN] == report.counts[Kind.LAGGING] == 0
        assert (report.verdict is Verdict.FAIL) is any(expected.values())
        found.update(kind for kind, keys in expected.items() if keys)

    mess()
    assert found == {Kind.LOST, Kind.ORPHAN, Kind.MISMATCH}, "the examples were too tame"


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_a_mix_is_found_exactly_in_any_schema(
    schema: Schema,
    place: str,
    profile: Profile,
    environment: dict[str, str],
    session: Session,
    reader: Reader,
) -> None:
    Mess(schema, 7, many=30).book(Prepared(session), place, 60)
    at = retarget(profile, keyspace=place, view=schema.view)
    fault = command.inject("mix", at, options={"rows": 10}, env=environment)
    try:
        done = run(
            reader,
            the_view(reader, place, schema),
            Request(budget_rows=1000),
            grace_s=0,
            sleep=lambda _: None,
        )
    finally:
        command.undo(at, env=environment)
    differences: list[Any] = done.document("a-run")["differences"]
    said = sorted((each["kind"], str(each["key"])) for each in differences)
    assert said == sorted((each["kind"], str(each["key"])) for each in fault.injected)
    assert not any(oracle(session, place, schema).values())
