"""Twenty minutes beside writers that do everything a row can go through: no alarm, and each lasting fault is named."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.kinds import FAULTS, Kind
from balancebook.reconcile.options import MOST_BY_KEY, Options
from balancebook.reconcile.report import ComparisonReport
from balancebook.store.pace import Pace
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.verdict import Verdict
from reconciling import there

ROWS, PARTITIONS = 14_000, 140
WRITES_A_SECOND = 70
RATE = 1500
GRACE_S = 2.0
MINUTES = float(os.environ.get("SOAK_MINUTES", "9"))
pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture
def views(session: Session, reader: Reader, keyspace: str) -> tuple[View, View]:
    """A base with a view of its own key and one whose key moves, and 14,000 rows."""
    base = f"{keyspace}.t"
    session.execute(f"CREATE TABLE {base} (p int, c int, k int, flag int, v int, z int, PRIMARY KEY (p, c))")
    where = "p IS NOT NULL AND c IS NOT NULL"
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.by_p AS SELECT p, c, flag, v FROM {base} WHERE {where} PRIMARY KEY (p, c)"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.by_k AS SELECT p, c, k, flag, v FROM {base} "
        f"WHERE {where} AND k IS NOT NULL PRIMARY KEY (k, p, c)"
    )
    insert = session.prepare(f"INSERT INTO {base} (p, c, k, flag, v, z) VALUES (?, ?, ?, 0, ?, 0)")
    execute_concurrent_with_args(session, insert, [(n % PARTITIONS, n, n % 7, n) for n in range(ROWS)], 32)
    return there(reader, keyspace, "by_p"), there(reader, keyspace, "by_k")


@contextmanager
def writers(session: Session, base: str) -> Iterator[None]:
    """Deletes, re-inserts, expiring rows, key changes and flags, some of them in bursts."""
    ended, failed = threading.Event(), list[Exception]()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while not ended.wait(chance.expovariate(WRITES_A_SECOND / 2)):
            n = chance.randrange(20, ROWS) if chance.random() < 0.5 else chance.randrange(20, 60)
            row = f"p = {n % PARTITIONS} AND c = {n}"
            values = f"({n % PARTITIONS}, {n}, {chance.randrange(7)}, {chance.randrange(2)}, {n}, 0)"
            statement = chance.choice(
                [
                    f"UPDATE {base} SET flag = {chance.randrange(2)} WHERE {row}",
                    f"UPDATE {base} SET k = {chance.randrange(7)} WHERE {row}",
                    f"UPDATE {base} SET z = {chance.randrange(9)} WHERE {row}",
                    f"UPDATE {base} USING TTL {chance.randrange(1, 20)} SET v = {chance.randrange(9)} WHERE {row}",
                    f"INSERT INTO {base} (p, c, k, flag, v, z) VALUES {values}",
                    f"INSERT INTO {base} (p, c, k, flag, v, z) VALUES {values} USING TTL {chance.randrange(1, 20)}",
                    f"DELETE FROM {base} WHERE {row}",
                    f"DELETE flag FROM {base} WHERE {row}",
                ]
            )
            try:
                session.execute(statement)
            except Exception as error:  # noqa: BLE001 (handed to the test below)
                failed.append(error)
                return

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failed, failed


def compared(reader: Reader, view: View, *, by_scan: bool) -> ComparisonReport:
    options = Options(grace_s=GRACE_S, pace=Pace(rate=RATE), most_by_key=0 if by_scan else MOST_BY_KEY)
    return reconcile(reader, view, options)


def until_it_is_over() -> Iterator[int]:
    """Rounds, until the minutes are over; three at least."""
    end, turn = time.monotonic() + 60 * MINUTES, 0
    while turn < 3 or time.monotonic() < end:
        yield turn
        turn += 1


def test_sound_rows_raise_no_alarm(
    session: Session, reader: Reader, views: tuple[View, View], keyspace: str
) -> None:
    with writers(session, f"{keyspace}.t"):
        for turn in until_it_is_over():
            report = compared(reader, views[turn % 2], by_scan=turn % 4 > 1)
            assert not any(report.counts[kind] for kind in FAULTS), (turn, report.message, report.samples)
            assert not report.reasons, report.reasons


def test_lasting_faults_are_named_and_nothing_else(
    session: Session, reader: Reader, views: tuple[View, View], keyspace: str, server: Node
) -> None:
    """The twenty rows with a fault are written too, cell by cell; none is deleted or rewritten as a whole."""
    ahead = int((time.time() + 86_400) * 10**6)
    gone = [f"DELETE FROM {{table}} USING TIMESTAMP {ahead} WHERE p = {n} AND c = {n}" for n in range(10)]
    wrong = [
        f"UPDATE {{table}} USING TIMESTAMP {ahead} SET v = 999999 WHERE p = {n} AND c = {n}"
        for n in range(10, 20)
    ]
    with server.admin() as admin:
        Injector(session.execute, admin, keyspace).import_cells(
            "by_p", [(each, ()) for each in [*gone, *wrong]]
        )
    expected = {n: Kind.LOST if n < 10 else Kind.MISMATCH for n in range(20)}
    with writers(session, f"{keyspace}.t"):
        for turn in until_it_is_over():
            for n in range(20):
                session.execute(f"UPDATE {keyspace}.t SET flag = {turn % 2} WHERE p = {n} AND c = {n}")
            report = compared(reader, views[0], by_scan=bool(turn % 2))
            found = {sample.key[1]: sample.kind for sample in report.samples if sample.kind in FAULTS}
            assert found == expected, (turn, report.message)


@pytest.mark.parametrize("most_by_key", [MOST_BY_KEY, 1000])
def test_sound_rows_that_flip_in_batches_pass(
    session: Session, reader: Reader, keyspace: str, most_by_key: int
) -> None:
    """A job flips a flag of 14,000 rows, 200 at a time, while a slow scan meets most of them half-way."""
    base = f"{keyspace}.flags"
    session.execute(f"CREATE TABLE {base} (p int, c int, v int, PRIMARY KEY (p, c))")
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.by_flag AS SELECT * FROM {base} WHERE p IS NOT NULL AND c IS NOT NULL "
        "PRIMARY KEY (c, p)"
    )
    insert = session.prepare(f"INSERT INTO {base} (p, c, v) VALUES (?, ?, ?)")
    keys = [(n % PARTITIONS, n) for n in range(ROWS)]
    execute_concurrent_with_args(session, insert, [(*key, 0) for key in keys], 32)
    ended = threading.Event()

    def flip() -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            for start in range(0, ROWS, 200):
                if ended.is_set():
                    return
                batch = [(*key, turn % 2) for key in keys[start : start + 200]]
                execute_concurrent_with_args(session, insert, batch, 32)

    job = threading.Thread(target=flip)
    job.start()
    try:
        options = Options(grace_s=GRACE_S, pace=Pace(rate=RATE), most_by_key=most_by_key)
        report = reconcile(reader, there(reader, keyspace, "by_flag"), options)
    finally:
        ended.set()
        job.join()
    assert report.verdict is Verdict.PASS, (report.message, report.samples[:3])
    assert report.counts[Kind.LAGGING] > 0
