"""Some partitions compared exactly: the faults of those asked for are found, those of all others are not."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.faults.inject import delete, insert
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.progress import Step
from balancebook.reconcile import partitions, slices
from balancebook.reconcile.keys_file import read_keys
from balancebook.reconcile.partitions import PartitionsReport, compare_partitions
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.pace import Pace
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import read_table, read_view
from balancebook.verdict import Verdict
from oracle import read_and_compare
from reconciling import counts

VIEW, BASE = "user_balances_by_user", "balance_ledger"
# A base whose view is by a column that is no key, the owner; and one whose view shares but the kind with it.
OWNED = "p int, c int, owner text, n int, PRIMARY KEY (p, c)"
DAYS = "kind text, number int, day int, n int, PRIMARY KEY ((kind, number))"


def key(user: int, asset: int, seq: int) -> dict[str, int]:
    return {"user_id": user, "asset_id": asset, "seq": seq}


def row(user: int, asset: int, seq: int, avail: int = 5) -> dict[str, int]:
    return key(user, asset, seq) | {"avail": avail, "frozen": 0, "created_at": 1000}


@pytest.fixture(scope="module")
def place(session: Session, server: Node) -> str:
    """24 rows of users 1 to 4 in a ledger, with faults of 1, 2, 4 and 77; two other bases with views and faults."""
    name = f"asked_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    for table, columns, view_key in (("owned", OWNED, "owner, p, c"), ("days", DAYS, "(kind, day), number")):
        session.execute(f"CREATE TABLE {name}.{table} ({columns})")
        there = " AND ".join(
            f"{column} IS NOT NULL" for column in view_key.replace("(", "").replace(")", "").split(", ")
        )
        session.execute(
            f"CREATE MATERIALIZED VIEW {name}.{table}_by AS SELECT * FROM {name}.{table} "
            f"WHERE {there} PRIMARY KEY ({view_key})"
        )
    booked = session.prepare(
        f"INSERT INTO {name}.{BASE} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, ?, ?, ?)"
    )
    for each in (row(u, a, s) for u in range(1, 5) for a in (1, 2) for s in (1, 2, 3)):
        session.execute(booked, list(each.values()))
    for p, c, owner in (
        (1, 1, "'x'"),
        (1, 2, "'y'"),
        (2, 1, "'x'"),
        (2, 2, "''"),
        (3, 1, "''"),
        (3, 2, "null"),
    ):
        session.execute(f"INSERT INTO {name}.owned (p, c, owner, n) VALUES ({p}, {c}, {owner}, 1)")
    for kind, number, day in (("a", 1, 1), ("a", 2, 1), ("a", 3, 2), ("b", 1, 1)):
        session.execute(
            f"INSERT INTO {name}.days (kind, number, day, n) VALUES ('{kind}', {number}, {day}, 1)"
        )
    with server.admin() as admin:
        inject = Injector(session.execute, admin, name)
        orphans = row(1, 9, 1), row(77, 1, 1)
        changed = key(2, 2, 2) | {"avail": 4242}
        inject.import_cells(VIEW, [delete(key(1, 1, 1)), *map(insert, orphans), insert(changed)])
        inject.never_arrived(row(4, 8, 1), row(4, 8, 2))
        inject.import_cells(
            "owned_by",
            [
                ("INSERT INTO {table} (owner, p, c, n) VALUES ('x', 1, 1, 2)", ()),
                ("DELETE FROM {table} WHERE owner = 'x' AND p = 2 AND c = 1", ()),
                ("INSERT INTO {table} (owner, p, c, n) VALUES ('y', 3, 2, 1)", ()),
            ],
        )
        # No statement reaches an empty partition key.
        inject.import_cells("owned", [("DELETE FROM {table} WHERE p = 3 AND c = 1", ())])
        inject.import_cells(
            "days_by",
            [
                ("INSERT INTO {table} (kind, day, number, n) VALUES ('a', 2, 1, 1)", ()),
                ("DELETE FROM {table} WHERE kind = 'a' AND day = 1 AND number = 2", ()),
            ],
        )
    return name


Compare = Callable[..., PartitionsReport]


@pytest.fixture
def compare(reader: Reader, place: str, tmp_path: Path) -> Compare:
    """compare("user_id\\n1\\n", view=VIEW) -> what is found for a file with that text."""

    def compared(
        text: str, view: str = VIEW, reader: Reader = reader, keyspace: str = place, **options: Any
    ) -> PartitionsReport:
        file = tmp_path / "keys.csv"
        file.write_text(text)
        found = read_view(reader, keyspace, view)
        assert found
        base = read_table(reader, keyspace, found.base_name)
        assert base
        settings: dict[str, Any] = {"grace_s": 0, "sleep": lambda _: None, **options}
        return compare_partitions(reader, found, read_keys(file, found, base), **settings)

    return compared


def found(report: PartitionsReport) -> list[tuple[Any, ...]]:
    assert sum(report.counts.values()) == len(report.samples)
    return [(str(each.kind), *each.key) for each in report.samples]


@pytest.mark.parametrize(
    ("asked", "expected", "rows", "read"),
    [
        ("1", [("LOST", 1, 1, 1), ("ORPHAN", 1, 9, 1)], (6, 6), (2, 1)),
        ("1\n2", [("LOST", 1, 1, 1), ("MISMATCH", 2, 2, 2), ("ORPHAN", 1, 9, 1)], (12, 12), (4, 2)),
        ("3", [], (6, 6), (2, 1)),
        # An asset that only the base knows, and a user whom only the view knows.
        ("4", [("LOST", 4, 8, 1), ("LOST", 4, 8, 2)], (8, 6), (3, 1)),
        ("77", [("ORPHAN", 77, 1, 1)], (0, 1), (0, 1)),
    ],
)
def test_of_users_asked_for_all_faults_are_found(
    compare: Compare, asked: str, expected: list[Any], rows: tuple[int, int], read: tuple[int, int]
) -> None:
    report = compare(f"user_id\n{asked}\n")
    assert found(report) == expected
    assert report.verdict is (Verdict.FAIL if expected else Verdict.PASS)
    assert (report.rows_base, report.rows_view) == rows
    assert report.partitions_read == read
    assert report.how.endswith("; those of balance_ledger were found by listing all its 9 keys.")


@pytest.mark.parametrize(
    ("asked", "expected", "rows"),
    [
        ("1,1", [("LOST", 1, 1, 1)], (3, 2)),
        ("1,9\n2,2", [("MISMATCH", 2, 2, 2), ("ORPHAN", 1, 9, 1)], (3, 4)),
        ("4,8\n3,1\n1,2", [("LOST", 4, 8, 1), ("LOST", 4, 8, 2)], (8, 6)),
    ],
)
def test_of_base_partitions_the_views_rows_are_read_alone(
    compare: Compare, asked: str, expected: list[Any], rows: tuple[int, int]
) -> None:
    report = compare(f"user_id,asset_id\n{asked}\n")
    assert found(report) == expected
    assert (report.rows_base, report.rows_view) == rows
    read = "1 partition" if asked == "1,1" else f"{len(asked.split())} partitions"
    assert report.how == f"Read {read} of {BASE} and {read} of {VIEW}; no table was scanned."


def test_what_exists_nowhere_passes_and_is_named(compare: Compare) -> None:
    report = compare("user_id\n3\n98\n99\n")
    assert (report.verdict, report.absent) == (Verdict.PASS, ((98,), (99,)))
    assert report.message == (
        "All 6 rows of the 3 partitions asked for equal the base, cell by cell. "
        "2 of 3 exist on neither side: user_id=98, user_id=99."
    )


@pytest.mark.parametrize(
    ("asked", "expected", "rows"),
    [
        ("owner\nx\n", [("LOST", "x", 2, 1), ("MISMATCH", "x", 1, 1)], (2, 1)),
        ("owner\ny\n", [("ORPHAN", "y", 3, 2)], (1, 2)),
        ('owner\n""\n', [("ORPHAN", "", 3, 1)], (1, 2)),
        ("p\n1\n", [("MISMATCH", "x", 1, 1)], (2, 2)),
        ("p\n2\n4\n", [("LOST", "x", 2, 1)], (2, 1)),
        ("p\n3\n", [("ORPHAN", "", 3, 1), ("ORPHAN", "y", 3, 2)], (0, 2)),
    ],
)
def test_where_neither_key_tells_the_other_one_side_is_scanned(
    compare: Compare, asked: str, expected: list[Any], rows: tuple[int, int]
) -> None:
    report = compare(asked, "owned_by")
    assert found(report) == expected
    assert (report.rows_base, report.rows_view) == rows
    scanned = (
        "owned was scanned whole (5 rows), since owner"
        if asked[0] == "o"
        else "owned_by was scanned whole (5 rows), since p"
    )
    assert report.how.endswith(f"{scanned} does not narrow it.")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("kind,day\na,1\nb,1\n", [("LOST", "a", 1, 2)]),
        ("day,kind\n2,a\n", [("ORPHAN", "a", 2, 1)]),
        ("kind,number\na,1\n", [("ORPHAN", "a", 2, 1)]),
        ("kind,number\na,2\nb,1\n", [("LOST", "a", 1, 2)]),
    ],
)
def test_keys_that_share_a_column_are_told_by_it(compare: Compare, asked: str, expected: list[Any]) -> None:
    report = compare(asked, "days_by")
    assert found(report) == expected
    assert "listing all" in report.how


@pytest.mark.parametrize(
    ("view", "all_asked"),
    [
        (VIEW, "user_id\n1\n2\n3\n4\n77\n"),
        ("owned_by", 'owner\nx\ny\n""\n'),
        ("owned_by", "p\n1\n2\n3\n"),
        ("days_by", "kind,day\na,1\na,2\nb,1\n"),
        ("days_by", "kind,number\na,1\na,2\na,3\nb,1\n"),
    ],
)
def test_all_partitions_together_are_what_the_plain_comparison_finds(
    compare: Compare, reader: Reader, place: str, view: str, all_asked: str
) -> None:
    the_view = read_view(reader, place, view)
    assert the_view
    plain = read_and_compare(reader, the_view)
    report = compare(all_asked, view)
    assert tuple(replace(each, reason="") for each in report.samples) == plain.samples
    assert report.counts == plain.counts
    assert (report.rows_base, report.rows_view) == (plain.rows_base, plain.rows_view)


@pytest.mark.parametrize("asked", ["user_id\n1\n2\n4\n77\n", "user_id,asset_id\n1,1\n1,9\n2,2\n4,8\n77,1\n"])
def test_many_suspects_are_confirmed_some_at_a_time(
    compare: Compare, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compare(asked)
    assert len(found(expected)) == 6
    # One confirmation for each group, or one for all.
    for at_once in (1, 10**6):
        monkeypatch.setattr(partitions, "_AT_ONCE", at_once)
        assert compare(asked) == expected


def test_rows_beyond_a_page_and_reads_beyond_those_under_way(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compare("user_id\n1\n2\n3\n4\n77\n")
    monkeypatch.setattr(slices, "_PAGE_ROWS", 2)
    monkeypatch.setattr(slices, "IN_FLIGHT", 2)
    steps: list[Step] = []
    assert compare("user_id\n1\n2\n3\n4\n77\n", progress=steps.append) == expected
    assert [(step.done, step.total) for step in steps if step.unit == "partitions"][-1] == (14, 14)
    assert steps[-1].rows == expected.rows_base + expected.rows_view


@pytest.mark.parametrize("asked", ["user_id\n999\n", "user_id,asset_id\n999,1\n998,1\n"])
def test_keys_that_match_nothing_on_either_side_are_unknown(compare: Compare, asked: str) -> None:
    report = compare(asked)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
    many = asked.count("\n") - 1
    expected = (
        "the partition asked for has no row"
        if many == 1
        else f"none of the {many} partitions asked for has a row"
    )
    assert expected in report.message


def test_what_heals_within_the_grace_is_lagging(
    compare: Compare, session: Session, place: str, server: Node
) -> None:
    with server.admin() as admin:
        Injector(session.execute, admin, place).never_arrived(row(3, 2, 9))
    cells = "(user_id, asset_id, seq, avail, frozen, created_at) VALUES (3, 2, 9, 5, 0, 1000)"
    report = compare("user_id\n3\n", sleep=lambda _: session.execute(f"INSERT INTO {place}.{BASE} {cells}"))
    assert (found(report), report.verdict) == ([("LAGGING", 3, 2, 9)], Verdict.PASS)
    session.execute(f"DELETE FROM {place}.{BASE} WHERE user_id = 3 AND asset_id = 2 AND seq = 9")
    assert compare("user_id\n3\n").rows_base == 6


def test_beyond_the_budget_of_a_scan_only_facts_are_told(compare: Compare) -> None:
    """One row of the base is looked at: what the view has is looked up by key, what it lacks cannot be known."""
    report = compare("owner\ny\n", "owned_by", budget_rows=1)
    assert (found(report), report.verdict) == ([("ORPHAN", "y", 3, 2)], Verdict.FAIL)
    report = compare("p\n1\n4\n", "owned_by", budget_rows=1)
    assert (found(report), report.verdict) == ([("MISMATCH", "x", 1, 1)], Verdict.FAIL)
    report = compare("kind,number\nb,1\nc,1\n", "days_by", budget_rows=1)
    assert (found(report), report.verdict, report.absent) == ([], Verdict.UNKNOWN, ())
    assert "beyond the budget of 1" in report.message
    assert compare("p\n1\n", "owned_by", budget_rows=5).complete


@pytest.mark.e2e
def test_a_server_that_dies_leaves_partitions_unknown(
    compare: Compare,
    disposable: Callable[..., Node],
    profile_of: Callable[..., Profile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "IN_FLIGHT", 2)
    node = disposable()
    profile = profile_of(node)
    session = connect(profile)
    create_schema(session.execute, "k", indexes=False)
    close(session)

    def kill(step: Step) -> None:
        if step.unit == "partitions" and step.done == 1:
            node.kill()

    with open_reader(profile) as reader:
        asked = "user_id\n" + "".join(f"{user}\n" for user in range(1, 21))
        report = compare(asked, reader=reader, keyspace="k", progress=kill)
        assert (report.verdict, report.counts) == (Verdict.UNKNOWN, dict.fromkeys(report.counts, 0))
        # Those under way when it died may have been answered.
        assert 16 <= len(report.unread) <= 19
        assert report.unread[-1][0] == (20,)
        assert "not tried, since 2 reads in a row had no answer" in report.unread[-1][1]
        assert "of 20 partitions could not be read (user_id=" in report.message


@pytest.mark.parametrize(("view", "asked"), [(VIEW, "user_id\n1\n2\n3\n4\n"), ("owned_by", "owner\nx\ny\n")])
def test_a_rate_holds(compare: Compare, view: str, asked: str) -> None:
    began = time.monotonic()
    report = compare(asked, view, pace=Pace(rate=20))
    seconds = time.monotonic() - began
    assert found(report) == found(compare(asked, view))
    assert (report.rows_base + report.rows_view) / seconds < 1.2 * 20
