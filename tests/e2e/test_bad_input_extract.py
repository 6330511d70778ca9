"""The explorer's file, time and asset: refused before a kernel starts, or answered in a sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from balancebook.errors import UsageError
from balancebook.explore.extract_file import usable_path
from checking import THREE_ASSETS
from e2e.commands import Desk, assert_refused

PLACES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a folder": (lambda path: path.mkdir(), "there", "is a folder"),
    "a FIFO": (os.mkfifo, "there", "not a regular file"),
    "a device": (lambda _: None, "/dev/full", "not a regular file"),
    "foreign Parquet": (
        lambda path: pq.write_table(pa.table({"a": [1]}), path),
        "there",
        "is not an extract",
    ),
    "text": (lambda path: path.write_text("balances"), "there", "is not an extract"),
    "empty": (lambda path: path.touch(), "there", "is not an extract"),
    "no folder": (lambda _: None, "no/where/x.parquet", "is not a folder"),
    "a virtual file system": (lambda _: None, "/proc/x.parquet", "cannot be written"),
    "below a file": (lambda path: path.touch(), "there/x.parquet", "cannot be used"),
    "a URL": (lambda _: None, "s3://bucket/x.parquet", "is a URL"),
    "a file URL": (lambda _: None, "file:///tmp/x.parquet", "is a URL"),
    "nobody's home": (lambda _: None, "~nobody-of-that-name/x.parquet", "home"),
    "a name too long": (lambda _: None, "x" * 300, "cannot be used"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_an_extract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    make, given, said = PLACES[place]
    make(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said) as refused:
        usable_path(given)
    assert refused.value.parameter == "extract"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".x")]


@pytest.mark.parametrize("place", ["foreign Parquet", "below a file"])
def test_it_is_refused_before_anything_runs(desk: Desk, place: str) -> None:
    make, given, said = PLACES[place]
    make(desk.folder / "there")
    desk.profile()
    told = desk.run("balance_explorer", "-p", f"extract={given}")
    assert_refused(told, said, parameter="extract")
    assert not desk.runs.exists()
    assert not [path for path in desk.folder.iterdir() if path.name.startswith(".x")]


@pytest.mark.parametrize(
    "value",
    ["9999-12-31T23:59:59-23:59", "2025-06-01T00:00:00 Z", "2025-06-01x00:00:00Z", "2025-06-01T00:00:00"],
)
def test_what_is_no_time_is_refused(desk: Desk, value: str) -> None:
    desk.profile()
    assert_refused(desk.run("balance_explorer", "-p", f"as_of={value}"), "as_of is ", parameter="as_of")


def _page(desk: Desk) -> str:
    (folder,) = desk.runs.iterdir()
    return (folder / "index.html").read_text().replace("\u00a0", " ")


def test_before_the_first_entry_there_is_an_answer(at: Desk) -> None:
    told = at.run("balance_explorer", "-p", f"user_id={THREE_ASSETS}", "-p", "as_of=1969-12-31")
    assert told.document["status"] == "completed", told
    assert told.code in (10, 11)
    assert "1969-12-31 00:00:00.000" in _page(at)


def test_an_asset_that_is_not_there_is_answered_in_a_sentence(at: Desk) -> None:
    told = at.run("balance_explorer", "-p", f"user_id={THREE_ASSETS}", "-p", "asset=NOPE")
    assert (told.document["status"], told.code) == ("completed", 0), told
    assert "There is no asset" in _page(at)


def test_an_extract_of_another_time_is_refused_before_a_kernel_starts(at: Desk) -> None:
    first = ("balance_explorer", "-p", f"user_id={THREE_ASSETS}", "-p", "extract=kept.parquet")
    assert at.run(*first, "-p", "as_of=2030-01-01").code == 0
    told = at.run(*first, "-p", "as_of=2030-01-02", "--out", "again")
    assert_refused(told, "is as of 2030-01-01 00:00:00.000, not 2030-01-02", parameter="extract")
    told = at.run(*first, "-p", "keyspace=trading", "--out", "again")
    assert told.code in (2, 10, 11)
    assert not (at.folder / "again").exists() or told.code != 2
