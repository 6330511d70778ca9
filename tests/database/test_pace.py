"""Scans held back on a real server: the rate that was asked for, and what queries beside them feel."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from math import sqrt

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent
from cassandra.query import BatchStatement, BatchType

from balancebook.demo.schema import create_schema
from balancebook.latency import percentile
from balancebook.settings import Profile
from balancebook.store.canary import draw_canary
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace, open_pace
from balancebook.store.ranges import RANGES, RangeScan, tasks_by_turns
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import Table, read_table, read_view

USERS, EVENTS = 300, 50
ROWS = 2 * USERS * EVENTS  # of base and view together
VIEW = "user_balances_by_user"


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace with a ledger of USERS times EVENTS rows; to be read only."""
    name = f"pace_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    insert = session.prepare(
        f"INSERT INTO {name}.balance_ledger (user_id, asset_id, seq, avail, frozen) VALUES (?, 1, ?, 7, 0)"
    )
    batches = [BatchStatement(BatchType.UNLOGGED) for _ in range(USERS)]
    for user, batch in enumerate(batches):
        for seq in range(EVENTS):
            batch.add(insert, (user, seq))
    execute_concurrent(session, [(batch, ()) for batch in batches], concurrency=16)
    return name


@pytest.fixture
def tables(reader: Reader, place: str) -> tuple[Table, Table]:
    """Base and view of `place`."""
    base, view = read_table(reader, place, "balance_ledger"), read_view(reader, place, VIEW)
    assert base and view
    return base, view


class Scans:
    """Scans of base and view; `rows` counts those read, also of ranges that were left before their end."""

    def __init__(self, reader: Reader, tables: tuple[Table, Table]) -> None:
        self._reader, self._tables, self.rows = reader, tables, 0

    def _gather(self, _table: int, pages: Iterator[RawPage]) -> int:
        rows = 0
        for page in pages:
            rows += page.rows
            self.rows += page.rows
        return rows

    def one(self, pace: Pace | None = None) -> RangeScan[int]:
        columns = [column.name for column in self._tables[1].columns]
        tasks = tasks_by_turns(RANGES, 2)
        return raw_scan(self._reader, self._tables, columns, self._gather, tasks, in_flight=8, pace=pace)

    def until(self, end: float, pace: Pace | None = None) -> None:
        """One scan after another; the last of them is left when time is over."""
        while True:
            for _ in self.one(pace):
                if time.monotonic() > end:
                    return


def test_the_rate_is_kept_and_every_row_read(profile: Profile, tables: tuple[Table, Table]) -> None:
    rate = ROWS / 4
    # Whatever the canary says on this machine: it is the rate that is asked for here.
    limits = profile.limits.model_copy(update={"balance_p99_ms": 60_000.0})
    with open_reader(profile.model_copy(update={"limits": limits})) as reader:
        began = time.monotonic()
        with open_pace(reader, tables[1], rate=rate) as pace:
            scan = Scans(reader, tables).one(pace)
            assert sum(part.gathered for part in scan) == ROWS
    assert scan.report.complete
    assert 0.5 * rate < ROWS / (time.monotonic() - began) < 1.1 * rate
    report = pace.report()
    assert report.canaries > 5
    assert (report.pauses, report.failed, report.no_canary) == (0, 0, "")


def test_a_scan_that_fails_does_not_wait(reader: Reader, tables: tuple[Table, Table]) -> None:
    def gather(table: int, pages: Iterator[RawPage]) -> None:
        next(pages)
        if table == 1:
            raise StoreError("permission", "No more of the view.")
        for _ in pages:
            pass

    began = time.monotonic()
    scan = raw_scan(reader, tables, ("user_id",), gather, tasks_by_turns(1, 2), pace=Pace(rate=1000))
    with pytest.raises(StoreError, match="No more of the view"):
        list(scan)
    assert time.monotonic() - began < 0.25 * ROWS / 2 / 1000


@pytest.mark.e2e
def test_queries_beside_a_paced_scan_stay_within_the_limit(
    profile: Profile, reader: Reader, tables: tuple[Table, Table], place: str
) -> None:
    """What the limit can be depends on the machine; so it is put between the p99 without and beside a full scan."""
    scans, told = Scans(reader, tables), list[str]()
    with open_reader(profile) as people:

        def p99(seconds: float, beside: Callable[[float], None]) -> float:
            return _p99_ms(people, place, seconds, beside)

        canary = draw_canary(reader, tables[1])
        # Often, since other programs may slow this machine; a scan that nothing holds back does not pass once.
        for _ in range(8):
            idle, full = p99(1.2, _nothing), p99(1.2, scans.until)
            limit, before = sqrt(idle * full), scans.rows
            with Pace(canary=canary, limit_ms=limit) as pace:
                paced = p99(3, partial(scans.until, pace=pace))
            told.append(f"idle {idle:.1f}, full {full:.1f}, paced {paced:.1f} ms; {pace.report()}")
            if full > 2 * idle and paced <= limit and scans.rows - before > 1000:
                return
    pytest.fail("\n".join(told))


def _nothing(end: float) -> None:
    time.sleep(max(0, end - time.monotonic()))


def _p99_ms(reader: Reader, place: str, seconds: float, beside: Callable[[float], None]) -> float:
    """p99 of balance queries, two at a time, until time is over."""
    end, times = time.monotonic() + seconds, list[int]()
    query = f"SELECT asset_id, seq, avail FROM {place}.{VIEW} WHERE user_id = ? GROUP BY user_id, asset_id"

    def ask(seed: int) -> None:
        users = random.Random(seed)
        while time.monotonic() < end:
            began = time.perf_counter_ns()
            reader.rows(query, (users.randrange(USERS),))
            times.append(time.perf_counter_ns() - began)
            time.sleep(0.005)

    people = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    for person in people:
        person.start()
    beside(end)
    for person in people:
        person.join()
    return percentile(times, 99) / 1e6


def test_a_server_that_is_too_slow_without_the_scan_is_read_at_no_less_than_the_floor(
    reader: Reader, tables: tuple[Table, Table]
) -> None:
    floor = ROWS / 5
    # No server answers within 10 us: whatever the scan does, the limit is exceeded.
    with Pace(canary=draw_canary(reader, tables[1]), limit_ms=0.01, floor=floor) as pace:
        said, baseline, began = pace.status(), pace.report().baseline_p99_ms, time.monotonic()
        scan = Scans(reader, tables).one(pace)
        assert sum(part.gathered for part in scan) == ROWS
        assert time.monotonic() - began < ROWS / floor + 3
    assert scan.report.complete
    assert baseline
    assert f"balance queries take {baseline:.1f} ms without the scan (limit 0.01 ms)" in said


def test_a_canary_that_cannot_read_never_makes_a_result(
    session: Session, reader: Reader, place: str, tables: tuple[Table, Table]
) -> None:
    session.execute(f"CREATE TABLE {place}.gone (k text PRIMARY KEY)")
    session.execute(f"INSERT INTO {place}.gone (k) VALUES ('a')")
    gone = read_table(reader, place, "gone")
    assert gone
    canary = draw_canary(reader, gone)
    session.execute(f"DROP TABLE {place}.gone")
    with Pace(canary=canary, limit_ms=1000, patience_s=0.5) as pace:
        scan = Scans(reader, tables).one(pace)
        with pytest.raises(StoreError, match="there is no table gone") as caught:
            sum(part.gathered for part in scan)
    assert caught.value.kind == "missing"
    assert not scan.report.complete


VIEWS = {
    "an empty text beside others": ("v text", ("''", "'a'", "'b'"), "v, p", ""),
    "nothing but an empty text": ("v text", ("''",), "v, p", "empty"),
    "several columns, of other types": ("v frozen<list<decimal>>", ("[1.50]", "[]"), "(v, p), w", ""),
    "a time that Python has not": ("v timestamp", ("253402300800000",), "v, p", ""),
    "no rows": ("v int", (), "v, p", "is empty: there is no partition to time"),
}


@pytest.mark.parametrize("case", VIEWS)
def test_the_canary_of_any_view(session: Session, reader: Reader, place: str, case: str) -> None:
    column, values, key, refused = VIEWS[case]
    number = list(VIEWS).index(case)
    session.execute(f"CREATE TABLE {place}.t_{number} (p int, w int, {column}, PRIMARY KEY (p, w))")
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.view_{number} AS SELECT * FROM {place}.t_{number} "
        f"WHERE p IS NOT NULL AND w IS NOT NULL AND v IS NOT NULL PRIMARY KEY ({key}{'' if 'w' in key else ', w'})"
    )
    for p, value in enumerate(values):
        session.execute(f"INSERT INTO {place}.t_{number} (p, w, v) VALUES ({p}, {p}, {value})")
    view = read_view(reader, place, f"view_{number}")
    assert view
    if refused:
        with pytest.raises(StoreError, match=refused):
            draw_canary(reader, view)
        assert refused in open_pace(reader, view).report().no_canary
    else:
        canary = draw_canary(reader, view)
        for _ in range(5):
            canary.read()
