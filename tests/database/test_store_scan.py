"""Scans of real tables: every row once, a budget that is kept, and what was not read named."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.profile import Limits, Profile
from balancebook.store.connect import close, connect
from balancebook.store.errors import StoreError
from balancebook.store.estimate import Cost, estimate
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader, open_reader
from balancebook.store.scan import scan
from balancebook.store.schema import Table, read_table, read_view
from balancebook.store.tokens import HIGHEST, LOWEST

_USERS, _ROWS = 300, 5
_QUICK = Limits(request_timeout_s=1.0)


@pytest.fixture(scope="module")
def filled(session: Session) -> str:
    """A keyspace whose ledger holds _USERS * _ROWS rows, to be read only; its name."""
    name = f"scan_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    _fill(session, name)
    return name


def _ledger(reader: Reader, keyspace: str) -> Table:
    table = read_table(reader, keyspace, "balance_ledger")
    assert table is not None
    return table


def _fill(session: Session, keyspace: str) -> None:
    insert = f"INSERT INTO {keyspace}.balance_ledger (user_id, asset_id, seq, avail) VALUES (?, 1, ?, ?);"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * _ROWS} APPLY BATCH")
    rows = ([value for s in range(_ROWS) for value in (u, s, u * s)] for u in range(_USERS))
    execute_concurrent_with_args(session, batch, rows, concurrency=32, raise_on_first_error=True)


COLUMNS = ["user_id", "asset_id", "seq", "avail"]


@pytest.mark.parametrize(
    ("ranges", "in_flight", "page_size"), [(64, 4, 5000), (1, 1, 7), (7, 3, 9), (256, 8, 100)]
)
def test_every_row_comes_exactly_once(
    reader: Reader, filled: str, ranges: int, in_flight: int, page_size: int
) -> None:
    plain = Counter(reader.rows(f"SELECT user_id, asset_id, seq, avail FROM {filled}.balance_ledger"))
    assert plain.total() == _USERS * _ROWS
    seen: list[tuple[int, int]] = []
    done = scan(
        reader,
        _ledger(reader, filled),
        COLUMNS,
        budget_rows=10**6,
        ranges=ranges,
        in_flight=in_flight,
        page_size=page_size,
        progress=lambda report: seen.append((report.ranges_done, report.rows)),
    )
    assert Counter(row for rows in done for row in rows) == plain
    assert done.report == ScanReport(ranges_total=ranges, rows=_USERS * _ROWS, ranges_done=ranges)
    assert done.report.complete
    # It is called every second too, whether a range is done or not.
    steps = dict.fromkeys(ranges_done for ranges_done, _ in seen if ranges_done)
    assert list(steps) == list(range(1, ranges + 1))
    assert seen[-1][1] == _USERS * _ROWS


def test_an_empty_partition_key_is_read_too(reader: Reader, session: Session, keyspace: str) -> None:
    session.execute(f"CREATE TABLE {keyspace}.named (id int PRIMARY KEY, name text)")
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.by_name AS SELECT id, name FROM {keyspace}.named "
        f"WHERE id IS NOT NULL AND name IS NOT NULL PRIMARY KEY (name, id)"
    )
    for number in range(50):
        session.execute(
            f"INSERT INTO {keyspace}.named (id, name) VALUES ({number}, '{'' if number < 3 else number}')"
        )
    view = read_view(reader, keyspace, "by_name")
    assert view is not None
    for ranges in (1, 2, 64):
        done = scan(reader, view, ["name", "id"], budget_rows=1000, ranges=ranges)
        rows = sorted(row for rows in done for row in rows)
        assert [row for row in rows if row[0] == ""] == [("", 0), ("", 1), ("", 2)]
        assert sorted(number for _, number in rows) == list(range(50))
        assert done.report.complete


def test_distinct_gives_each_partition_once(reader: Reader, filled: str) -> None:
    done = scan(reader, _ledger(reader, filled), ["user_id", "asset_id"], budget_rows=10**6, distinct=True)
    assert sorted(row for rows in done for row in rows) == [(user, 1) for user in range(_USERS)]


def test_an_empty_table_is_read_completely(reader: Reader, keyspace: str) -> None:
    done = scan(reader, _ledger(reader, keyspace), COLUMNS, budget_rows=1)
    assert list(done) == []
    assert done.report.complete


@pytest.mark.parametrize("budget", [1, 100, _USERS * _ROWS - 1])
def test_the_budget_is_kept_and_said(reader: Reader, filled: str, budget: int) -> None:
    done = scan(reader, _ledger(reader, filled), COLUMNS, budget_rows=budget, page_size=10)
    rows = [row for rows in done for row in rows]
    assert len(rows) == len(set(rows)) == done.report.rows == budget
    assert done.report.truncated
    assert not done.report.complete
    assert done.report.unknown_ranges == []


def test_a_budget_of_exactly_the_rows_there_are_is_enough(reader: Reader, filled: str) -> None:
    done = scan(reader, _ledger(reader, filled), COLUMNS, budget_rows=_USERS * _ROWS)
    assert sum(len(rows) for rows in done) == _USERS * _ROWS
    assert done.report.complete
    assert not done.report.truncated


def test_a_consumer_may_leave_early(reader: Reader, filled: str) -> None:
    done = scan(reader, _ledger(reader, filled), COLUMNS, budget_rows=10**6)
    for rows in done:
        assert rows
        break
    assert not done.report.complete
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("scan") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_no_retry_can_mend_is_raised(reader: Reader, keyspace: str) -> None:
    with pytest.raises(StoreError) as caught:
        list(scan(reader, _ledger(reader, keyspace), ["no_such_column"], budget_rows=10))
    assert caught.value.kind == "missing"
    with pytest.raises(ValueError, match="budget_rows"):
        scan(reader, _ledger(reader, keyspace), COLUMNS, budget_rows=0)


@pytest.mark.e2e
def test_a_server_that_pauses(disposable: Callable[..., Node], profile_of: Callable[..., Profile]) -> None:
    node = disposable()
    writing = connect(profile_of(node, limits=Limits(request_timeout_s=30.0)))
    create_schema(writing.execute, "trading", indexes=False)
    _fill(writing, "trading")
    close(writing)
    with open_reader(profile_of(node, limits=_QUICK)) as reader:
        _for_good(reader, node)
        _for_a_moment(reader, node)


def _for_good(reader: Reader, node: Node) -> None:
    """Every range is either read or named as unknown, within seconds; nothing is silently left out."""
    done = scan(reader, _ledger(reader, "trading"), COLUMNS, budget_rows=10**6, ranges=32)
    rows = []
    started = time.monotonic()
    for part in done:
        rows += part
        node.pause()
    assert time.monotonic() - started < 15
    node.resume()
    report = done.report
    assert len(rows) == report.rows < _USERS * _ROWS
    assert 0 < report.ranges_done < 32
    assert not report.complete
    assert any("did not answer in time" in reason for reason in report.reasons)
    unread = sum(hi - lo for lo, hi in report.unknown_ranges)
    assert unread == pytest.approx((HIGHEST - LOWEST) * (32 - report.ranges_done) / 32)


def _for_a_moment(reader: Reader, node: Node) -> None:
    """A pause shorter than the retry costs nothing but time: no range is lost and no row counted twice."""
    time.sleep(1)
    plain = Counter(reader.rows("SELECT user_id, asset_id, seq, avail FROM trading.balance_ledger"))
    done = scan(reader, _ledger(reader, "trading"), COLUMNS, budget_rows=10**6, ranges=32)
    rows: list[tuple[object, ...]] = []
    for part in done:
        if not rows:
            node.pause()
            threading.Timer(1.3, node.resume).start()
        rows += part
    assert Counter(rows) == plain
    assert done.report.complete
    assert any("did not answer in time" in reason for reason in done.report.reasons)


def test_the_cost_is_unknown_until_the_server_estimates(
    reader: Reader, session: Session, server: Node, keyspace: str
) -> None:
    base, view = _ledger(reader, keyspace), read_view(reader, keyspace, "user_balances_by_user")
    trades = read_table(reader, keyspace, "settled_trades")
    assert view is not None
    assert trades is not None
    _fill(session, keyspace)
    session.execute(f"INSERT INTO {keyspace}.settled_trades (trade_id) VALUES (1)")
    assert estimate(reader, base) == Cost(None, None, None)
    with server.admin() as admin:
        for table in (base, view, trades):
            admin.flush(keyspace, table.name)
        # What the server does by itself every five minutes.
        admin._exec("org.apache.cassandra.db:type=StorageService", "refreshSizeEstimates")
    for table in (base, view):
        cost = estimate(reader, table)
        assert cost.rows == pytest.approx(_USERS * _ROWS, rel=0.5)
        assert cost.bytes is not None
        assert cost.bytes > _USERS * _ROWS * 10
        assert cost.seconds is not None
    # One partition is rounded up to what the server samples.
    assert 1 <= (estimate(reader, trades).rows or 0) <= 128


def test_a_cost_that_cannot_be_read_is_unknown(reader: Reader, keyspace: str) -> None:
    table = _ledger(reader, keyspace)
    reader.close()
    assert estimate(reader, table) == Cost(None, None, None)
