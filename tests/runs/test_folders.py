"""Folders of runs sort by time, do not collide, and appear whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from balancebook.errors import UsageError
from balancebook.runs.folders import begin_run, list_runs

NOON = datetime(2026, 1, 2, 12, 0, 0, 123, tzinfo=UTC)


def test_names_sort_by_time_and_say_what_ran(tmp_path: Path) -> None:
    moments = [NOON + timedelta(microseconds=step) for step in (0, 1, 10**6, 86_400 * 10**6)]
    folders = [begin_run(tmp_path, "a b/../ü", moment) for moment in moments]
    ids = [folder.run_id for folder in folders]
    assert ids == sorted(ids)
    assert ids[0].startswith("20260102T120000.000123Z-a_b_-")
    assert list_runs(tmp_path) == []
    for folder in folders:
        folder.publish()
    assert [path.name for path in list_runs(tmp_path)] == ids[::-1]


def test_the_same_instant_does_not_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: begin_run(tmp_path, "x", NOON), range(200)))
    assert len({folder.run_id for folder in folders}) == 200


def test_a_discarded_run_leaves_nothing(tmp_path: Path) -> None:
    folder = begin_run(tmp_path, "x")
    (folder.aside / "half").write_text("")
    folder.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_where_nothing_can_be_kept(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as refused:
        begin_run(tmp_path / root, "x")
    assert refused.value.parameter == "out"


def test_no_runs_yet(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []
