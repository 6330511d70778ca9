"""Sizes that take minutes: one partition of a million rows; writers for a while, at all the server takes."""

from __future__ import annotations

import itertools
import os
import random
import resource
import threading
import time
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.kinds import FAULTS, Kind
from balancebook.reconcile.options import Cutoff, Options
from balancebook.settings import Profile
from balancebook.store.reader import Reader, open_reader
from reconciling import BASE, there

pytestmark = pytest.mark.timeout(1200)
HUGE, BATCH = 1_000_000, 100


@pytest.fixture
def reader(profile: Profile) -> Iterator[Reader]:
    with open_reader(profile) as opened:
        yield opened


@pytest.fixture
def place(session: Session) -> Iterator[str]:
    name = f"soak_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    yield name
    session.execute(f"DROP KEYSPACE {name}")


def test_a_partition_of_a_million_rows(session: Session, server: Node, reader: Reader, place: str) -> None:
    insert = f"INSERT INTO {place}.{BASE} (user_id, asset_id, seq, avail, created_at) VALUES (?, ?, ?, ?, ?);"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * BATCH} APPLY BATCH")
    rows = (
        [cell for seq in range(start, start + BATCH) for cell in (1, 1, seq, seq, seq)]
        for start in range(0, HUGE, BATCH)
    )
    execute_concurrent_with_args(session, batch, rows, concurrency=16)
    lost = [{"user_id": 1, "asset_id": 1, "seq": seq} for seq in (0, HUGE // 2, HUGE - 1)]
    with server.admin() as admin:
        Injector(session.execute, admin, place).lost(*lost)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = reconcile(reader, there(reader, place), Options(grace_s=0.5))
    assert (report.rows_base, report.rows_view) == (HUGE, HUGE - 3)
    assert [(each.kind, each.key[2]) for each in report.samples] == [(Kind.LOST, key["seq"]) for key in lost]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("with_cutoff", [True, False])
def test_writers_for_a_minute_raise_no_alarm(
    session: Session, server: Node, reader: Reader, place: str, with_cutoff: bool
) -> None:
    insert = session.prepare(
        f"INSERT INTO {place}.{BASE} (user_id, asset_id, seq, avail, created_at) VALUES (?, 1, ?, ?, ?)"
    )
    fleeting = session.prepare(
        f"INSERT INTO {place}.{BASE} (user_id, asset_id, seq, avail, created_at) VALUES (?, 2, ?, ?, ?) USING TTL 2"
    )
    delete = session.prepare(f"DELETE FROM {place}.{BASE} WHERE user_id = ? AND asset_id = 1 AND seq = ?")
    old = int(time.time() * 1000) - 3_600_000
    execute_concurrent_with_args(session, insert, [(user, 0, user, old) for user in range(5000)])
    gone = [{"user_id": user, "asset_id": 1, "seq": 0} for user in range(0, 5000, 500)]
    with server.admin() as admin:
        Injector(session.execute, admin, place).lost(*gone)
    ended = threading.Event()
    written = itertools.count()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        while not ended.is_set():
            now, user, seq = int(time.time() * 1000), chance.randrange(5000), 1 + next(written)
            asked = [
                session.execute_async(insert, (user, seq, seq, now)),
                # Of users whose row at 0 is not among those that are lost, which a new write would bring back.
                session.execute_async(insert, (500 * chance.randrange(10) + 1 + user % 499, 0, seq, old)),
                session.execute_async(fleeting, (user, seq, seq, now)),
                session.execute_async(delete, (user, max(1, seq - 50))),
            ]
            for future in asked:
                future.result()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for writer in writers:
        writer.start()
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            cutoff = Cutoff("created_at", int(time.time() * 1000) - 2000) if with_cutoff else None
            report = reconcile(reader, there(reader, place), Options(grace_s=2, cutoff=cutoff))
            assert {kind: report.counts[kind] for kind in FAULTS if report.counts[kind]} == {Kind.LOST: 10}
            assert [each.key for each in report.samples[:10]] == [tuple(key.values()) for key in gone]
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert next(written) > 1000
