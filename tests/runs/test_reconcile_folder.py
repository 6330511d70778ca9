"""The folder of a reconciliation: whose it is, and what a run that is resumed finds and leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from balancebook.errors import UsageError
from balancebook.runs.folders import list_runs
from balancebook.runs.reconcile_folder import Desk, begin

VIEW, OTHER = "trading.by_user", "trading.by_asset"


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run of VIEW that was stopped, and has a record."""
    desk = begin(tmp_path, None, VIEW)
    desk.progress.write_bytes(b"so far")
    (desk.folder.aside / "record.json").write_text("interrupted")
    desk.folder.publish()
    desk.close()
    return desk.folder.final


def left(desk: Desk) -> None:
    desk.leave()
    desk.close()


def test_a_run_is_found_by_its_id_and_by_its_view(tmp_path: Path, stopped: Path) -> None:
    for asked in (stopped.name, "last"):
        desk = begin(tmp_path, asked, VIEW)
        assert (desk.folder.run_id, desk.progress.read_bytes()) == (stopped.name, b"so far")
        assert list_runs(tmp_path) == []
        left(desk)
        # What was refused afterwards leaves all as it was.
        assert list_runs(tmp_path) == [stopped]
        assert (stopped / "record.json").read_text() == "interrupted"


def test_a_run_of_another_view_is_refused_and_stays_whose_it_is(tmp_path: Path, stopped: Path) -> None:
    with pytest.raises(UsageError, match=f"is of {VIEW}, not of {OTHER}"):
        begin(tmp_path, stopped.name, OTHER)
    with pytest.raises(UsageError, match=f"No run of {OTHER}|There is no run 'last'"):
        begin(tmp_path, "last", OTHER)
    left(begin(tmp_path, "last", VIEW))


def test_a_killed_run_stays_aside(tmp_path: Path) -> None:
    desk = begin(tmp_path, None, VIEW)
    desk.progress.write_bytes(b"so far")
    desk.close()
    again = begin(tmp_path, "last", VIEW)
    assert (again.folder.aside, again.published) == (desk.folder.aside, False)
    left(again)
    assert list_runs(tmp_path) == []
    assert desk.progress.read_bytes() == b"so far"


def test_of_those_who_resume_one_run_one_has_it(tmp_path: Path, stopped: Path) -> None:
    def resumed(_: int) -> Desk | str:
        try:
            return begin(tmp_path, stopped.name, VIEW)
        except UsageError as error:
            return error.message

    for _ in range(50):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(resumed, range(4)))
        [desk] = [each for each in found if isinstance(each, Desk)]
        others = {each for each in found if isinstance(each, str)}
        assert others == {f"The run {stopped.name} goes on in another process."}
        left(desk)
