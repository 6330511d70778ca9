"""Views that select rows by the base's primary key: fresh ones pass, and faults are found alike by both comparisons."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.errors import BalancebookError
from balancebook.reconcile import engine
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.reconcile.report import ComparisonReport
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_view
from balancebook.verdict import Verdict
from oracle import read_and_compare

BASE = "events"
KEY = ('"P"', "q", "c", '"D"')


class Row(NamedTuple):
    """A row's key in the base."""

    p: int
    q: str
    c: int
    d: str


ROWS = [Row(*key) for key in itertools.product(range(-1, 3), ("a", "é", "~"), range(-1, 4), ("", "x", "Y z"))]
numbers = itertools.count()
# By what a view filters, and its rows as Python has it; all of these texts are ordered alike by code point and by byte.
FILTERS: dict[str, Callable[[Row], bool]] = {
    '"P" = 1 AND "D" = \'Y z\'': lambda row: (row.p, row.d) == (1, "Y z"),
    "q IN ('a', '~') AND c IN (-1, 3)": lambda row: row.q in "a~" and row.c in (-1, 3),
    '"P" > -1 AND "P" <= 1': lambda row: -1 < row.p <= 1,
    "\"P\" IN (0, 2) AND q >= 'a' AND q < 'é'": lambda row: row.p in (0, 2) and "a" <= row.q < "é",
    "c >= 0 AND c < 2 AND \"D\" > ''": lambda row: 0 <= row.c < 2 and row.d > "",
    "\"D\" <= 'Y z' AND \"D\" IS NOT NULL AND q = 'é'": lambda row: row.d <= "Y z" and row.q == "é",
    "(c, \"D\") >= (1, 'x')": lambda row: (row.c, row.d) >= (1, "x"),
    "(c, \"D\") IN ((1, 'x'), (2, ''))": lambda row: (row.c, row.d) in ((1, "x"), (2, "")),
}


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace with a base of 180 rows: a composite partition key, a reversed clustering key, mixed-case names."""
    name = f"filters_{os.getpid()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    session.execute(
        f'CREATE TABLE {name}.{BASE} ("P" int, q text, c int, "D" text, v int, s int STATIC, '
        'PRIMARY KEY (("P", q), c, "D")) WITH CLUSTERING ORDER BY (c DESC, "D" ASC)'
    )
    insert = session.prepare(f"INSERT INTO {name}.{BASE} ({', '.join(KEY)}, v) VALUES (?, ?, ?, ?, 1)")
    for row in ROWS:
        session.execute(insert, row)
    session.execute(f"INSERT INTO {name}.{BASE} (\"P\", q, s) VALUES (1, 'static only', 1)")
    return name


@pytest.fixture
def fault(server: Node, session: Session, place: str) -> Iterator[Injector]:
    with server.admin() as admin:
        yield Injector(session.execute, admin, place)


def made(session: Session, reader: Reader, place: str, where: str) -> View:
    """A view, built, of the base's rows for which `where` holds; its key is (c, D, P, q)."""
    name = f"of_{next(numbers)}"
    missing = [f"{column} IS NOT NULL" for column in KEY if column not in where]
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.{name} AS SELECT {', '.join(KEY)}, v FROM {place}.{BASE} "
        f'WHERE {" AND ".join([where, *missing])} PRIMARY KEY (c, "D", "P", q)'
    )
    built = "SELECT view_name FROM system.built_views WHERE keyspace_name = ? AND view_name = ?"
    deadline = time.monotonic() + 20
    while not reader.rows(built, (place, name)):
        assert time.monotonic() < deadline, "the view was not built"
        time.sleep(0.05)
    view = read_view(reader, place, name)
    assert view
    return view


def moved(row: Row) -> tuple[int, str, int, str]:
    """The key of the view's row."""
    return row.c, row.d, row.p, row.q


def compared(reader: Reader, view: View) -> Iterator[ComparisonReport]:
    """What each comparison says."""
    options: dict[str, Any] = {"grace_s": 0, "sleep": lambda _: None}
    yield read_and_compare(reader, view)
    yield engine.reconcile(reader, view, Options(**options))
    yield engine.reconcile(reader, view, Options(**options, most_by_key=0))


@pytest.mark.parametrize("where", FILTERS)
def test_faults_within_and_without_the_filter(
    session: Session, reader: Reader, place: str, fault: Injector, where: str
) -> None:
    view = made(session, reader, place, where)
    within = [row for row in ROWS if FILTERS[where](row)]
    without = [row for row in ROWS if row not in within][::7]
    assert within and without
    for report in compared(reader, view):
        assert (report.verdict, report.rows_base, report.rows_view) == (
            Verdict.PASS,
            len(within),
            len(within),
        )
    insert = f"INSERT INTO {{table}} ({', '.join(KEY)}, v) VALUES (%s, %s, %s, %s, %s)"
    delete = f"DELETE FROM {{table}} WHERE {' AND '.join(f'{name} = %s' for name in KEY)}"
    lost, changed = within[:2]
    fault.import_cells(
        view.name,
        [(delete, lost), (insert, (*changed, 2)), *((insert, (*stray, 1)) for stray in without)],
    )
    expected = {
        Kind.LOST: [moved(lost)],
        Kind.MISMATCH: [moved(changed)],
        Kind.ORPHAN: [moved(stray) for stray in without],
    }
    for report in compared(reader, view):
        found = {kind: [each.key for each in report.samples if each.kind is kind] for kind in expected}
        assert {kind: sorted(keys) for kind, keys in found.items()} == {
            kind: sorted(keys) for kind, keys in expected.items()
        }
        assert sum(report.counts.values()) == len(without) + 2


def test_a_filter_that_the_server_does_not_keep_is_refused(
    session: Session, reader: Reader, place: str
) -> None:
    view = made(session, reader, place, "\"D\" = 'it''s'")
    # With this view in its schema, Cassandra 5.0.6 does not start again.
    session.execute(f"DROP MATERIALIZED VIEW {view.cql_name}")
    assert "\"D\" = 'it's'" in view.where_clause
    with pytest.raises(BalancebookError, match="a quote within a text"):
        engine.reconcile(reader, view, Options(grace_s=0))
