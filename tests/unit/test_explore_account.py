"""Questions about one account: pure functions over its entries, money exact, nulls kept."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from balancebook.assets import Asset, Registry
from balancebook.errors import UsageError
from balancebook.explore.account import events, history, statement
from balancebook.explore.ahead import Ahead, ahead_table, dated_ahead
from balancebook.explore.counterparties import Trade, Trades, counterparties
from balancebook.explore.place import asset_named
from balancebook.explore.when import RULE, When
from balancebook.moment import parse_moment, utc_text

REGISTRY = Registry((Asset(1, "BTC", 8, 3), Asset(2, "USDT", 8, 2)))
BIG = 2**63 - 1
ROOT = Path(__file__).parents[2]


def entries(*rows: tuple[Any, ...], more: tuple[Any, ...] = ()) -> pd.DataFrame:
    """Rows (asset, entry, time, type, delta available, delta held, available, held, reference)."""
    names = [
        "asset",
        "entry",
        "time",
        "type",
        "delta_available",
        "delta_held",
        "available",
        "held",
        "reference",
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    frame = pd.DataFrame(
        {
            name: pd.Series(list(cells), dtype=object if name in ("asset", "type", "reference") else "Int64")
            for name, cells in zip(names, columns, strict=True)
        }
    )
    frame["kind"] = frame["type"]
    frame.attrs["more"] = more
    return frame


def utc(milliseconds: int) -> str:
    return f"1970-01-01 00:00:00.{milliseconds:03}"


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.itertuples(index=False)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T02:00:00.001+02:00", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2025-06-01T00:00:00-05:30", 1748755800000),
        ("2025-06-01t00:00:00.1239z", 1748736000123),
        ("2025-06-01 00:00:00Z", 1748736000000),
        ("2025-06-01", 1748736000000),
        ("9999-12-31", 253402214400000),
    ],
)
def test_a_moment_has_its_offset_and_a_date_begins_in_utc(text: str, moment: int) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2025-06-01T00:00:00", "has no offset from UTC"),
        ("noon", "is not a time or a date"),
        ("", "is not a time"),
        ("1748755800000", "is not a time"),
        ("20250601", "is not a time"),
        ("2025-W22-7", "is not a time"),
        ("2025-13-01T00:00:00Z", "is not a time"),
        ("2025-02-30", "is not a time"),
        ("2025-06-01T00:00Z", "is not a time"),
        ("2025-06-01T00:00:00 Z", "is not a time"),
        ("2025-06-01x00:00:00Z", "is not a time"),
        ("2025-06-01T24:00:00Z", "is not a time"),
        ("2025-06-01T00:00:60Z", "is not a time"),
        ("2025-06-01T00:00:00+02:60", "is not a time"),
        ("2025-06-01T00:00:00+24:00", "is not a time"),
        ("\u06622025-06-01", "is not a time"),
        ("9999-12-31T23:59:59-23:59", "is not in the years 1 to 9999 in UTC"),
        ("0001-01-01T00:00:00+00:01", "is not in the years 1 to 9999 in UTC"),
    ],
)
def test_what_is_no_moment_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        parse_moment(text)
    assert refused.value.parameter == "as_of"
    assert "+00:00" in refused.value.remedy


def test_moments_are_shown_in_utc_at_any_size() -> None:
    assert utc_text(1748755800123) == "2025-06-01 05:30:00.123"
    assert utc_text(-1) == "1969-12-31 23:59:59.999"
    assert utc_text(BIG) == f"{BIG} ms since 1970"
    assert utc_text(None) is None


def test_a_statement_is_in_whole_units_and_says_that_there_is_more() -> None:
    shown = statement(entries((1, 9, 5, "deposit", 3, 0, BIG, None, 7), more=(1,)), REGISTRY)
    assert rows_of(shown) == [
        (
            9,
            "1970-01-01 00:00:00.005",
            "deposit",
            Decimal("3E-8"),
            Decimal("0E-8"),
            Decimal("92233720368.54775807"),
            None,
            7,
        )
    ]
    assert shown.attrs["note"] == "The newest 1; there are older ones: before = 9."
    assert statement(entries((1, 9, 5, "deposit", 3, 0, 3, 0, 7)), REGISTRY).attrs["note"] == "All 1 entries."


def test_events_sum_exactly_beyond_int64_and_show_an_unknown_asset_raw() -> None:
    found = events(
        entries(
            (1, 3, 30, "deposit", BIG, 0, 0, 0, 1),
            (1, 2, 20, "deposit", BIG, None, 0, 0, 1),
            (1, 1, 10, None, -1, 1, 0, 0, 1),
            (77, 1, 15, "lock", -5, 5, 0, 0, 1),
            more=(1,),
        ),
        REGISTRY,
    )
    assert rows_of(found) == [
        (
            "BTC",
            "deposit",
            2,
            Decimal(2 * BIG).scaleb(-8),
            0,
            "1970-01-01 00:00:00.020",
            "1970-01-01 00:00:00.030",
        ),
        (
            "BTC",
            None,
            1,
            Decimal("-1E-8"),
            Decimal("1E-8"),
            "1970-01-01 00:00:00.010",
            "1970-01-01 00:00:00.010",
        ),
        ("#77", "lock", 1, -5, 5, utc(15), utc(15)),
    ]
    assert found.attrs["note"] == "Of BTC only the newest 3 entries."


def test_a_history_goes_forward_and_leaves_out_what_has_no_time() -> None:
    found = history(
        entries(
            (1, 3, 30, "a", 0, 0, 3, None, 1),
            (1, 2, None, "a", 0, 0, 2, 0, 1),
            (1, 1, 10, "a", 0, 0, 1, 5, 1),
        ),
        REGISTRY,
    )
    assert str(found["time"].dtype) == "datetime64[ms, UTC]"
    assert rows_of(found[["available", "held"]]) == [
        (Decimal("1E-8"), Decimal("5E-8")),
        (Decimal("3E-8"), None),
    ]


def test_no_entries_make_empty_tables() -> None:
    assert statement(entries(), REGISTRY).empty
    assert events(entries(), REGISTRY).empty
    assert history(entries(), REGISTRY).empty
    assert counterparties(1, Trades((), 0, ()), REGISTRY).empty


def test_counterparties_are_summed_by_pair_and_say_what_is_left_out() -> None:
    trades = (
        Trade(1, 10, 20, 1, 2, 5, BIG),
        Trade(2, 10, 20, 1, 2, 7, BIG),
        Trade(3, 20, 10, 1, 2, 2, 3),
        Trade(4, 10, 10, 1, 2, 1, 1),
        Trade(5, 30, 10, 77, 2, 9, 4),
    )
    found = counterparties(10, Trades(trades, 6, (98, 99)), REGISTRY)
    assert rows_of(found) == [
        (20, "BTC/USDT", 3, Decimal("12E-8"), Decimal("2E-8"), Decimal(2 * BIG).scaleb(-8), Decimal("3E-8")),
        (10, "BTC/USDT", 1, Decimal("1E-8"), Decimal("1E-8"), Decimal("1E-8"), Decimal("1E-8")),
        (30, "#77/USDT", 1, 0, 9, 0, Decimal("4E-8")),
    ]
    assert (
        found.attrs["note"]
        == "6 older trades are not in it. Entries name 2 trades that are not there: 98, 99."
    )


def test_an_asset_is_found_by_symbol_mark_or_id() -> None:
    assets = (1, 2, 77)
    for name, asset in {None: 1, "USDT": 2, "#77": 77, "77": 77, 77: 77, "1": 1}.items():
        assert asset_named(name, assets, REGISTRY) == asset
    with pytest.raises(UsageError) as refused:
        asset_named("USDC", assets, REGISTRY)
    assert refused.value.suggestion == "USDT"
    with pytest.raises(UsageError):
        asset_named(None, (), REGISTRY)


def test_the_rule_stands_on_the_page() -> None:
    page = json.loads((ROOT / "notebooks" / "balance_explorer.ipynb").read_text())
    title = "".join(page["cells"][0]["source"])
    assert RULE in " ".join(title.split())


def test_what_is_dated_ahead_is_told_from_what_counts() -> None:
    found = entries(
        (1, 6, 500, "a", 1, 0, 60, 0, 1),
        (1, 5, None, "a", 1, 0, 50, 0, 1),
        (1, 4, 900, "a", 1, 0, 40, 0, 1),
        (1, 3, 100, "a", 1, 0, 30, 0, 1),
        (1, 2, 101, "a", 1, 0, 20, 0, 1),
        (2, 1, 100, "a", 1, 0, 7, 0, 1),
        (77, 9, BIG, "a", 1, 0, 9, 0, 1),
    )

    def settled(each: Ahead) -> int | None:
        return None if each.settled is None else int(each.settled["entry"])

    def shown(when: When) -> list[tuple[Any, ...]]:
        return [
            (each.asset, each.entries["entry"].tolist(), each.counted, each.beneath, settled(each))
            for each in dated_ahead(found, when)
        ]

    # An entry without a time is of no date: it counts now, and does not as of a time.
    assert shown(When(None, 100)) == [(1, [6], 1, 2, 5), (77, [9], 1, 0, None)]
    assert shown(When(600, 100)) == [(1, [6, 4], 1, 1, 3), (77, [9], 0, 0, None)]
    assert shown(When(None, BIG)) == []
    note = ahead_table(found, When(None, 100), REGISTRY).attrs["note"]
    assert note == "Dated ahead too, but followed by an entry that is not, so in every balance since: BTC 2."
