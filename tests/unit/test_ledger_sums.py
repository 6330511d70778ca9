"""Sums by asset, exact however large, and what of them does not conserve."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest

from balancebook.ledger.sums import FRESH, IN, NEWEST, OTHER, OUT, TRADED, AssetSums, add_sums
from balancebook.profile import LedgerSchema
from ledger_rows import (
    TYPES,
    Row,
    followed,
    ledger_of,
    of_kind,
    uneven_in,
)


def sums_of(rows: list[Row], what: int) -> dict[Any, Any]:
    """By asset, summed row by row in plain Python."""
    found: dict[Any, Any] = {}
    kinds = {"deposit": IN, "withdraw": OUT, "trade_debit": TRADED, "trade_credit": TRADED}
    newest = {(row["user_id"], row["asset_id"]): row for row in sorted(rows, key=lambda row: row["seq"])}
    with localcontext(prec=1000):
        for row in newest.values() if what == NEWEST else rows:
            names = ("avail", "frozen") if what == NEWEST else ("delta_avail", "delta_frozen")
            mine = what == NEWEST or kinds.get(row["event_type"], OTHER) == what
            amount = sum(row[name] for name in names) if mine else 0
            found[row["asset_id"]] = found.get(row["asset_id"], 0) + amount
    return found


@pytest.mark.parametrize("kind", ["bigint", "varint", "decimal"])
@pytest.mark.parametrize(("descending", "page"), [(True, 7), (False, 7), (True, 10_000), (False, 10_000)])
def test_sums_by_asset_are_exact_however_large(kind: str, descending: bool, page: int) -> None:
    """Each amount at the end of its column's range: no sum of two of them would fit."""
    large: Any = {"bigint": 2**63 - 1, "varint": 10**40 + 1, "decimal": Decimal(f"{10**30}.{1:018}")}[kind]
    least = -(2**63) if kind == "bigint" else -large
    names = ("delta_avail", "delta_frozen", "avail", "frozen")
    rows = [
        ledger_of((event, 0, 0, 1))[0]
        | {"user_id": user, "asset_id": asset, "seq": seq}
        | dict.fromkeys(names, large if seq != 3 else least)
        for user in range(20)
        for asset in (1, 2, 77)
        for seq, event in enumerate(("deposit", "withdraw", "lock", "trade_debit", "?"), 1)
    ]
    types = TYPES | dict.fromkeys(names, kind)
    found = followed(rows, types, descending=descending, page=page).sums.by_code
    assert set(found) == {1, 2, 77}
    for what in (IN, OUT, TRADED, OTHER, FRESH, NEWEST):
        assert {code: sums.moved[what] for code, sums in found.items()} == sums_of(rows, what)
    assert [found[code].asset for code in (1, 2, 77)] == [1, 2, 77]


def test_what_does_not_conserve(sound: list[Row], rows: list[Row]) -> None:
    sums = followed(sound).sums.by_code
    assert not uneven_in(sums)
    credit = of_kind(rows, "trade_credit")
    credit["delta_avail"] += 3
    found = uneven_in(followed(rows).sums.by_code)
    broken = {each.what: (each.asset, each.expected, each.found) for each in found}
    asset, there = credit["asset_id"], sums[credit["asset_id"]]
    assert broken == {
        "trades": (asset, 0, 3),
        "newest balances": (asset, there.deltas + 3, there.deltas),
    }
    # Fresh trades are not judged, since the other entries of them may not have been there yet.
    fresh = followed(rows, settled=min(row["created_at"] for row in rows) - 1).sums.by_code
    assert {each.what for each in uneven_in(fresh)} == {"newest balances"}
    settled = followed(rows, settled=max(row["created_at"] for row in rows)).sums.by_code
    assert {each.what for each in uneven_in(settled)} == set(broken)
    # Parts that are added and taken away again leave what there was.
    total: dict[int, AssetSums] = {}
    for sign in (1, 1, -1):
        add_sums(total, sums, sign)
    assert {code: each.moved for code, each in total.items()} == {
        code: each.moved for code, each in sums.items()
    }


def test_trades_are_fresh_by_their_times_whatever_the_pages() -> None:
    rows = ledger_of(
        ("deposit", 100, 0, 0),
        ("trade_credit", 5, 0, 1),
        ("trade_debit", -3, 0, 2),
        ("trade_credit", 7, 0, 3),
    )
    times = [row["created_at"] for row in rows]
    for page in (1, 2, 10):
        for place, traded in ((0, [0, 9]), (1, [5, 4]), (2, [2, 7]), (3, [9, 0])):
            sums = followed(rows, page=page, settled=times[place]).sums.by_code[rows[0]["asset_id"]]
            assert [sums.moved[TRADED], sums.moved[FRESH]] == traded
            assert (sums.trades, sums.fresh) == (place, 3 - place)
            assert (sums.deltas, sums.moved[IN], sums.latest) == (109, 100, max(times))
    # Without a time it is not known of which kind a trade is; a deposit's is not asked for.
    rows[1]["created_at"] = None
    sums = followed(rows, settled=times[3]).sums.by_code[rows[0]["asset_id"]]
    assert sums.untyped == 1
    rows[0]["created_at"], rows[1]["created_at"] = None, times[1]
    assert followed(rows, settled=times[3]).sums.by_code[rows[0]["asset_id"]].untyped == 0


def test_without_times_two_sums_over_trades_are_alike_only_if_they_are_of_as_many() -> None:
    rows = ledger_of(("deposit", 100, 0, 0), ("trade_credit", 5, 0, 1), ("trade_debit", -3, 0, 2))
    more = ledger_of(
        ("deposit", 100, 0, 0),
        ("trade_credit", 5, 0, 1),
        ("trade_debit", -4, 0, 2),
        ("trade_credit", 1, 0, 3),
    )
    timeless = LedgerSchema(time=None)
    one, other = (
        uneven_in(followed(each, ledger=timeless).sums.by_code, timed=False) for each in (rows, more)
    )
    assert [(each.what, each.apart, each.trades) for each in one + other] == [
        ("trades", 2, 2), ("trades", 2, 3)
    ]  # fmt: skip
    assert one[0].identity != other[0].identity
    again = uneven_in(followed(rows, ledger=timeless).sums.by_code, timed=False)
    assert one[0].identity == again[0].identity
