"""Trades against entries: equal legs cancel however they are split; what is left is one too many or too few."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.demo.generate import LedgerEntry, SettledTrade, Size, generate
from balancebook.ledger.legs import COLUMNS, LAYOUT, EntryLegs, Legs, Trades, as_code, legs_of_trades
from balancebook.ledger.rules import MOVEMENTS
from balancebook.sketch.columns import hash_of
from balancebook.sketch.sketch import Sketch
from unit.test_ledger_follow import Row, entries_of

KINDS = {hash_of(kind.encode()): kind for kind in MOVEMENTS}
RECORDS = list(generate(Size(rows=3000, users=20, deep_events=200)))
ENTRIES = [each._asdict() for each in RECORDS if isinstance(each, LedgerEntry)]
TRADES = [each for each in RECORDS if isinstance(each, SettledTrade)]


def trades_of(trades: list[SettledTrade]) -> Trades:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([getattr(each, name) for each in trades], np.int64)

    return Trades(
        trade=column("trade_id"),
        buyer=column("buyer_id"),
        seller=column("seller_id"),
        base=column("base_asset_id"),
        quote=column("quote_asset_id"),
        quantity=column("quantity"),
        amount=column("quote_amount"),
        there=np.ones((len(trades), 7), bool),
    )


def left(rows: list[Row], trades: list[SettledTrade], page: int = 50) -> list[tuple[int, ...]]:
    """(sign, trade, account, asset, available, held, nth) of the legs that trades (1) or entries (-1) alone have."""
    sketch = Sketch(LAYOUT, cells=3000, seed=1)
    legs_of_trades(trades_of(trades), held=True, by_text=False).fold(sketch)
    of_entries, taken = Sketch(LAYOUT, cells=3000, seed=1), None
    for entries in entries_of(rows, page=page):
        taken = taken or EntryLegs(KINDS, held=True, by_text=False)
        taken.feed(entries)[0].fold(of_entries)
    items = sketch.subtract(of_entries).peel()
    assert items.complete
    found = []
    for sign, words, _ in items:
        cells = LAYOUT.key_cells(words)
        found.append((sign, *(int.from_bytes(cell, "big", signed=True) for cell in cells)))
    return sorted(found)


def test_a_sound_ledger_and_its_trades_cancel() -> None:
    assert len(TRADES) > 200
    assert left(ENTRIES, TRADES) == []
    assert len(legs_of_trades(trades_of(TRADES), held=True, by_text=False)) == 4 * len(TRADES)


# Each example takes half a second.
@settings(max_examples=25)
@given(st.data())
def test_what_one_side_alone_has_is_left(data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(TRADES), max_size=3, unique=True))
    rows = list(ENTRIES)
    legs = [row for row in rows if str(row["event_type"]).startswith("trade_")]
    lost = data.draw(st.lists(st.sampled_from(range(len(legs))), max_size=3, unique=True))
    taken = [legs[number] for number in lost]
    # Twice there, in the same partition, on whichever page.
    spare = [row | {"seq": 10**6} for row in data.draw(st.lists(st.sampled_from(legs), max_size=1))]
    kept = [row for row in rows if row not in taken] + spare
    expected = sorted(
        [(1, *leg_of(row), 0) for row in taken]
        + [(-1, *leg_of(row), 0) for row in legs if row["ref_id"] in {each.trade_id for each in gone}]
    )
    found = left(
        kept, [each for each in TRADES if each not in gone], data.draw(st.sampled_from([3, 50, 10_000]))
    )
    # What is both lost and there again is neither.
    if not spare:
        both = {each[1:] for each in expected if (-each[0], *each[1:]) in expected}
        assert found == [each for each in expected if each[1:] not in both]
    elif not (taken or gone):
        assert found == [(-1, *leg_of(spare[0]), 1)]


def leg_of(row: Row) -> tuple[int, ...]:
    return tuple(row[name] for name in ("ref_id", "user_id", "asset_id", "delta_avail", "delta_frozen"))


def test_codes_of_amounts_are_of_their_value() -> None:
    def codes(*amounts: object) -> list[int]:
        found = np.empty(len(amounts), object)
        found[:] = amounts
        return [int(code) for code in as_code(found, by_text=True)]

    one, same, other, zero, nothing, minus = codes(
        Decimal("1.0"), Decimal("1.00"), Decimal("1.01"), Decimal("-0.0"), Decimal(0), Decimal("-0.5")
    )
    assert (one == same, one != other, zero == nothing, minus != nothing) == (True, True, True, True)
    assert codes(5) == codes(Decimal("5.0"))
    assert codes(10**30) == codes(10**30) != codes(10**30 + 1)
    # The last digit counts, however many are before it; Python writes no int of more than 4,300.
    for digits in (64, 65, 100, 5_000):
        assert codes(10**digits) == codes(Decimal(f"1E+{digits}")) != codes(10**digits + 1)
        assert codes(10**digits) != codes(-(10**digits)) != codes(10 ** (digits + 1))
    assert as_code(np.array([5], np.int64), by_text=False).tolist() == [5]


@pytest.mark.parametrize("held", [True, False])
def test_a_trade_that_lacks_a_cell_has_those_legs_that_it_does_not_need(held: bool) -> None:
    buyer_pays, buyer_gets, seller_gives, seller_gets = range(4)
    needs = {
        0: {buyer_pays, buyer_gets, seller_gives, seller_gets},
        1: {buyer_pays, buyer_gets},
        2: {seller_gives, seller_gets},
        3: {buyer_gets, seller_gives},
        4: {buyer_pays, seller_gets},
        5: {buyer_gets, seller_gives},
        6: {buyer_pays, seller_gets},
    }
    whole = trades_of(TRADES[:3])
    all_legs = legs_of_trades(whole, held=held, by_text=False)
    for cell, lost in needs.items():
        there = whole.there.copy()
        there[1, cell] = False
        legs = legs_of_trades(replace(whole, there=there), held=held, by_text=False)
        kept = [place for place in range(12) if place % 3 != 1 or place // 3 not in lost]
        assert legs.place.tolist() == kept
        assert legs.codes.tolist() == all_legs.codes[kept].tolist()


def test_an_entry_that_lacks_a_cell_is_no_leg_of_the_trade_0() -> None:
    credit = next(row for row in ENTRIES if row["event_type"] == "trade_credit")
    zero = TRADES[0]._replace(trade_id=0)
    for cell in ("ref_id", "delta_avail", "delta_frozen", "event_type"):
        [entries] = entries_of([credit | {"ref_id": 0} | {cell: None}], page=10)
        assert len(EntryLegs(KINDS, held=True, by_text=False).feed(entries)[0]) == 0
    assert len(left([credit | {"ref_id": None}], [zero])) == 4


def test_legs_have_a_cell_each() -> None:
    assert LAYOUT.keeps_key
    assert LAYOUT.words == len(COLUMNS)
    assert len(Legs(np.empty((0, len(COLUMNS)), np.int64), np.empty(0, np.int64))) == 0
