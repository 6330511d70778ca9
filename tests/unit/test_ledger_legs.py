"""Trades against entries: equal legs cancel however they are split; what is left is one too many or too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cassandra.cqltypes import Int32Type, LongType
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.demo.generate import LedgerEntry, SettledTrade, Size, generate
from balancebook.ledger.breaks import Break, Breaks, Problem
from balancebook.ledger.legs import (
    COLUMNS,
    LAYOUT,
    EntryLegs,
    Legs,
    Trades,
    as_code,
    leg_identities,
    legs_of_trades,
    without_pairs,
)
from balancebook.ledger.rules import MOVEMENTS
from balancebook.ledger.source import TradeTable
from balancebook.ledger.trades import TradeReader
from balancebook.sketch.columns import hash_of
from balancebook.sketch.sketch import Sketch
from balancebook.store.raw import RawPage
from ledger_rows import Row, entries_of, serialized, table

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


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12),
)
def test_equal_legs_cancel_whatever_their_numbers(
    lost: list[tuple[int, int]], spare: list[tuple[int, int]]
) -> None:
    """(amount, nth) of each leg."""
    codes = [
        np.array([[1, 2, 3, amount, 0, nth] for amount, nth in some], np.int64).reshape(-1, 6)
        for some in (lost, spare)
    ]
    left = without_pairs(*codes)
    counts = [Counter(amount for amount, _ in some) for some in (lost, spare)]
    assert [Counter(some[:, 3].tolist()) for some in left] == [counts[0] - counts[1], counts[1] - counts[0]]


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


def reader_of_trades() -> TradeReader:
    """Of the demo's trades; nothing else of the source is asked."""
    types = ("bigint", "bigint", "bigint", "int", "int", "bigint", "bigint")
    drivers = tuple(Int32Type if kind == "int" else LongType for kind in types)
    source: Any = SimpleNamespace(by_text=False, roles=SimpleNamespace(has=lambda _: True))
    return TradeReader(source, TradeTable(table({}), COLUMNS_OF_TRADES, types, drivers))


COLUMNS_OF_TRADES = (
    "trade_id", "buyer_id", "seller_id", "base_asset_id", "quote_asset_id", "quantity", "quote_amount",
)  # fmt: skip


def page_of_trades(trades: Sequence[SettledTrade | dict[str, Any]]) -> RawPage:
    """As the server sends them."""
    body = b"\0" * 8
    for trade in trades:
        cells = trade if isinstance(trade, dict) else trade._asdict()
        for name in COLUMNS_OF_TRADES:
            body += serialized(cells[name], "int" if name.endswith("asset_id") else "bigint")
    return RawPage(len(trades), np.frombuffer(body, np.uint8), 8, COLUMNS_OF_TRADES, ())


def test_a_leg_that_is_lost_is_named_as_the_entry_that_there_ought_to_be() -> None:
    reader = reader_of_trades()
    page = reader.read(page_of_trades(list(TRADES[:3])))
    identities = leg_identities(page.legs.codes)
    for number in (0, 2):
        trade = TRADES[number]
        legs = [
            (trade.buyer_id, trade.quote_asset_id, -trade.quote_amount),
            (trade.buyer_id, trade.base_asset_id, trade.quantity),
            (trade.seller_id, trade.base_asset_id, -trade.quantity),
            (trade.seller_id, trade.quote_asset_id, trade.quote_amount),
        ]
        for which, (account, asset, amount) in enumerate(legs):
            wanted = identities[[which * 3 + number]]
            [found] = reader.named(page, wanted)
            assert found == Break(
                Problem.LEG_LOST, (account, asset, None), f"trade {trade.trade_id}", amount, None, None,
                float(abs(amount)), int(wanted[0]),
            )  # fmt: skip
    assert reader.named(page, identities[:0]) == []
    both = reader.named(page, np.sort(identities[[1, 8]]))
    assert {each.key[0] for each in both} == {TRADES[1].buyer_id, TRADES[2].seller_id}


def test_a_trade_that_lacks_cells_is_named_with_them() -> None:
    reader, breaks = reader_of_trades(), Breaks()
    holes: list[SettledTrade | dict[str, Any]] = [
        TRADES[0],
        TRADES[1]._asdict() | {"buyer_id": None},
        TRADES[2]._asdict() | {"buyer_id": None, "seller_id": None, "quantity": None},
        TRADES[3]._asdict() | {"trade_id": None},
    ]
    known = reader.note_incomplete(reader.read(page_of_trades(holes)), breaks)
    assert known.tolist() == [TRADES[1].trade_id, TRADES[2].trade_id]
    found = breaks.of[Problem.TRADE_CELL]
    assert found.count == 3
    assert {(each.key, each.what, each.size) for each in found.worst} == {
        ((TRADES[1].seller_id, TRADES[1].base_asset_id, None), f"trade {TRADES[1].trade_id}: buyer", 1.0),
        ((None, TRADES[2].base_asset_id, None), f"trade {TRADES[2].trade_id}: buyer, seller, quantity", 3.0),
        ((TRADES[3].buyer_id, TRADES[3].base_asset_id, None), "trade None: id", 1.0),
    }
    whole = Breaks()
    assert reader.note_incomplete(reader.read(page_of_trades(list(TRADES[:2]))), whole).tolist() == []
    assert whole.of[Problem.TRADE_CELL].count == 0
