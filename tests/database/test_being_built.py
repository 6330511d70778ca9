"""A view that is being built: rows that the build has yet to bring are no fault; those of a stopped one are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.faults import Injector
from balancebook.reconcile import run as running
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.run import Request
from balancebook.store import gone
from balancebook.store.health import ViewHealth, view_health
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.verdict import Verdict
from reconciling import BASE, VIEW, there

PARTITIONS, ROWS = 600, 5
WAYS = ("full", "sampled", "keys")


@pytest.fixture
def place(session: Session, keyspace: str) -> str:
    """A base of 3,000 rows."""
    session.execute(f"CREATE TABLE {keyspace}.wide (p int, c int, v int, PRIMARY KEY (p, c))")
    insert = f"INSERT INTO {keyspace}.wide (p, c, v) VALUES (?, ?, 1);"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * ROWS} APPLY BATCH")
    rows = ([value for c in range(ROWS) for value in (p, c)] for p in range(PARTITIONS))
    execute_concurrent_with_args(session, batch, rows, concurrency=32, raise_on_first_error=True)
    return keyspace


def begin(session: Session, reader: Reader, place: str) -> View:
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.wide_v AS SELECT p, c, v FROM {place}.wide "
        "WHERE p IS NOT NULL AND c IS NOT NULL PRIMARY KEY (c, p)"
    )
    return there(reader, place, "wide_v")


def until(reader: Reader, view: View, wanted: Callable[[ViewHealth], bool]) -> None:
    deadline = time.monotonic() + 60
    while not wanted(health := view_health(reader, view.keyspace, view.name)):
        assert time.monotonic() < deadline, health
        time.sleep(0.05)


def compared(reader: Reader, view: View, way: str, folder: Path) -> ComparisonReport:
    keys = folder / "keys.csv"
    keys.write_text("user_id\n" + "\n".join(map(str, range(40))))
    request = Request(budget_rows=10**6, depth="sampled" if way == "sampled" else "full")
    if way == "keys":
        request = replace(request, keys=keys)
    return running.run(reader, view, request, grace_s=0.2).report


@pytest.mark.parametrize("way", WAYS)
def test_what_a_build_may_still_bring_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, session: Session, keyspace: str, inject: Injector,
    tmp_path: Path, way: str,
) -> None:  # fmt: skip
    """Of lost rows in a view whose build is said to go on, to have stopped, to have ended while it was read."""
    for user in range(40):
        session.execute(
            f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES ({user}, 1, 1, 5)"
        )
    inject.lost(*({"user_id": user, "asset_id": 1, "seq": 1} for user in range(5)))
    view = there(reader, keyspace, VIEW)
    built = view_health(reader, keyspace, VIEW)
    going_on, stopped = (
        replace(built, state="building", percent=62.0, note=note, nodes=tuple(
            replace(node, built=False, running=running) for node in built.nodes
        ))
        for running, note in ((True, ""), (False, "The build is stopped on 127.0.0.1: restart it."))
    )  # fmt: skip
    may_come = "5 LOST. The view is being built, 62 % so far: these rows may still come. Run it again when it is built."
    for health, verdict, said in (
        ([built, built], Verdict.FAIL, ""),
        ([going_on, going_on], Verdict.UNKNOWN, may_come),
        ([going_on, built], Verdict.UNKNOWN, may_come),
        ([built, going_on], Verdict.UNKNOWN, may_come),
        (
            [stopped, stopped],
            Verdict.FAIL,
            "The view's build has stopped. The build is stopped on 127.0.0.1: restart",
        ),
    ):
        left = list(health)
        monkeypatch.setattr(running, "view_health", lambda *_, left=left: left.pop(0))
        report = compared(reader, view, way, tmp_path)
        assert (report.verdict, report.counts[Kind.LOST]) == (verdict, 5), report.message
        assert said in report.message
        assert ("buil" in report.message) is bool(said)
        assert left == []
    # Other faults are faults, however far the build is.
    inject.orphan({"user_id": 77, "asset_id": 1, "seq": 1, "avail": 5})
    monkeypatch.setattr(running, "view_health", lambda *_: going_on)
    report = compared(reader, view, "full", tmp_path)
    assert report.verdict is Verdict.FAIL
    assert report.message.startswith("5 LOST, 1 ORPHAN. The view is being built")


@pytest.mark.parametrize("way", WAYS)
def test_a_view_that_is_created_again_meanwhile_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, session: Session, keyspace: str, tmp_path: Path, way: str
) -> None:
    """Every way asks for the schema once more at its end."""
    session.execute(f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES (1, 1, 1, 5)")
    view = there(reader, keyspace, VIEW)
    assert compared(reader, view, way, tmp_path).verdict is Verdict.PASS
    monkeypatch.setattr(gone, "read_view", lambda *_: replace(view, table_id=UUID(int=7)))
    report = compared(reader, view, way, tmp_path)
    assert report.verdict is Verdict.UNKNOWN
    assert f"the view {keyspace}.{VIEW} was dropped and created again while it was compared" in report.message


def test_while_it_is_being_built_nothing_fails(
    reader: Reader, session: Session, place: str, tmp_path: Path
) -> None:
    view = begin(session, reader, place)
    report = compared(reader, view, "full", tmp_path)
    assert report.verdict is not Verdict.FAIL, report.message
    until(reader, view, lambda found: found.state == "healthy")
