"""Health of real views: missing, being built, stopped in the middle, resumed, built."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.demo.node import Node
from balancebook.store import health as building
from balancebook.store.health import ViewHealth, view_health
from balancebook.store.reader import Reader

VIEW = "user_balances_by_user"
_PARTITIONS = 2000
_ROWS = 5


def _until(
    reader: Reader, keyspace: str, view: str, wanted: Callable[[ViewHealth], bool], timeout_s: float = 60
) -> ViewHealth:
    deadline = time.monotonic() + timeout_s
    while not wanted(found := view_health(reader, keyspace, view)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def _fill(session: Session, keyspace: str) -> None:
    insert = f"INSERT INTO {keyspace}.wide (p, c, v) VALUES (?, ?, 1);"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * _ROWS} APPLY BATCH")
    rows = ([value for c in range(_ROWS) for value in (p, c)] for p in range(_PARTITIONS))
    execute_concurrent_with_args(session, batch, rows, concurrency=32, raise_on_first_error=True)


def test_a_built_view_is_healthy(reader: Reader, keyspace: str) -> None:
    health = _until(reader, keyspace, VIEW, lambda found: found.state == "healthy")
    assert (health.percent, health.note, health.stopped()) == (100.0, "", False)
    [node] = health.nodes
    [host] = reader.hosts()
    assert (node.address, node.host_id, node.status) == (host.address, host.host_id, "SUCCESS")


@pytest.mark.parametrize("view", ["no_such_view", "balance_ledger", "USER_BALANCES_BY_USER"])
def test_a_view_that_is_not_there_is_missing(reader: Reader, keyspace: str, view: str) -> None:
    health = view_health(reader, keyspace, view)
    assert (health.state, health.percent, health.nodes) == ("missing", None, ())


def test_a_member_of_the_ring_that_reported_nothing_is_asked_itself(
    reader: Reader, session: Session, keyspace: str
) -> None:
    _until(reader, keyspace, VIEW, lambda found: found.state == "healthy")
    [host] = reader.hosts()
    where = f"WHERE keyspace_name = '{keyspace}' AND view_name = '{VIEW}' AND host_id = "
    session.execute(f"DELETE FROM system_distributed.view_build_status {where} {host.host_id}")
    # A node that has left the ring does not count, whatever it reported.
    session.execute(f"UPDATE system_distributed.view_build_status SET status = 'SUCCESS' {where} {uuid4()}")
    health = view_health(reader, keyspace, VIEW)
    assert health.state == "unreported"
    assert [(node.status, node.built) for node in health.nodes] == [("none", True)]
    assert f"{host.address} has finished the build by its own table, and has no row" in health.note
    session.execute(
        f"UPDATE system_distributed.view_build_status SET status = 'SUCCESS' {where} {host.host_id}"
    )
    assert view_health(reader, keyspace, VIEW).state == "healthy"


def test_a_build_is_followed_stopped_and_resumed(
    reader: Reader, session: Session, server: Node, keyspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.execute(f"CREATE TABLE {keyspace}.wide (p int, c int, v int, PRIMARY KEY (p, c))")
    _fill(session, keyspace)
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.wide_by_v AS SELECT p, c, v FROM {keyspace}.wide "
        f"WHERE p IS NOT NULL AND c IS NOT NULL AND v IS NOT NULL PRIMARY KEY (v, p, c)"
    )
    running = _until(reader, keyspace, "wide_by_v", lambda found: any(node.running for node in found.nodes))
    assert (running.state, running.stopped()) == ("building", False)
    assert running.nodes[0].status == "STARTED"
    with server.admin() as admin:
        admin.stop_view_build()

    stopped = _until(
        reader, keyspace, "wide_by_v", lambda found: bool(found.nodes) and found.nodes[0].running is False
    )
    # One that failed shows no task either, and begins again by itself.
    assert (stopped.state, stopped.stopped()) == ("building", False)
    assert "No build task runs on 127.0.0.1" in stopped.note
    [node] = stopped.nodes
    assert node.still_s is not None
    assert 0 < node.still_s < 60
    assert stopped.nodes[0].status == "STARTED"
    assert stopped.percent is not None
    assert 0 <= stopped.percent < 100
    monkeypatch.setattr(building, "RETRIED_AFTER_S", 0.0)
    proved = view_health(reader, keyspace, "wide_by_v")
    assert (proved.stopped(), proved.stopped(60.0)) == (True, False)
    assert "The build has stopped on 127.0.0.1" in proved.note
    in_view = reader.rows(f"SELECT COUNT(*) FROM {keyspace}.wide_by_v")[0][0]
    assert in_view < _PARTITIONS * _ROWS

    # One replica may still hold a SUCCESS of the view before; the node itself knows better.
    [host] = reader.hosts()
    where = f"WHERE keyspace_name = '{keyspace}' AND view_name = 'wide_by_v' AND host_id = {host.host_id}"
    session.execute(f"UPDATE system_distributed.view_build_status SET status = 'SUCCESS' {where}")
    assert view_health(reader, keyspace, "wide_by_v").state == "building"
    session.execute(f"UPDATE system_distributed.view_build_status SET status = 'STARTED' {where}")

    session.execute(f"ALTER TABLE {keyspace}.wide WITH comment = 'resume'")
    built = _until(reader, keyspace, "wide_by_v", lambda found: found.state == "healthy")
    assert built.percent == 100.0
    assert reader.rows(f"SELECT COUNT(*) FROM {keyspace}.wide_by_v")[0][0] == _PARTITIONS * _ROWS


def test_what_cannot_be_read_is_unknown(reader: Reader, keyspace: str) -> None:
    reader.close()
    health = view_health(reader, keyspace, VIEW)
    assert (health.state, health.percent, health.nodes) == ("unknown", None, ())
    assert "no connection" in health.note
