"""The extract of all accounts on a real server, held against what an independent read of the ledger comes to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cassandra.cluster import Session

from balancebook.checks.context import Context
from balancebook.errors import BalancebookError, UsageError
from balancebook.explore import Everyone, extract_for
from balancebook.explore.extract import make_extract
from balancebook.explore.newest import newest_entries
from balancebook.explore.place import source_of
from balancebook.explore.when import When
from balancebook.profile import LedgerSchema
from balancebook.settings import Profile, retarget
from checking import Ask, capped, unreachable
from small_exchange import ENTRIES, filled

FIRST, MIDDLE, LAST = (ENTRIES[place].created_at for place in (0, len(ENTRIES) // 2, -1))
MOMENTS = (FIRST - 1, FIRST, MIDDLE, LAST)


@pytest.fixture(scope="module")
def explored(session: Session, impatient: Profile) -> Profile:
    name = f"extracted_{os.getpid()}"
    filled(session, name)
    return retarget(impatient, keyspace=name)


@pytest.fixture
def ctx(explored: Profile) -> Iterator[Context]:
    opened = Context(explored)
    yield opened
    opened.close()


def independently(
    session: Session, keyspace: str, moment: int = 2**62
) -> dict[tuple[int, int], tuple[int, ...]]:
    """(user, asset) -> (seq, avail, frozen) by a plain read of all rows, and a dict."""
    found: dict[tuple[int, int], tuple[int, ...]] = {}
    for user, asset, *cells, when in session.execute(
        f"SELECT user_id, asset_id, seq, avail, frozen, created_at FROM {keyspace}.balance_ledger"
    ):
        if when <= moment and cells[0] > found.get((user, asset), (-(2**63),))[0]:
            found[user, asset] = tuple(cells)
    return found


def of_extract(extract: Any) -> dict[tuple[int, int], tuple[int, ...]]:
    rows = extract.table.to_pylist()
    assert len({(row["account"], row["asset"]) for row in rows}) == len(rows)
    return {
        (row["account"], row["asset"]): (row["entry"], int(row["available"]), int(row["held"]))
        for row in rows
    }


def test_the_extract_is_the_newest_entry_of_everybody(ctx: Context, session: Session) -> None:
    extract = make_extract(ctx)
    assert of_extract(extract) == independently(session, ctx.keyspace)
    assert extract.origin.entries == len(extract.table)
    assert (extract.origin.consistency, extract.origin.units) == ("LOCAL_ONE", "raw")


def test_the_totals_equal_an_independent_sum(ctx: Context, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    everyone = Everyone(ctx, file=str(path))
    booked = independently(session, ctx.keyspace)
    sums = {
        asset: sum(avail for (_, each), (_, avail, _) in booked.items() if each == asset)
        for _, asset in booked
    }
    assert everyone.extract.origin.entries == len(booked)
    by_duckdb = duckdb.execute(
        "SELECT asset, sum(available) FROM read_parquet(?) GROUP BY asset", [str(path)]
    )
    assert dict(by_duckdb.fetchall()) == {asset: Decimal(total) for asset, total in sums.items()}
    shown = {row.asset: row.available for row in everyone.totals().itertuples()}
    assert shown == {
        {1: "BTC", 2: "USDT", 3: "ETH", 77: "#77"}[asset]: total if asset == 77 else Decimal(total).scaleb(-8)
        for asset, total in sums.items()
    }


@pytest.mark.parametrize("recent", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_as_of_a_moment_by_lookups_or_by_reading_all(
    ctx: Context, session: Session, moment: int, recent: bool
) -> None:
    found = {
        (int(some.account[row]), int(some.asset[row])): tuple(
            int(cells[row]) for cells in (some.order, some.money["available"], some.money["held"])
        )
        for each in newest_entries(source_of(ctx), When(moment, LAST), 10**6, recent=recent)
        for some in each.shown
        for row in range(len(some))
    }
    assert found == independently(session, ctx.keyspace, moment)


def test_another_exchange_s_ledger_kept_oldest_first(session: Session, impatient: Profile) -> None:
    name = f"oldest_first_{os.getpid()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    session.execute(
        f"CREATE TABLE {name}.book (who text, coin text, n int, free decimal, at timestamp, "
        "PRIMARY KEY ((who, coin), n))"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {name}.by_who AS SELECT * FROM {name}.book "
        "WHERE who IS NOT NULL AND coin IS NOT NULL AND n IS NOT NULL PRIMARY KEY (who, coin, n)"
    )
    rows = [("a", "BTC", n, Decimal(n) / 8, 1_000 * n) for n in range(1, 40)]
    rows += [("b", "BTC", 1, Decimal("1E-18"), 1_000), ("b", "XYZ", 1, Decimal(5), 50_000)]
    for row in rows:
        session.execute(f"INSERT INTO {name}.book (who, coin, n, free, at) VALUES (%s, %s, %s, %s, %s)", row)
    roles = LedgerSchema(
        account="who", asset="coin", order="n", available="free", held=None, delta_available=None,
        delta_held=None, type=None, reference=None, time="at",
    )  # fmt: skip
    ctx = Context(retarget(impatient, keyspace=name, view="by_who").model_copy(update={"ledger": roles}))
    found = {(row["account"], row["asset"]): row for row in make_extract(ctx, 20_500).table.to_pylist()}
    assert {key: (row["entry"], row["available"], row["held"]) for key, row in found.items()} == {
        ("a", "BTC"): (20, Decimal("2.5"), None),
        ("b", "BTC"): (1, Decimal("1E-18"), None),
    }
    now = make_extract(ctx)
    assert now.origin.units == "whole"
    assert not now.origin.held
    assert {row["entry"] for row in now.table.to_pylist() if row["account"] == "a"} == {39}
    ctx.close()


def test_it_is_read_once_and_kept(ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALANCEBOOK_RUN_DIR", str(tmp_path))
    first = extract_for(ctx)
    assert extract_for(ctx) is first
    kept = tmp_path / "extract.parquet"
    assert kept.exists()
    again = extract_for(ctx, file=str(kept))
    assert again.origin == first.origin
    with pytest.raises(UsageError, match="as of"):
        extract_for(ctx, "2025-06-01T00:00:00Z", str(kept))
    with pytest.raises(UsageError, match="is not a folder"):
        extract_for(ctx, file=str(tmp_path / "nowhere" / "x.parquet"))


def test_a_file_of_another_target_is_refused(
    ctx: Context, explored: Profile, tmp_path: Path, alone: Profile
) -> None:
    path = str(tmp_path / "x.parquet")
    extract_for(ctx, file=path)
    other = Context(alone)
    with pytest.raises(UsageError, match="is an extract of"):
        extract_for(other, file=path)
    other.close()
    assert explored.keyspace in str(Everyone(ctx, file=path).origin()["value"].iloc[0])


def test_a_part_is_no_extract(explored: Profile) -> None:
    for profile in (capped(explored, 3), unreachable(explored)):
        ctx = Context(profile)
        with pytest.raises(BalancebookError):
            make_extract(ctx)
        ctx.close()


@pytest.mark.check("B001", "pass")
def test_balances_that_can_be(ask: Ask, explored: Profile) -> None:
    found = ask("B001", explored)
    assert found.counts["wrong"] == 0


@pytest.mark.check("B001", "fail")
def test_a_negative_balance_and_one_without_a_value(ask: Ask, alone: Profile, session: Session) -> None:
    insert = f"INSERT INTO {alone.keyspace}.balance_ledger (user_id, asset_id, seq, avail, frozen, created_at) VALUES "
    session.execute(f"{insert} (1, 2, 1, 5, 0, 1000)")
    session.execute(f"{insert} (1, 2, 2, {-(2**63)}, 0, 1001)")
    session.execute(f"{insert} (2, 77, 1, null, 0, 1000)")
    found = ask("B001", alone)
    assert found.counts == {"balances": 2, "wrong": 2, "undated": 0, "ahead": 0, "left_out": 0}
    assert "account 1, USDT: available is negative" in found.message
    assert [sample["what"] for sample in found.samples] == ["available is negative", "available has no value"]


@pytest.mark.check("B001", "unknown")
def test_balances_that_cannot_be_read(ask: Ask, alone: Profile) -> None:
    ask("B001", unreachable(alone))
    assert "no balance at all" in ask("B001", alone).message
