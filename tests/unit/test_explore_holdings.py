"""Questions about all accounts, over extracts written out by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from balancebook.assets import Asset, Registry
from balancebook.errors import UsageError
from balancebook.explore import holdings
from balancebook.explore.extract import Extract, Origin, read_extract, write_extract

REGISTRY = Registry((Asset(1, "BTC", 8, 3), Asset(2, "USDT", 8, 2)))
BIG = 2**63 - 1
DAY = 86_400_000


def made(*rows: tuple[Any, ...], units: str = "raw", scale: int = 0, held: bool = True) -> Extract:
    """Rows (account, asset, entry, available, held, time in days since 1970), as of the hundredth day."""
    money = pa.decimal128(37, scale)
    kinds = {
        "account": pa.int64(),
        "asset": pa.int64(),
        "entry": pa.int64(),
        "available": money,
        "held": money,
        "time": pa.int64(),
    }
    if units == "whole":
        kinds |= {"account": pa.string(), "asset": pa.string()}
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    cells = {name: list(column) for name, column in zip(kinds, columns, strict=True)}
    for name in ("available", "held"):
        cells[name] = [None if each is None else Decimal(each) for each in cells[name]]
    cells["time"] = [None if each is None else each * DAY for each in cells["time"]]
    table = pa.table({name: pa.chunked_array([pa.array(cells[name], kind)]) for name, kind in kinds.items()})
    origin = Origin(
        keyspace="k",
        table="ledger",
        cluster="c",
        profile="p",
        as_of="1970-04-11 00:00:00.000",
        read_from="1970-04-11 00:00:10.000",
        read_to="1970-04-11 00:00:11.000",
        consistency="LOCAL_ONE",
        units=units,
        held=held,
        entries=len(table),
        undated=0,
    )
    return Extract(table, origin)


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.itertuples(index=False)]


def test_totals_are_exact_beyond_int64_and_nobody_is_dropped() -> None:
    found = holdings.totals(
        made((10, 1, 1, BIG, BIG, 1), (11, 1, 1, 1, None, 1), (12, 1, 9, 0, 0, 1), (13, 77, 1, 5, 1, 1)),
        REGISTRY,
    )
    assert rows_of(found) == [
        ("BTC", 2, Decimal(BIG + 1).scaleb(-8), Decimal(BIG).scaleb(-8), Decimal(2 * BIG + 1).scaleb(-8)),
        ("#77", 1, 5, 1, 6),
    ]


def test_decimal_money_is_whole_already_whatever_its_scale() -> None:
    some = made(("a", "1", 1, "7", None, 1), ("b", "1", 1, "3", None, 1), units="whole", held=False)
    assert rows_of(holdings.totals(some, REGISTRY)) == [("BTC", 2, 10, None, 10)]
    finer = made(("a", "1", 1, "1.000000000000000001", None, 1), units="whole", scale=18, held=False)
    assert rows_of(holdings.totals(finer, REGISTRY))[0][2] == Decimal("1.000000000000000001")
    assert holdings.impossible(finer, REGISTRY).empty


def test_the_largest_holders_and_what_they_have_of_it() -> None:
    some = made((3, 2, 1, 50, 0, 1), (2, 2, 1, 20, 5, 1), (1, 2, 1, 25, 0, 1), (4, 1, 1, 9, 0, 1))
    found = holdings.top_holders(some, REGISTRY, 2, 2)
    assert rows_of(found[["rank", "account", "share %"]]) == [
        (1, 3, Decimal("50.00")),
        (2, 1, Decimal("25.00")),
    ]
    assert found.attrs["note"] == "USDT: 3 accounts with a balance."


def test_concentration_counts_holders_above_nothing() -> None:
    rows = [(account, 2, 1, 1, 0, 1) for account in range(20)] + [(99, 2, 1, 180, 0, 1), (98, 2, 1, -7, 0, 1)]
    assert rows_of(holdings.concentration(made(*rows), REGISTRY)) == [
        ("USDT", 21, Decimal("90.00"), Decimal("94.50"), None, 1)
    ]
    line = holdings.shares_by_rank(made(*rows), 2)
    assert (len(line), line[0], line[-1]) == (21, 90.0, 100.0)


def test_dust_is_less_than_is_shown() -> None:
    some = made(
        (1, 1, 1, 99_999, 0, 1),
        (2, 1, 1, 0, 1, 1),
        (3, 1, 1, 100_000, 0, 1),
        (4, 1, 1, -5, 0, 1),
        (5, 77, 1, 1, 0, 1),
    )
    found = holdings.dust(some, REGISTRY)
    assert rows_of(found) == [("BTC", Decimal("0.001"), 2, Decimal("0.001"))]
    assert "#77" in found.attrs["note"]


def test_what_cannot_be_is_listed_the_worst_first() -> None:
    some = made(
        (1, 1, 4, -1, 0, 1),
        (2, 1, 5, -BIG - 1, 0, 2),
        (3, 1, 6, 0, -2, 3),
        (4, 1, 7, None, 0, 4),
        (5, 77, 8, 1, None, 5),
    )
    found = holdings.impossible(some, REGISTRY)
    assert rows_of(found[["asset", "account", "what", "entry"]]) == [
        ("BTC", 2, "available is negative", 5),
        ("BTC", 3, "held is negative", 6),
        ("BTC", 1, "available is negative", 4),
        ("BTC", 4, "available has no value", 7),
        ("#77", 5, "held has no value", 8),
    ]


def test_stuck_is_held_and_old_by_the_extract_s_moment() -> None:
    some = made(
        (1, 1, 1, 0, 5, 70),
        (2, 1, 1, 0, 6, 71),
        (3, 1, 1, 9, 0, 1),
        (4, 1, 1, 0, 7, 20),
        (5, 1, 1, 0, 8, None),
    )
    found = holdings.stuck(some, REGISTRY, 30)
    assert found["account"].tolist() == [4, 1]
    assert found["last moved (UTC)"].tolist()[0] == "1970-01-21 00:00:00.000"
    assert found.attrs["note"] == "2 of 4 held balances have not moved for 30 days."


def test_an_empty_extract_has_an_answer_to_everything() -> None:
    none = made()
    for found in (holdings.totals, holdings.concentration, holdings.dust, holdings.impossible):
        assert found(none, REGISTRY).empty
    assert holdings.stuck(none, REGISTRY, 1).empty
    assert holdings.top_holders(none, REGISTRY, 1, 5).empty
    assert not len(holdings.shares_by_rank(none, 1))


def test_the_file_says_where_it_is_from_and_duckdb_sums_it_exactly(tmp_path: Path) -> None:
    some, path = made((1, 1, 1, BIG, 0, 1), (2, 1, 1, BIG, 1, 1)), tmp_path / "extract.parquet"
    write_extract(some, path)
    assert [each.name for each in tmp_path.iterdir()] == ["extract.parquet"]
    again = read_extract(path)
    assert again.origin == some.origin
    assert again.table.equals(some.table)
    total = duckdb.execute("SELECT sum(available + held) FROM read_parquet(?)", [str(path)]).fetchone()
    assert total == (Decimal(2 * BIG + 1),)
    keys = duckdb.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]).fetchall()
    assert b"1970-04-11 00:00:00.000" in dict(keys)[b"balancebook"]


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    duckdb.execute(f"COPY (SELECT 1 AS account) TO '{path}' (FORMAT parquet)")
    for wrong in (path, Path(__file__)):
        with pytest.raises(UsageError) as refused:
            read_extract(wrong)
        assert refused.value.parameter == "extract"
