"""A comparison that was interrupted and goes on: with what it had read, or from the start if that is too long ago."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.errors import UsageError
from balancebook.reconcile.options import Cutoff, Options
from balancebook.store.reader import Reader
from balancebook.verdict import Verdict
from reconciling import BASE, compared, counts, there


def interrupted(reader: Reader, keyspace: str, state: Path) -> None:
    """Read half of the ranges, and stop as Ctrl-C does."""

    def stop(report: Any) -> None:
        if report.ranges_done > report.ranges_total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(reader, there(reader, keyspace), state=state, progress=stop)


@pytest.fixture
def filled(session: Session, keyspace: str) -> str:
    for n in range(200):
        session.execute(
            f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES ({n}, 1, 1, {n})"
        )
    return keyspace


def test_what_was_read_is_not_read_again(reader: Reader, filled: str, tmp_path: Path) -> None:
    interrupted(reader, filled, tmp_path / "state")
    first: list[int] = []
    report = compared(
        reader,
        there(reader, filled),
        state=tmp_path / "state",
        progress=lambda at: first.append(at.ranges_done),
    )
    assert (report.verdict, report.resumed, report.rows_base, report.rows_view) == (
        Verdict.PASS,
        True,
        200,
        200,
    )
    assert first[0] > report.ranges_total // 2


def test_what_differs_from_the_first_run_is_named(reader: Reader, filled: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    interrupted(reader, filled, state)
    view = there(reader, filled)
    for changed, parameter, message in (
        ({"samples": 7}, "samples", "with --samples 1000."),
        ({"spool": tmp_path / "spool"}, "differences", "without --differences."),
        ({"cutoff": Cutoff("seq", 10**15, 10**16)}, "cutoff", "with --cutoff none."),
    ):
        with pytest.raises(UsageError, match="The run to be resumed was begun") as refused:
            compared(reader, view, state=state, **changed)
        assert (refused.value.parameter, refused.value.message.endswith(message)) == (parameter, True)
    assert compared(reader, view, state=state).resumed


def test_a_schema_that_was_altered_is_named(
    session: Session, reader: Reader, filled: str, tmp_path: Path
) -> None:
    session.execute(f"CREATE TABLE {filled}.t (p int PRIMARY KEY, v int)")
    create = f"CREATE MATERIALIZED VIEW {filled}.t_v AS SELECT {{}} FROM {filled}.t WHERE p IS NOT NULL PRIMARY KEY (p)"
    session.execute(create.format("p"))
    state = tmp_path / "state"

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(reader, there(reader, filled, "t_v"), state=state, progress=stop)
    session.execute(f"DROP MATERIALIZED VIEW {filled}.t_v")
    session.execute(create.format("p, v"))
    with pytest.raises(UsageError, match="the schema of the base or the view has changed") as refused:
        compared(reader, there(reader, filled, "t_v"), state=state)
    assert refused.value.parameter == "resume"


def test_what_an_older_version_kept_is_refused(reader: Reader, filled: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with zipfile.ZipFile(state, "w") as kept:
        kept.writestr("state.json", json.dumps({"digest": "1", "state": {"under_way": None}}))
    with pytest.raises(UsageError, match="cannot be read") as refused:
        compared(reader, there(reader, filled), state=state)
    assert refused.value.remedy == "Run it again without --resume."


def test_what_was_read_too_long_ago_is_read_again(
    session: Session, reader: Reader, filled: str, tmp_path: Path, server: Node
) -> None:
    """Rows that the view lost meanwhile would go unnoticed where they had been read before."""
    interrupted(reader, filled, tmp_path / "state")
    with server.admin() as admin:
        Injector(session.execute, admin, filled).lost(
            *({"user_id": n, "asset_id": 1, "seq": 1} for n in range(200))
        )
    told: list[str] = []
    report = compared(
        reader, there(reader, filled), state=tmp_path / "state", resume_within_s=0, told=told.append
    )
    assert (report.counts, report.resumed) == (counts(LOST=200), False)
    assert "began more than 0 s ago" in told[0]
    assert Options(grace_s=1).resume_within_s == 3600
