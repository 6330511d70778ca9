"""The sketch's comparison on real tables of every shape, with real faults, against the naive comparison."""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.errors import BalancebookError
from balancebook.profile import Limits
from balancebook.reconcile import candidates, engine
from balancebook.reconcile.engine import Cutoff, Report, reconcile
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.naive import read_and_compare
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view
from balancebook.verdict import Verdict

UUID = "8d5b1880-0000-41ee-8000-00000000000"
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


SHAPES = {
    "a non-key base column in the view's key, nulls in it": Shape(
        columns="p int, c int, owner text, n int",
        key="p, c",
        selected="p, c, owner, n",
        view_key="owner, p, c",
        rows=(
            *(f"(p, c, owner, n) VALUES ({p}, {c}, 'o{c % 3}', {p * c})" for p in range(4) for c in range(5)),
            "(p, c, n) VALUES (9, 9, 9)",
        ),
        faults=(
            "DELETE FROM {table} WHERE owner = 'o1' AND p = 1 AND c = 1",
            "INSERT INTO {table} (owner, p, c, n) VALUES ('o2', 1, 1, 1)",
            "INSERT INTO {table} (owner, p, c, n) VALUES ('o2', 2, 2, 77)",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "an empty partition key, quoted mixed-case names, a static column": Shape(
        columns='"P" int, c int, s text STATIC, "Owner""s" text, n text',
        key='"P", c',
        selected='"P", c, "Owner""s", n',
        view_key='"Owner""s", "P", c',
        rows=(
            *(f'("P", c, "Owner""s", n) VALUES ({p}, {c}, \'\', \'\')' for p in range(3) for c in range(3)),
            "(\"P\", s) VALUES (7, 'static only')",
            '("P", c, "Owner""s") VALUES (8, 1, \'x\')',
        ),
        faults=(
            'DELETE FROM {table} WHERE "Owner""s" = \'x\' AND "P" = 8 AND c = 1',
            'INSERT INTO {table} ("Owner""s", "P", c, n) VALUES (\'y\', 8, 1, \'\')',
        ),
        expected={"LOST": 1, "ORPHAN": 1},
    ),
    "composite keys of text, uuid and blob, reversed": Shape(
        columns="a text, b uuid, c blob, d timestamp, v float",
        key="(a, b), c, d",
        selected="a, b, c, d, v",
        view_key="(b, c), d, a",
        options="WITH CLUSTERING ORDER BY (d DESC, a ASC)",
        rows=tuple(
            f"(a, b, c, d, v) VALUES ('{'ü' * n}a', {UUID}{n}, 0x{'00' * n}ff, {n}, 0.{n})" for n in range(8)
        ),
        faults=(
            f"DELETE FROM {{table}} WHERE b = {UUID}2 AND c = 0x0000ff AND d = 2 AND a = 'üüa'",
            f"INSERT INTO {{table}} (b, c, d, a, v) VALUES ({UUID}3, 0x000000ff, 3, 'üüüa', 9.9)",
            f"INSERT INTO {{table}} (b, c, d, a) VALUES ({UUID}3, 0x, -3, '')",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "decimal and varint in the key": Shape(
        columns="p decimal, c varint, d decimal, v decimal",
        key="p, c",
        selected="p, c, d, v",
        view_key="c, d, p",
        rows=tuple(
            f"(p, c, d, v) VALUES (1.{n}0, {(-1) ** n * 7 ** (9 * n)}, {n}.50, {n}.0)" for n in range(6)
        ),
        faults=(
            f"INSERT INTO {{table}} (c, d, p, v) VALUES ({7**18}, 2.50, 1.20, 2.00)",
            f"DELETE FROM {{table}} WHERE c = {7**36} AND d = 4.5 AND p = 1.40",
            "INSERT INTO {table} (c, d, p, v) VALUES (1, 0.51, 1.00, 1)",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "collections, tuples, user types, vector, duration, half-null": Shape(
        types=("pair (a int, b text)",),
        columns="p int, c int, l list<int>, s set<text>, m map<text, decimal>, f frozen<map<int, frozen<list<text>>>>, "
        "t tuple<int, text>, u pair, z frozen<pair>, v vector<float, 3>, d duration, i inet, h time, e date",
        key="p, c",
        selected="*",
        view_key="c, p",
        rows=(
            *(
                "(p, c, l, s, m, f, t, u, z, v, d, i, h, e) VALUES "
                f"(1, {n}, [3, 1, 3], {{'b', 'a'}}, {{'x': 1.0}}, {{1: ['p']}}, (1, null), {{a: 1}}, {{a: 2, b: ''}}, "
                "[1, 2, 3], 1mo2d3ns, '::1', '01:02:03', '2024-02-29')"
                for n in range(9)
            ),
            "(p, c) VALUES (2, 1)",
            "(p, c, s, l) VALUES (2, 2, {}, [])",
        ),
        faults=(
            "INSERT INTO {table} (c, p, l) VALUES (1, 1, [3, 1])",
            "INSERT INTO {table} (c, p, u) VALUES (2, 1, {a: 1, b: ''})",
            "INSERT INTO {table} (c, p, v) VALUES (3, 1, [1, 2, 4])",
            "INSERT INTO {table} (c, p, t) VALUES (4, 1, (1, ''))",
            "INSERT INTO {table} (c, p, m) VALUES (5, 1, {'x': 1.00})",
            "DELETE d, i FROM {table} WHERE c = 6 AND p = 1",
            "DELETE FROM {table} WHERE c = 7 AND p = 1",
            "INSERT INTO {table} (c, p, f) VALUES (1, 2, {})",
        ),
        expected={"LOST": 1, "MISMATCH": 7},
    ),
    "frozen collections and a tuple in the key": Shape(
        columns="p frozen<list<int>>, c frozen<tuple<int, text>>, k frozen<set<int>>, v boolean",
        key="p, c",
        selected="p, c, k, v",
        view_key="k, p, c",
        rows=tuple(f"(p, c, k, v) VALUES ([{n}, 1], ({n}, null), {{{n}, 5}}, true)" for n in range(6)),
        faults=(
            "DELETE FROM {table} WHERE k = {1, 5} AND p = [1, 1] AND c = (1, null)",
            "INSERT INTO {table} (k, p, c, v) VALUES ({2, 5}, [2, 1], (2, null), false)",
        ),
        expected={"LOST": 1, "MISMATCH": 1},
    ),
    "a view that selects its key alone": Shape(
        columns="p bigint, c int, v text",
        key="p, c",
        selected="p, c",
        view_key="c, p",
        rows=tuple(f"(p, c, v) VALUES ({p}, {c}, 'v')" for p in range(5) for c in range(5)),
        faults=("DELETE FROM {table} WHERE c = 3 AND p = 3", "INSERT INTO {table} (c, p) VALUES (6, 3)"),
        expected={"LOST": 1, "ORPHAN": 1},
    ),
}


@pytest.fixture(scope="module")
def place(session: Session) -> Iterator[str]:
    name = f"engine_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    yield name
    session.execute(f"DROP KEYSPACE {name}")


@pytest.fixture
def fault(server: Node, session: Session, place: str) -> Iterator[Injector]:
    with server.admin() as admin:
        yield Injector(session.execute, admin, place)


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
    return reconcile(reader, view, **{"grace_s": 0, "sleep": lambda _: None, **options})


def naively(reader: Reader, view: View) -> Any:
    return read_and_compare(reader, view, grace_s=0, sleep=lambda _: None)


def counts(**kinds: int) -> dict[Kind, int]:
    return dict.fromkeys(Kind, 0) | {Kind(name): number for name, number in kinds.items()}


@pytest.mark.parametrize("name", SHAPES)
def test_any_schema(
    session: Session, reader: Reader, place: str, fault: Injector, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shape = SHAPES[name]
    view = made(session, reader, place, shape)
    sound = compared(reader, view)
    assert (sound.verdict, sound.counts) == (Verdict.PASS, counts())
    assert sound.rows_base == sound.rows_view > 0
    fault.import_cells(view.name, [(statement, ()) for statement in shape.faults])
    oracle = naively(reader, view)
    by_key = compared(reader, view)
    assert by_key.counts == counts(**shape.expected)
    assert (by_key.rows_base, by_key.rows_view) == (oracle.rows_base, oracle.rows_view)
    monkeypatch.setattr(candidates, "MOST_BY_KEY", 0)
    by_scan = compared(reader, view)
    assert repr(by_scan.samples) == repr(by_key.samples)
    if not oracle.counts[Kind.UNKNOWN]:
        assert oracle.counts == by_key.counts
        assert repr(by_key.samples) == repr(oracle.samples)
        assert [by_key.named(sample) for sample in by_key.samples] == [
            oracle.named(s) for s in oracle.samples
        ]


def test_a_key_spelled_otherwise_is_the_same_key(session: Session, reader: Reader, place: str) -> None:
    rows = tuple(f"(p, c, v) VALUES (1, {n}.0, 1)" for n in range(5))
    view = made(
        session, reader, place, Shape("p int, c decimal, v int", "p, c", "p, c, v", "p, c", rows, (), {})
    )
    base = f"{place}.{view.base_name}"
    session.execute(f"DELETE FROM {base} WHERE p = 1 AND c = 2.0")
    session.execute(f"INSERT INTO {base} (p, c, v) VALUES (1, 2.00, 7)")
    session.execute(f"INSERT INTO {base} (p, c, v) VALUES (1, 3.000, 7)")
    report = compared(reader, view)
    assert (report.verdict, report.counts) == (Verdict.PASS, counts())


def test_an_empty_number_in_the_key_is_named_by_its_token(
    session: Session, reader: Reader, place: str, fault: Injector
) -> None:
    empty = "(p, c, v) VALUES (1, blob_as_int(0x), 5)"
    rows = (*(f"(p, c, v) VALUES (1, {n}, 1)" for n in range(5)), empty.replace("5", "1"))
    view = made(session, reader, place, Shape("p int, c int, v int", "p, c", "*", "p, c", rows, (), {}))
    assert compared(reader, view).counts == counts()
    fault.import_cells(view.name, [(f"INSERT INTO {{table}} {row}", ()) for row in (empty, rows[3])])
    fault.import_cells(view.name, [("INSERT INTO {table} (p, c, v) VALUES (1, 3, 5)", ())])
    report = compared(reader, view)
    assert report.counts == counts(MISMATCH=2)
    assert {sample.key for sample in report.samples} == {(1, None), (1, 3)}


@pytest.mark.parametrize("most_by_key", [10_000, 0], ids=["by key", "by scan"])
@pytest.mark.parametrize("kind", ["text", "int"])
def test_a_row_under_an_empty_partition_key_is_read_again(
    session: Session,
    reader: Reader,
    place: str,
    fault: Injector,
    monkeypatch: pytest.MonkeyPatch,
    most_by_key: int,
    kind: str,
) -> None:
    monkeypatch.setattr(candidates, "MOST_BY_KEY", most_by_key)
    values = [*["''"] * 5, "'6'", "'7'"] if kind == "text" else [*["blob_as_int(0x)"] * 5, "6", "7"]
    rows = tuple(f"(p, v) VALUES ({n}, {value})" for n, value in enumerate(values))
    view = made(session, reader, place, Shape(f"p int, v {kind}", "p", "*", "v, p", rows, (), {}))
    assert compared(reader, view).counts == counts()
    fault.import_cells(view.base_name, [("DELETE FROM {table} WHERE p = 3", ())])
    report = compared(reader, view)
    assert report.counts == counts(ORPHAN=1)
    assert report.samples[0].key == ("" if kind == "text" else None, 3)


@pytest.fixture(scope="module")
def ledger(session: Session, server: Node) -> Iterator[str]:
    """A ledger of 3,000 rows and every third of them lost, changed or orphaned in the view: 1,000 faults."""
    name = f"ledger_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    insert = "INSERT INTO {} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, ?, 0, ?)"
    rows = [(n % 97, n % 5, n, n * 7, 1000 + n) for n in range(3000)]
    execute_concurrent_with_args(session, session.prepare(insert.format(f"{name}.{BASE}")), rows)
    with server.admin() as admin:
        inject = Injector(session.execute, admin, name)
        keys = ("user_id", "asset_id", "seq")
        inject.lost(*(dict(zip(keys, row, strict=False)) for row in rows[:400]))
        inject.mismatch(*(dict(zip(keys, row, strict=False)) | {"avail": -1} for row in rows[1000:1300]))
        inject.orphan(*(dict(zip(keys, (n, 1, n), strict=True)) | {"avail": n} for n in range(5000, 5300)))
    yield name
    session.execute(f"DROP KEYSPACE {name}")


@pytest.mark.parametrize(
    ("cells", "most", "passes"),
    [(12_288, 12_288, (1, 1)), (300, 100_000, (2, 4)), (300, 1200, (3, 12)), (12_288, 300_000, (1, 1))],
    ids=["at once", "grown", "bucket by bucket", "by scan"],
)
def test_however_small_the_sketch_the_counts_are_exact(
    reader: Reader,
    ledger: str,
    monkeypatch: pytest.MonkeyPatch,
    cells: int,
    most: int,
    passes: tuple[int, int],
) -> None:
    view = there(reader, ledger)
    if most == 300_000:
        monkeypatch.setattr(candidates, "MOST_BY_KEY", 5)
    report = compared(reader, view, cells=cells, most_cells=most, samples=3000)
    assert passes[0] <= report.passes <= passes[1]
    assert report.counts == counts(LOST=400, MISMATCH=300, ORPHAN=300)
    assert repr(report.samples) == repr(read_and_compare(reader, view, grace_s=0, samples=3000).samples)
    assert (report.rows_base, report.rows_view) == (3000, 2900)


def test_too_many_to_name_is_said(reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_MOST_BUCKETS", 2)
    report = compared(reader, there(reader, ledger), cells=30, most_cells=30)
    assert report.verdict is Verdict.UNKNOWN
    assert "rebuild the view" in report.reasons[0]


def test_beyond_the_budget_nothing_is_claimed(reader: Reader, ledger: str) -> None:
    report = compared(reader, there(reader, ledger), budget_rows=1500)
    assert (report.verdict, report.truncated, report.counts) == (Verdict.UNKNOWN, True, counts())
    assert "budget of 1500" in report.reasons[0]
    assert compared(reader, there(reader, ledger), budget_rows=3000).verdict is Verdict.FAIL


def test_two_empty_sides_pass_and_an_emptied_view_has_lost_all(
    keyspace: str, reader: Reader, server: Node, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = there(reader, keyspace)
    assert compared(reader, view).verdict is Verdict.PASS
    for n in range(20):
        session.execute(f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq) VALUES ({n}, 1, 1)")
    with server.admin() as admin:
        admin.truncate(keyspace, VIEW)
    assert compared(reader, view).counts == counts(LOST=20)
    # A side that only seems empty is no finding.
    ordinary = reader.rows
    monkeypatch.setattr(
        reader, "rows", lambda cql, *a, **k: [(1,)] if "LIMIT 1" in cql else ordinary(cql, *a, **k)
    )
    report = compared(reader, view)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
    assert "though the scan saw none" in report.reasons[0]


def test_a_cut_off_leaves_new_rows_out_of_both_sides(
    session: Session, reader: Reader, place: str, fault: Injector
) -> None:
    insert = (
        f"INSERT INTO {place}.{BASE} (user_id, asset_id, seq, avail, created_at) VALUES (%s, 1, %s, 1, %s)"
    )
    for seq in range(30):
        session.execute(insert, (1, seq, 100 + seq))
    fault.lost({"user_id": 1, "asset_id": 1, "seq": 5}, {"user_id": 1, "asset_id": 1, "seq": 25})
    view = there(reader, place)
    report = compared(reader, view, cutoff=Cutoff("created_at", 119))
    assert report.counts == counts(LOST=1)
    assert (report.rows_base, report.rows_view, report.newer) == (30, 28, (10, 9))
    assert compared(reader, view).counts == counts(LOST=2)
    with pytest.raises(BalancebookError, match="can be the cut-off"):
        compared(reader, view, cutoff=Cutoff("created", 1))


def test_a_view_altered_meanwhile_is_not_judged(session: Session, reader: Reader, place: str) -> None:
    view = made(session, reader, place, Shape("p int, c int", "p, c", "*", "c, p", (), (), {}))
    altered = False

    def alter(_report: Any) -> None:
        nonlocal altered
        if not altered:
            altered = True
            session.execute(f"ALTER TABLE {place}.{view.base_name} ADD more int")

    report = compared(reader, view, progress=alter)
    assert report.verdict is Verdict.UNKNOWN
    assert "altered" in report.reasons[0]


def test_a_busy_writer_raises_no_alarm_and_faults_are_found(
    session: Session, reader: Reader, place: str, fault: Injector
) -> None:
    shape = Shape(
        "u bigint, a int, s bigint, v bigint",
        "(u, a), s",
        "*",
        "u, a, s",
        tuple(f"(u, a, s, v) VALUES ({n % 50}, 1, {n}, 1)" for n in range(500)),
        (),
        {},
    )
    view = made(session, reader, place, shape)
    gone = {"u": 7, "a": 1, "s": 7}
    fault.import_cells(
        view.name, [("DELETE FROM {table} WHERE u = %s AND a = %s AND s = %s", list(gone.values()))]
    )
    done = threading.Event()
    base = f"{place}.{view.base_name}"

    def write() -> None:
        chance = random.Random(1)
        for seq in itertools.count(1000):
            if done.is_set():
                return
            user = chance.randrange(10, 50)
            session.execute(f"INSERT INTO {base} (u, a, s, v) VALUES ({user}, 1, {seq}, 1)")
            session.execute(f"UPDATE {base} SET v = {seq} WHERE u = {user} AND a = 1 AND s = {user}")
            session.execute(f"DELETE FROM {base} WHERE u = {user} AND a = 1 AND s = {seq - 3}")
            session.execute(f"INSERT INTO {base} (u, a, s, v) VALUES ({user}, 2, {seq}, 1) USING TTL 1")

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        reports = [reconcile(reader, view, grace_s=1.0) for _ in range(3)]
    finally:
        done.set()
        for writer in writers:
            writer.join()
    for report in reports:
        assert {kind: report.counts[kind] for kind in (Kind.LOST, Kind.MISMATCH, Kind.ORPHAN)} == {
            Kind.LOST: 1,
            Kind.MISMATCH: 0,
            Kind.ORPHAN: 0,
        }
        assert report.samples[0].key == (7, 1, 7)


def test_a_server_paused_in_mid_scan_leaves_it_unknown(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable()
    session = connect(profile_of(node))
    create_schema(session.execute, "k", indexes=False)
    for number in range(50):
        session.execute(f"INSERT INTO k.{BASE} (user_id, asset_id, seq) VALUES ({number}, 1, 1)")
    close(session)
    with open_reader(profile_of(node, limits=Limits(request_timeout_s=1.0))) as reader:
        view = there(reader, "k")
        paused = False

        def pause(_report: Any) -> None:
            nonlocal paused
            if not paused:
                paused = True
                node.pause()

        try:
            report = compared(reader, view, progress=pause)
        finally:
            node.resume()
        assert report.verdict is Verdict.UNKNOWN
        assert report.unknown_ranges
        assert report.counts == counts()
        assert compared(reader, view).verdict is Verdict.PASS
