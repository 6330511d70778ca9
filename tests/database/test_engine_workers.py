"""What happens to a comparison when those who read for it fail: worker processes, replicas."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.errors import UsageError
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.executors import processes
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.settings import Profile
from balancebook.store.errors import StoreError
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.verdict import Verdict
from filling import insert
from reconciling import BASE, counts, there


@pytest.fixture(scope="module")
def place(session: Session, server: Node) -> str:
    """2,000 rows, of which the view has lost one."""
    name = f"workers_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    statement = session.prepare(
        f"INSERT INTO {name}.{BASE} (user_id, asset_id, seq, avail) VALUES (?, 1, 1, ?)"
    )
    insert(session, statement, [(user, user) for user in range(2000)])
    with server.admin() as admin:
        Injector(session.execute, admin, name).lost({"user_id": 3, "asset_id": 1, "seq": 1})
    return name


def test_processes_find_the_same_and_one_that_dies_leaves_its_ranges_unknown(
    reader: Reader, place: str, profile: Profile
) -> None:
    view = there(reader, place)
    with processes(2, profile) as folder:
        assert reconcile(reader, view, Options(grace_s=0), folder).counts == counts(LOST=1)

        def kill(_report: ScanReport) -> None:
            for child in psutil.Process().children():
                with suppress(psutil.Error):
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()

        report = reconcile(reader, view, Options(grace_s=0, progress=kill), folder)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
    assert report.unknown_ranges
    assert "a worker ended" in report.reasons[0]


def test_workers_keep_to_the_budget(reader: Reader, place: str, profile: Profile) -> None:
    with processes(2, profile) as folder:
        report = reconcile(reader, there(reader, place), Options(grace_s=0, budget_rows=500), folder)
    assert (report.verdict, report.truncated) == (Verdict.UNKNOWN, True)


def test_what_a_worker_raises_says_the_same_here(reader: Reader, place: str, profile: Profile) -> None:
    view = there(reader, place)
    nowhere = profile.model_copy(update={"port": 1})
    with processes(2, nowhere) as folder, pytest.raises(StoreError) as caught:
        reconcile(reader, view, Options(grace_s=0), folder)
    assert caught.value.kind == "unreachable"
    assert caught.value.remedy


def test_too_few_replicas_to_confirm_is_unknown(
    session: Session, server: Node, reader: Reader, keyspace: str
) -> None:
    session.execute(
        f"ALTER KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}"
    )
    for user in range(20):
        session.execute(f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq) VALUES ({user}, 1, 1)")
    view = there(reader, keyspace)
    assert reconcile(reader, view, Options(grace_s=0)).verdict is Verdict.PASS
    with server.admin() as admin:
        Injector(session.execute, admin, keyspace).lost({"user_id": 3, "asset_id": 1, "seq": 1})
    report = reconcile(reader, view, Options(grace_s=0))
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts(UNKNOWN=1))
    assert report.samples[0].kind is Kind.UNKNOWN
    assert report.samples[0].key == (3, 1, 1)


def test_a_state_is_of_one_comparison_alone(reader: Reader, place: str, tmp_path: Path) -> None:
    view = there(reader, place)
    kept = Options(grace_s=0, state=tmp_path / "progress.zip")

    def stop(report: ScanReport) -> None:
        if report.ranges_done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile(reader, view, Options(grace_s=0, state=kept.state, progress=stop))
    with pytest.raises(UsageError, match="with --samples 1000"):
        reconcile(reader, view, Options(grace_s=0, state=kept.state, samples=3))
    read: list[int] = []
    report = reconcile(
        reader,
        view,
        Options(grace_s=0, state=kept.state, progress=lambda report: read.append(report.ranges_done)),
    )
    assert (report.counts, report.rows_base, report.resumed) == (counts(LOST=1), 2000, True)
    assert min(read) > 30
    assert report.ranges_done == report.ranges_total == 128
