"""The sketch's comparison however many faults there are and however little memory: exact, or unknown."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.reconcile import engine
from balancebook.reconcile import run as running
from balancebook.reconcile.confirm import by_scan, record_files
from balancebook.reconcile.confirm.by_key import KeyLooker
from balancebook.reconcile.engine import Engine
from balancebook.reconcile.fold import Counts
from balancebook.reconcile.options import Options
from balancebook.reconcile.run import Request, Telling
from balancebook.reconcile.sides import VIEW as SIDE_OF_VIEW
from balancebook.reconcile.sides import Side
from balancebook.store.errors import StoreError
from balancebook.store.estimate import Cost
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.verdict import Verdict
from filling import insert
from oracle import read_and_compare
from reconciling import BASE, VIEW, compared, counts, there


@pytest.fixture(scope="module")
def ledger(session: Session, server: Node) -> Iterator[str]:
    """A ledger of 900 rows, and 300 faults: rows lost, changed or orphaned in the view."""
    name = f"ledger_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    cql = "INSERT INTO {} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, ?, 0, ?)"
    rows = [(n % 97, n % 5, n, n * 7, 1000 + n) for n in range(900)]
    insert(session, session.prepare(cql.format(f"{name}.{BASE}")), rows)
    with server.admin() as admin:
        inject = Injector(session.execute, admin, name)
        keys = ("user_id", "asset_id", "seq")
        inject.lost(*(dict(zip(keys, row, strict=False)) for row in rows[:120]))
        inject.mismatch(*(dict(zip(keys, row, strict=False)) | {"avail": -1} for row in rows[300:390]))
        inject.orphan(*(dict(zip(keys, (n, 1, n), strict=True)) | {"avail": n} for n in range(5000, 5090)))
    yield name
    session.execute(f"DROP KEYSPACE {name}")


@pytest.mark.parametrize(
    ("cells", "most", "passes"),
    [(12_288, 10_000, (1, 1)), (90, 10_000, (2, 3)), (90, 5, (1, 1)), (12_288, 5, (1, 1))],
    ids=["at once", "grown", "too small, by scan", "by scan"],
)
def test_however_small_the_sketch_the_counts_are_exact(
    reader: Reader, ledger: str, cells: int, most: int, passes: tuple[int, int]
) -> None:
    view = there(reader, ledger)
    report = compared(reader, view, cells=cells, most_by_key=most, samples=900)
    assert passes[0] <= report.passes <= passes[1]
    assert report.counts == counts(LOST=120, MISMATCH=90, ORPHAN=90)
    assert repr(report.samples) == repr(read_and_compare(reader, view, samples=900).samples)
    assert (report.rows_base, report.rows_view) == (900, 870)


@pytest.mark.parametrize(("expected", "passes"), [(5, 1), (6, 0)])
def test_what_is_expected_to_be_much_is_confirmed_by_scans_at_once(
    reader: Reader, ledger: str, tmp_path: Path, expected: int, passes: int
) -> None:
    options = Options(grace_s=0, sleep=lambda _: None, most_by_key=5, state=tmp_path / "state", samples=900)
    view = there(reader, ledger)
    report = Engine(reader, view, options).report(expected, 1800)
    assert (report.passes, report.verdict, report.in_step_since) == (passes, Verdict.FAIL, 0)
    assert report.counts == counts(LOST=120, MISMATCH=90, ORPHAN=90)
    assert repr(report.samples) == repr(read_and_compare(reader, view, samples=900).samples)
    assert (report.rows_base, report.rows_view) == (900, 870)
    assert (report.ranges_total, report.ranges_done) == (128, 128)
    # One that is killed begins again when it is resumed, and finds the same.
    again = Engine(reader, view, options).report()
    assert (again.resumed, again.counts) == (True, report.counts)


def test_a_side_that_such_a_scan_finds_empty_is_asked_once_more(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = by_scan._Scans._read

    def none(scans: Any, side: int, *given: Any, **named: Any) -> ScanReport:
        report = read(scans, side, *given, **named)
        return replace(report, rows=0) if side == SIDE_OF_VIEW else report

    monkeypatch.setattr(by_scan._Scans, "_read", none)
    options = Options(grace_s=0, sleep=lambda _: None, most_by_key=5)
    report = Engine(reader, there(reader, ledger), options).report(6, 1800)
    assert report.reasons == (f'"{ledger}"."{VIEW}" has rows, though the scan saw none',)

    def late(*_: Any) -> bool:
        raise StoreError("timeout", "No answer.", "Run it again.")

    monkeypatch.setattr(Side, "has_rows", late)
    report = Engine(reader, there(reader, ledger), options).report(6, 1800)
    assert f'whether "{ledger}"."{VIEW}" is really empty could not be read: No answer.' in report.reasons[0]
    # What the looks have proved stands.
    assert (report.verdict, report.counts) == (Verdict.FAIL, counts(LOST=120, MISMATCH=90, ORPHAN=90))


def test_a_sample_that_shows_much_leads_to_scans_at_once(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the server's estimate were of many more rows: a third of them looks wrong."""
    view, told = there(reader, ledger), list[str]()

    def passes(rows: int) -> Any:
        monkeypatch.setattr(running, "estimate", lambda *_: Cost(rows, rows * 100, 1.0))
        request = Request(budget_rows=10**9)
        done = running.run(reader, view, request, Telling(told=told.append), grace_s=0.1)
        assert done.report.counts == counts(LOST=120, MISMATCH=90, ORPHAN=90)
        return done.report.details()["passes"]

    assert (passes(900), passes(2 * 10**6)) == (1, 0)
    assert any("ranges of the base hold rows that look wrong" in each for each in told)


def test_without_room_on_the_disk_nothing_is_claimed(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    report = compared(reader, there(reader, ledger), most_by_key=5, state=tmp_path / "state")
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
    assert f"MiB in {tmp_path}, which has 0 MiB free" in report.reasons[0]
    assert not list(tmp_path.glob("*records*"))


def test_the_files_of_scans_are_removed(reader: Reader, ledger: str, tmp_path: Path) -> None:
    state, others = tmp_path / "state", tmp_path / "another.records-1"
    # A process that was killed leaves them there for who resumes.
    for left in (tmp_path / "state.records-1", others):
        left.mkdir()
        (left / "first.0.7.records").write_bytes(b"left")
    assert compared(reader, there(reader, ledger), most_by_key=5, state=state).verdict is Verdict.FAIL
    assert list(tmp_path.glob("*records*")) == [others]


def test_the_files_of_scans_need_no_more_than_was_said(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, promised = [0], [0]
    removed, needed = tempfile.TemporaryDirectory.cleanup, record_files.needed_bytes

    def measured(folder: tempfile.TemporaryDirectory[str]) -> None:
        written[0] += sum(file.stat().st_size for file in Path(folder.name).iterdir())
        removed(folder)

    def kept(rows: int, row_bytes: int, *, replicated: bool) -> int:
        promised[0] = needed(rows, row_bytes, replicated=replicated)
        return promised[0]

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", measured)
    monkeypatch.setattr(by_scan, "needed_bytes", kept)
    for replicated in (False, True):
        monkeypatch.setattr(KeyLooker, "replicated", replicated)
        written[0] = 0
        assert compared(reader, there(reader, ledger), most_by_key=0).verdict is Verdict.FAIL
        assert 0 < written[0] <= promised[0]


def test_scans_that_cannot_be_read_at_a_quorum_name_nothing(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node cannot answer for three: none of what single replicas showed is blamed on a replica."""
    monkeypatch.setattr(by_scan, "CONFIRM_CONSISTENCY", "THREE")
    differing = sum(compared(reader, there(reader, ledger)).counts.values())
    for replicated in (False, True):
        monkeypatch.setattr(KeyLooker, "replicated", replicated)
        report = compared(reader, there(reader, ledger), most_by_key=0)
        assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts(UNKNOWN=differing))


def test_the_rows_of_the_confirming_scan_are_those_that_are_said(
    reader: Reader, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the first pass had met replicas that have hardly a row, and the confirming scan better ones."""
    by_key = compared(reader, there(reader, ledger))
    looked_at = Engine._confirm_by_scan
    monkeypatch.setattr(
        Engine, "_confirm_by_scan", lambda engine, count, rows: looked_at(engine, count + 1000, rows)
    )
    monkeypatch.setattr(engine, "_LITTLE", 0)
    ahead = by_key.rows_base - by_key.rows_view
    monkeypatch.setattr(Engine, "_counts", (Counts(rows=3 + ahead), Counts(rows=3)))
    report = compared(reader, there(reader, ledger), most_by_key=0)
    assert (report.rows_base, report.rows_view) == (by_key.rows_base, by_key.rows_view)
    assert report.counts == by_key.counts
    assert report.in_step_since == 1000
    assert "About 1,000 more rows of both sides differed at first" in report.aside


def test_beyond_the_budget_nothing_is_claimed(reader: Reader, ledger: str) -> None:
    report = compared(reader, there(reader, ledger), budget_rows=450)
    assert (report.verdict, report.truncated, report.counts) == (Verdict.UNKNOWN, True, counts())
    assert "budget of 450" in report.reasons[0]
    assert compared(reader, there(reader, ledger), budget_rows=900).verdict is Verdict.FAIL


def test_two_empty_sides_pass_and_an_emptied_view_has_lost_all(
    keyspace: str, reader: Reader, server: Node, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = there(reader, keyspace)
    assert compared(reader, view).verdict is Verdict.PASS
    for n in range(20):
        session.execute(f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq) VALUES ({n}, 1, 1)")
    with server.admin() as admin:
        admin.truncate(keyspace, VIEW)
    assert compared(reader, view).counts == counts(LOST=20)
    # A side that only seems empty is no finding.
    monkeypatch.setattr(Side, "has_rows", lambda *_: True)
    report = compared(reader, view)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
    assert "though the scan saw none" in report.reasons[0]
