"""The file of all differences: of views of any shape, and read as the README says."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pandas as pd
import pyarrow.parquet as pq
import pytest
from cassandra.cqltypes import LongType

from balancebook.reconcile import parquet
from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.parquet import write_parquet
from balancebook.store.schema import Column, View

LARGE = 2**60 + 1


def view_of(*names: str) -> View:
    columns = tuple(
        Column(name, "partition_key" if name == "k" else "regular", 0, "none", "bigint") for name in names
    )
    return View("shop", "by_k", columns, UUID(int=1), "base", "", False)


def cell(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def written(path: Path, names: tuple[str, ...], *found: RawDifference) -> Path:
    view, types = view_of("k", *names), [LongType] * (1 + len(names))
    assert write_parquet(path / "d.parquet", found, view, (("k",), names), types, {}) == len(found)
    return path / "d.parquet"


def test_a_view_without_other_columns_than_its_key(tmp_path: Path) -> None:
    lost = RawDifference(Kind.LOST, (cell(1),), (), None)
    orphan = RawDifference(Kind.ORPHAN, (cell(2),), None, (), "why")
    assert pq.read_table(written(tmp_path, (), lost, orphan)).to_pylist() == [
        {"kind": "LOST", "key": {"k": 1}, "base": True, "view": None, "reason": ""},
        {"kind": "ORPHAN", "key": {"k": 2}, "base": None, "view": True, "reason": "why"},
    ]


def test_pandas_reads_amounts_exactly_as_the_readme_says(tmp_path: Path) -> None:
    wrong = RawDifference(Kind.MISMATCH, (cell(LARGE),), (cell(LARGE), None), (None, cell(-LARGE)))
    lost = RawDifference(Kind.LOST, (cell(2),), (None, cell(LARGE)), None)
    frame = pd.read_parquet(written(tmp_path, ("a", "b"), wrong, lost), dtype_backend="pyarrow")
    assert frame["key"].tolist() == [{"k": LARGE}, {"k": 2}]
    assert frame["base"].tolist() == [{"a": LARGE, "b": None}, {"a": None, "b": LARGE}]
    assert frame["view"][0] == {"a": None, "b": -LARGE}
    assert pd.isna(frame["view"][1])


def test_large_rows_are_written_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [RawDifference(Kind.MISMATCH, (cell(n),), (cell(n),), (cell(-n),)) for n in range(10)]
    for limit, most, groups in (("_BYTES", 72, 4), ("_BYTES", 73, 3), ("_ROWS", 4, 3), ("_BYTES", 10**6, 1)):
        with monkeypatch.context() as patched:
            patched.setattr(parquet, limit, most)
            file = pq.ParquetFile(written(tmp_path, ("a",), *found))
        assert (file.num_row_groups, file.metadata.num_rows) == (groups, 10)
        assert [row["key"]["k"] for row in file.read().to_pylist()] == list(range(10))
