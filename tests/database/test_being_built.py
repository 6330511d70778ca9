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
from balancebook.demo.node import Node
from balancebook.reconcile import run as running
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.run import Request
from balancebook.store import gone
from balancebook.store.health import RETRIED_AFTER_S, NodeBuild, ViewHealth, view_health
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
    while not wanted(health := view_health(reader, view.keyspace, view.name, ask_tasks=False)):
        assert time.monotonic() < deadline, health
        time.sleep(0.005)


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
    going_on, idle, stopped = (
        replace(built, state="building", percent=62.9, note=note, nodes=tuple(
            replace(node, built=False, running=running, still_s=still_s) for node in built.nodes
        ))
        for running, still_s, note in (
            (True, 1.0, ""), (False, 300.0, "No build task runs."), (False, 400.0, "It resumes by a restart."),
        )
    )  # fmt: skip
    unread = ViewHealth("unknown", note="No answer.")
    may_come = (
        "5 LOST. The view is being built, 62 % so far: rows that it lacks may still come. "
        "Run it again when it is built."
    )
    by_now = "5 LOST. The view was being built when the comparison began, and is built now: run it again."
    has_stopped = " The view's build has stopped. It resumes by a restart."
    not_read = " Whether the view is built could not be read. No answer."
    for health, verdict, said in (
        ([built, built], Verdict.FAIL, ""),
        ([going_on, going_on], Verdict.UNKNOWN, may_come),
        ([going_on, built], Verdict.UNKNOWN, by_now),
        ([built, going_on], Verdict.UNKNOWN, may_come),
        ([stopped, stopped], Verdict.FAIL, has_stopped),
        ([stopped, built], Verdict.UNKNOWN, by_now),
        ([stopped, going_on], Verdict.UNKNOWN, may_come),
        # It begins again by itself, if it failed.
        ([idle, idle], Verdict.UNKNOWN, f"{may_come} No build task runs."),
        ([unread, unread], Verdict.FAIL, not_read),
        ([built, unread], Verdict.FAIL, not_read),
        ([unread, built], Verdict.FAIL, not_read),
        ([unread, going_on], Verdict.UNKNOWN, may_come),
    ):
        left = list(health)
        monkeypatch.setattr(running, "view_health", lambda *_, left=left, **__: left.pop(0))
        report = compared(reader, view, way, tmp_path)
        assert (report.verdict, report.counts[Kind.LOST]) == (verdict, 5), report.message
        assert said in report.message
        assert ("buil" in report.message) is bool(said)
        assert left == []
    # Other faults are faults, however far the build is.
    inject.orphan({"user_id": 77, "asset_id": 1, "seq": 1, "avail": 5})
    monkeypatch.setattr(running, "view_health", lambda *_, **__: going_on)
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


def test_a_build_that_stopped_longer_ago_than_the_comparison_began() -> None:
    node = NodeBuild("127.0.0.1", UUID(int=1), "STARTED", 10.0, running=False, still_s=500.0)
    stopped = ViewHealth("building", 10.0, (node,))
    for seconds, may_come in ((0.0, False), (499.0, False), (500.0, True), (3600.0, True)):
        assert running.of_build(stopped, stopped, seconds)["may_come"] is may_come
    # One node that is not known to have stopped is enough.
    for other in ({"running": None}, {"running": True}, {"still_s": None}, {"still_s": RETRIED_AFTER_S}):
        both = replace(stopped, nodes=(node, replace(node, **other)))
        assert running.of_build(both, both, 0.0)["may_come"], other
    done = replace(node, built=True, running=None)
    assert not running.of_build(stopped, replace(stopped, nodes=(node, done)), 0.0)["may_come"]


def test_while_it_is_being_built_nothing_fails(
    reader: Reader, session: Session, place: str, tmp_path: Path, server: Node
) -> None:
    """A build that a server has stopped shows no task, as one does that failed and begins again by itself."""
    for _ in range(10):
        view = begin(session, reader, place)
        until(reader, view, lambda found: found.state == "healthy" or found.nodes[0].status == "STARTED")
        with server.admin() as admin:
            admin.stop_view_build()
        report = compared(reader, view, "full", tmp_path)
        if report.counts[Kind.LOST]:
            break
        session.execute(f"DROP MATERIALIZED VIEW {place}.wide_v")
    assert report.verdict is Verdict.UNKNOWN, report.message
    assert f"{report.counts[Kind.LOST]:,} LOST. The view is being built" in report.message
    assert "No build task runs on 127.0.0.1" in report.message
    session.execute(f"ALTER TABLE {place}.wide WITH comment = 'resume'")
    until(reader, view, lambda found: found.state == "healthy")
