"""The sketch's comparison while rows are written, a table is altered, or the server stops answering."""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
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
from reconciling import BASE, Shape, compared, counts, made, there


@pytest.fixture(scope="module")
def place(session: Session) -> Iterator[str]:
    """A keyspace for the tables of this file."""
    name = f"engine_writers_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    yield name
    session.execute(f"DROP KEYSPACE {name}")


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
