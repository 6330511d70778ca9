"""The sketch's comparison while rows are written, a table is altered, or the server stops answering."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.errors import BalancebookError
from balancebook.profile import Limits
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Cutoff, Options
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from balancebook.verdict import Verdict
from reconciling import BASE, VIEW, Shape, compared, counts, made, there


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace for the tables of this file."""
    name = f"engine_writers_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    return name


def test_rows_beyond_the_cut_off_are_set_aside_and_compared(
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
    assert report.counts == counts(LOST=2)
    assert (report.rows_base, report.rows_view, report.newer) == (30, 28, (10, 9))
    assert report.samples[0].key == (1, 1, 5)
    assert compared(reader, view).counts == counts(LOST=2)
    with pytest.raises(BalancebookError, match="can be the cut-off"):
        compared(reader, view, cutoff=Cutoff("created", 1))
    # An int holds no time in milliseconds.
    with pytest.raises(BalancebookError, match="of type bigint or timestamp, in milliseconds"):
        compared(reader, view, cutoff=Cutoff("asset_id", 1))


@pytest.mark.parametrize("ahead_s", [600, 2 * 3600, 23 * 3600, 48 * 3600])
def test_a_writer_whose_clock_is_ahead_hides_nothing(
    session: Session, reader: Reader, keyspace: str, server: Node, ahead_s: int
) -> None:
    """Of ten accounts the newest entries of three are dated ahead, and missing from the view alone."""
    now = int(time.time() * 1000)
    cutoff = Cutoff("created_at", now - 10_000, now + 24 * 3600 * 1000)
    insert = (
        f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail, created_at) VALUES (%s, 1, %s, 1, %s)"
    )
    for user in range(10):
        session.execute(insert, (user, 1, now - 10**6))
    for user in range(3):
        session.execute(insert, (user, 2, now + ahead_s * 1000))
    view = there(reader, keyspace)
    sound = compared(reader, view, cutoff=cutoff)
    assert (sound.verdict, sound.counts) == (Verdict.PASS, counts())
    with server.admin() as admin:
        inject = Injector(session.execute, admin, keyspace)
        inject.lost(*({"user_id": user, "asset_id": 1, "seq": 2} for user in range(3)))
        report = compared(reader, view, cutoff=cutoff)
        assert (report.counts, report.verdict) == (counts(LOST=3), Verdict.FAIL)
        assert (report.rows_base, report.rows_view) == (13, 10)
        admin.truncate(keyspace, VIEW)
    emptied = compared(reader, view, cutoff=cutoff)
    assert (emptied.counts, emptied.verdict) == (counts(LOST=13), Verdict.FAIL)


def test_rows_that_are_all_dated_ahead_are_compared(
    session: Session, reader: Reader, keyspace: str, server: Node
) -> None:
    now = int(time.time() * 1000)
    cutoff = Cutoff("created_at", now - 10_000, now + 24 * 3600 * 1000)
    insert = f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, created_at) VALUES (%s, 1, %s, %s)"
    for seq in range(300):
        session.execute(insert, (seq % 7, seq, now + 2 * 3600 * 1000))
    view = there(reader, keyspace)
    sound = compared(reader, view, cutoff=cutoff)
    assert (sound.verdict, sound.newer) == (Verdict.PASS, (300, 300))
    assert (
        "300 rows of the base and 300 of the view are dated after the start; they were compared too."
        in sound.message
    )
    with server.admin() as admin:
        admin.truncate(keyspace, VIEW)
    assert compared(reader, view, cutoff=cutoff).counts == counts(LOST=300)


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


@pytest.mark.e2e
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
        reports = [reconcile(reader, view, Options(grace_s=1.0)) for _ in range(3)]
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


@pytest.mark.e2e
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
