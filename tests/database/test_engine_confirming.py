"""What becomes of a row that differs: confirmed by two reads, healed, changed, or not to be read any more."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.reconcile.kinds import Kind
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View
from balancebook.verdict import Verdict
from reconciling import BASE, compared, counts, there

new_seq = itertools.count(1000)


def key(user: int, asset: int, seq: int) -> dict[str, int]:
    return {"user_id": user, "asset_id": asset, "seq": seq}


def row(user: int, asset: int, seq: int, avail: int = 5) -> dict[str, int]:
    return key(user, asset, seq) | {"avail": avail, "frozen": 0, "created_at": 1000}


def book(session: Session, keyspace: str, *rows: dict[str, int]) -> None:
    for each in rows:
        columns, places = ", ".join(each), ", ".join(["%s"] * len(each))
        session.execute(f"INSERT INTO {keyspace}.{BASE} ({columns}) VALUES ({places})", list(each.values()))


@contextmanager
def ledger(session: Session, name: str) -> Iterator[str]:
    """A keyspace whose ledger has 60 rows: users 1 to 5, assets 1 to 3, seq 1 to 4."""
    create_schema(session.execute, name, indexes=False)
    book(session, name, *(row(u, a, s) for u in range(1, 6) for a in range(1, 4) for s in range(1, 5)))
    yield name


# Making a keyspace takes seconds, so tests share one where they leave it as it was.
@pytest.fixture(scope="module")
def sound(session: Session) -> Iterator[str]:
    with ledger(session, f"sound_{os.getpid()}") as name:
        yield name


@pytest.fixture(scope="module")
def faulty(session: Session, server: Node) -> Iterator[str]:
    with ledger(session, f"faulty_{os.getpid()}") as name, server.admin() as admin:
        inject = Injector(session.execute, admin, name)
        inject.lost(key(1, 1, 1), key(2, 1, 3))
        inject.never_arrived(row(3, 3, 9))
        inject.orphan(row(77, 1, 1), row(1, 9, 1))
        inject.mismatch(key(4, 2, 2) | {"avail": 4242}, key(5, 1, 1) | {"frozen": 1})
        inject.base_lost(key(5, 3, 4))
        yield name


@pytest.fixture
def view(reader: Reader, sound: str) -> View:
    return there(reader, sound)


@pytest.fixture
def broken(reader: Reader, faulty: str) -> View:
    return there(reader, faulty)


@pytest.fixture
def late(session: Session, server: Node, sound: str) -> Iterator[list[dict[str, int]]]:
    """Two new rows of the base that have not reached the view; both have at the end."""
    rows = [row(3, 3, next(new_seq)) for _ in range(2)]
    with server.admin() as admin:
        Injector(session.execute, admin, sound).never_arrived(*rows)
    yield rows
    book(session, sound, *rows)


def test_a_view_in_step_passes(reader: Reader, view: View) -> None:
    report = compared(reader, view)
    assert (report.rows_base, report.rows_view, report.counts) == (60, 60, counts())
    assert report.verdict is Verdict.PASS
    assert report.key_columns == ("user_id", "asset_id", "seq")
    assert report.value_columns == ("avail", "created_at", "frozen")


@pytest.mark.parametrize("most_by_key", [10_000, 1], ids=["by key", "by scan"])
def test_each_kind_of_fault_is_counted_and_named(reader: Reader, broken: View, most_by_key: int) -> None:
    report = compared(reader, broken, most_by_key=most_by_key)
    assert report.counts == counts(LOST=3, MISMATCH=2, ORPHAN=3)
    assert report.verdict is Verdict.FAIL
    assert (report.rows_base, report.rows_view) == (60, 60)
    assert [(sample.kind.value, sample.key) for sample in report.samples] == [
        ("LOST", (1, 1, 1)),
        ("LOST", (2, 1, 3)),
        ("LOST", (3, 3, 9)),
        ("MISMATCH", (4, 2, 2)),
        ("MISMATCH", (5, 1, 1)),
        ("ORPHAN", (1, 9, 1)),
        ("ORPHAN", (5, 3, 4)),
        ("ORPHAN", (77, 1, 1)),
    ]
    assert report.named(report.samples[3]) == {
        "kind": "MISMATCH",
        "key": {"user_id": 4, "asset_id": 2, "seq": 2},
        "base": {"avail": 5, "created_at": 1000, "frozen": 0},
        "view": {"avail": 4242, "created_at": 1000, "frozen": 0},
        "reason": "",
    }
    assert report.named(report.samples[0])["view"] is None
    assert compared(reader, broken, samples=2).samples == report.samples[:2]


def test_what_heals_within_the_grace_period_is_lagging(
    session: Session, sound: str, reader: Reader, view: View, late: list[dict[str, int]]
) -> None:
    waited: list[float] = []

    def heal_one(seconds: float) -> None:
        waited.append(seconds)
        book(session, sound, late[0])

    report = compared(reader, view, grace_s=7.5, sleep=heal_one)
    assert all(7.5 <= seconds <= 7.5 * 1.3 for seconds in waited)
    assert report.counts == counts(LOST=1, LAGGING=1)
    healed = next(sample for sample in report.samples if sample.kind is Kind.LAGGING)
    assert (healed.key, healed.base == healed.view) == ((3, 3, late[0]["seq"]), True)


def test_lagging_alone_passes(
    session: Session, sound: str, reader: Reader, view: View, late: list[dict[str, int]]
) -> None:
    report = compared(reader, view, sleep=lambda _: book(session, sound, *late))
    assert report.counts == counts(LAGGING=2)
    assert report.verdict is Verdict.PASS


@pytest.fixture(scope="module")
def other_views(session: Session, sound: str) -> None:
    """A base with a nullable column in the view's key, statics, collections; and a view that filters by value."""
    session.execute(
        f'CREATE TABLE {sound}.odd (p int, c int, s text STATIC, "V" text, n decimal, m map<text, int>, '
        "f frozen<list<int>>, PRIMARY KEY (p, c))"
    )
    session.execute(
        f'CREATE MATERIALIZED VIEW {sound}.odd_by_v AS SELECT p, c, "V", n, m FROM {sound}.odd '
        'WHERE p IS NOT NULL AND c IS NOT NULL AND "V" IS NOT NULL AND n IS NOT NULL PRIMARY KEY ("V", p, c)'
    )
    session.execute(
        f'CREATE MATERIALIZED VIEW {sound}.odd_moved AS SELECT "V", p, c, n FROM {sound}.odd '
        'WHERE p IS NOT NULL AND c IS NOT NULL AND "V" IS NOT NULL PRIMARY KEY ("V", p, c)'
    )
    insert = f'INSERT INTO {sound}.odd (p, c, "V", n, m) VALUES (%s, %s, %s, %s, %s)'
    session.execute(f"INSERT INTO {sound}.odd (p, s) VALUES (9, 'static only')")
    for values in (
        (1, 1, "x", 1, {"a": 1}),
        (1, 2, None, 1, None),
        (1, 3, "x", None, None),
        (2, 1, "y", 2, None),
    ):
        session.execute(insert, values)


@pytest.mark.usefixtures("other_views")
def test_only_rows_that_the_view_selects_are_derived(reader: Reader, sound: str) -> None:
    report = compared(reader, there(reader, sound, "odd_by_v"))
    # IS NOT NULL of n, which is outside the key, keeps no row out; of "V" it does.
    assert (report.rows_base, report.rows_view, report.verdict) == (3, 3, Verdict.PASS)
    assert report.key_columns == ("V", "p", "c")


@pytest.mark.usefixtures("other_views")
def test_a_base_row_alive_under_another_key_does_not_save_an_orphan(
    session: Session, sound: str, reader: Reader, server: Node
) -> None:
    session.execute(f"UPDATE {sound}.odd SET \"V\" = 'moved' WHERE p = 2 AND c = 1")
    with server.admin() as admin:
        stray = "INSERT INTO {table} (\"V\", p, c, n) VALUES ('z', 2, 1, 2)"
        Injector(session.execute, admin, sound).import_cells("odd_moved", [(stray, ())])
    report = compared(reader, there(reader, sound, "odd_moved"))
    assert report.counts == counts(ORPHAN=1)
    assert report.samples[0].key == ("z", 2, 1)


@pytest.mark.e2e
def test_a_server_that_dies_before_the_confirmation_leaves_it_unknown(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable()
    profile = profile_of(node)
    session = connect(profile)
    create_schema(session.execute, "k", indexes=False)
    with node.admin() as admin:
        Injector(session.execute, admin, "k").never_arrived(row(1, 1, 1))
    close(session)
    with open_reader(profile) as reader:
        view = there(reader, "k")
        report = compared(reader, view, sleep=lambda _: node.kill())
        assert report.counts == counts(UNKNOWN=1)
        assert report.verdict is Verdict.UNKNOWN
        assert report.samples[0].reason
