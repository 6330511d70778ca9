"""Two nodes, two replicas of every row: one that is behind is no fault of the view; one that is away decides."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.profile import Limits
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.health import view_health
from balancebook.store.reader import open_reader
from balancebook.verdict import Verdict
from reconciling import BASE, VIEW, there

pytestmark = pytest.mark.timeout(600)
KEYSPACE, ROWS = "two", 300
REPLICATION = "{'class': 'SimpleStrategy', 'replication_factor': 2}"


@pytest.fixture
def ring(
    make_node: Callable[..., Node], tmp_path: Path, profile_of: Callable[..., Profile]
) -> Iterator[tuple[list[Node], Profile]]:
    """Two nodes and 300 rows on both."""
    first = make_node(tmp_path / "one", address="127.0.0.2")
    first.start()
    port = first.config.storage_port
    seed = f"127.0.0.2:{port}"
    profile = profile_of(first, limits=Limits(request_timeout_s=10.0))
    second = make_node(
        tmp_path / "two",
        address="127.0.0.3",
        seed=seed,
        storage_port=port,
        cql_port=first.config.cql_port,
    )
    second.start()
    wait_for(lambda: sees(first, second, alive=True) and sees(second, first, alive=True))
    session = connect(profile)
    wait_for(lambda: len(session.cluster.metadata.all_hosts()) == 2)
    create_schema(session.execute, KEYSPACE, indexes=False)
    session.execute(f"ALTER KEYSPACE {KEYSPACE} WITH replication = {REPLICATION}")
    wait_for(lambda: bool(session.cluster.control_connection.wait_for_schema_agreement(wait_time=5)))
    fill(session)
    close(session)
    # Else the second one builds the view when it starts again, and nothing is missing there any more.
    with open_reader(profile) as reader:
        wait_for(lambda: view_health(reader, KEYSPACE, VIEW).state == "healthy")
    yield [first, second], profile
    for node in (first, second):
        node.kill()


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def sees(node: Node, other: Node, *, alive: bool) -> bool:
    """Whether a node takes the other one for alive, or for gone."""
    with node.admin() as admin:
        bean, attribute = (
            "org.apache.cassandra.db:type=StorageService",
            "LiveNodes" if alive else "UnreachableNodes",
        )
        found = admin._ask({"type": "read", "mbean": bean, "attribute": attribute}, attribute)
    return any(str(each).startswith(other.config.address) for each in found)


def fill(session: Session) -> None:
    for row in range(ROWS):
        session.execute(
            SimpleStatement(
                f"INSERT INTO {KEYSPACE}.{BASE} (user_id, asset_id, seq, avail) VALUES ({row}, 1, 1, {row})",
                consistency_level=ConsistencyLevel.ALL,
            )
        )


def lose_the_view(first: Node, second: Node) -> None:
    """The second node forgets all that it has of the view."""
    second.stop()
    for folder in (second.config.home / "data" / KEYSPACE).glob(f"{VIEW}-*"):
        shutil.rmtree(folder)
    second.start()
    wait_for(lambda: sees(first, second, alive=True) and sees(second, first, alive=True))


def test_a_replica_that_is_behind_and_one_that_is_away(ring: tuple[list[Node], Profile]) -> None:
    (first, second), profile = ring
    for most_by_key in (0, 10_000):
        lose_the_view(first, second)
        with open_reader(profile) as reader:
            # Else all is asked of the node whose address was known first.
            wait_for(lambda: all(host.up for host in reader.hosts()))
            report = reconcile(reader, there(reader, KEYSPACE), Options(grace_s=1, most_by_key=most_by_key))
        assert report.verdict is Verdict.PASS, report
        # By scans a row is met on the bad replica in each of two scans for one row in four.
        assert report.counts[Kind.REPLICA] > 10, report
        assert "replica that is behind" in report.message
    # Of three looks at one of two replicas all meet the good one for one row in eight: it then counts as healed.
    assert report.counts[Kind.REPLICA] > 2 * report.counts[Kind.LAGGING], report

    session = connect(profile)
    # Else the cells to be imported may lie on the other node.
    session.execute(f"CREATE KEYSPACE balancebook_scratch WITH replication = {REPLICATION}")
    with first.admin() as admin:
        Injector(session.execute, admin, KEYSPACE).lost({"user_id": 7, "asset_id": 1, "seq": 1})
    close(session)
    second.kill()
    # Until then it is still asked, and what it was to answer is unread: unknown too, but not for want of replicas.
    wait_for(lambda: sees(first, second, alive=False))
    with open_reader(profile) as reader:
        report = reconcile(reader, there(reader, KEYSPACE), Options(grace_s=1))
        assert report.verdict is Verdict.UNKNOWN, report
        assert report.counts[Kind.UNKNOWN] >= 1, report
        assert "replicas" in report.samples[0].reason
