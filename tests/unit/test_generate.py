"""The demo exchange's data: what must hold for it at every size and seed, and what is placed by hand."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.demo import generate as demo
from balancebook.demo.events import SIGNS, EventType, allowed
from balancebook.demo.generate import DEFAULT, HAND_PLACED, SMALL, LedgerEntry, Record, SettledTrade, Size
from balancebook.errors import UsageError

BIGINT = 2**63


def entries(records: Iterable[Record]) -> list[LedgerEntry]:
    return [record for record in records if isinstance(record, LedgerEntry)]


def trades(records: Iterable[Record]) -> list[SettledTrade]:
    return [record for record in records if isinstance(record, SettledTrade)]


def by_account(records: Iterable[Record]) -> dict[tuple[int, int], list[LedgerEntry]]:
    accounts = defaultdict(list)
    for entry in entries(records):
        accounts[entry.user_id, entry.asset_id].append(entry)
    return accounts


def broken_accounts(records: Iterable[Record]) -> Iterator[str]:
    """Every way in which an account's own entries contradict each other."""
    for account, history in by_account(records).items():
        avail = frozen = time = 0
        for seq, entry in enumerate(history, start=1):
            avail, frozen = avail + entry.delta_avail, frozen + entry.delta_frozen
            if entry.seq != seq:
                yield f"{account}: seq {entry.seq}, not {seq}"
            if (entry.avail, entry.frozen) != (avail, frozen):
                yield f"{account} {seq}: the running balance does not add up"
            if not (0 <= entry.avail < BIGINT and 0 <= entry.frozen < BIGINT):
                yield f"{account} {seq}: a balance is negative or out of range"
            if not allowed(EventType(entry.event_type), entry.delta_avail, entry.delta_frozen):
                yield f"{account} {seq}: {entry.event_type} may not have these signs"
            if entry.created_at < time:
                yield f"{account} {seq}: time goes back"
            time = entry.created_at


def broken_trades(records: list[Record]) -> Iterator[str]:
    """Every settled trade whose entries are not its four, and every trade entry without a settled trade."""
    legs = defaultdict(set)
    for entry in entries(records):
        if entry.event_type in ("trade_debit", "trade_credit"):
            legs[entry.ref_id].add((entry.user_id, entry.asset_id, entry.delta_avail, entry.delta_frozen))
    for trade in trades(records):
        base, quote = trade.base_asset_id, trade.quote_asset_id
        expected = {
            (trade.buyer_id, quote, 0, -trade.quote_amount),
            (trade.buyer_id, base, trade.quantity, 0),
            (trade.seller_id, base, 0, -trade.quantity),
            (trade.seller_id, quote, trade.quote_amount, 0),
        }
        if legs.pop(trade.trade_id, set()) != expected:
            yield f"trade {trade.trade_id}: not its four entries"
        if trade.price * trade.quantity != trade.quote_amount * demo.WHOLE or trade.quote_amount <= 0:
            yield f"trade {trade.trade_id}: price x quantity is not the quote amount"
        if trade.buyer_id == trade.seller_id:
            yield f"trade {trade.trade_id}: with oneself"
    yield from (f"entries of trade {ref} without a trade" for ref in legs)


sizes = st.builds(
    lambda deep, more, users, seed: Size(rows=deep + 1_000 + more, users=users, deep_events=deep, seed=seed),
    st.integers(1, 300),
    st.integers(0, 2_000),
    st.integers(2, 60),
    st.integers(-(2**40), 2**40),
)


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_whatever_the_size_and_seed_the_books_are_in_order(size: Size) -> None:
    records = list(demo.generate(size))
    assert [*broken_accounts(records), *broken_trades(records)] == []
    ends = {
        account: (history[-1].avail, history[-1].frozen) for account, history in by_account(records).items()
    }
    for user, balances in HAND_PLACED.items():
        assert {asset: ends[owner, asset] for owner, asset in ends if owner == user} == balances
    assert len(by_account(records)[demo.DEEP, demo.USDT]) >= size.deep_events
    assert len(entries(records)) >= size.rows
    assert demo.NOBODY not in {user for user, _ in ends}


@pytest.mark.parametrize("field", ["seq", "avail", "frozen", "event_type", "delta_frozen"])
def test_a_changed_entry_is_noticed(field: str) -> None:
    records = list(demo.generate(SMALL))
    at = next(
        i for i, r in enumerate(records) if isinstance(r, LedgerEntry) and r.event_type == "trade_debit"
    )
    changed = {"event_type": "deposit"} if field == "event_type" else {field: getattr(records[at], field) + 1}
    records[at] = records[at]._replace(**changed)
    assert [*broken_accounts(records), *broken_trades(records)] != []


def test_a_lost_entry_of_a_trade_is_noticed() -> None:
    records = list(demo.generate(SMALL))
    records.remove(next(r for r in records if isinstance(r, LedgerEntry) and r.event_type == "trade_credit"))
    assert list(broken_trades(records)) != []


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first = list(demo.generate(SMALL))
    assert first == list(demo.generate(SMALL))
    assert first != list(demo.generate(Size(SMALL.rows, SMALL.users, SMALL.deep_events, SMALL.seed + 1)))


def test_the_small_data_are_these() -> None:
    """When this fails on purpose, raise _GENERATION: data loaded before are then no longer taken for the same."""
    rows = "\n".join(repr(tuple(record)) for record in demo.generate(SMALL))
    assert (hashlib.sha256(rows.encode()).hexdigest()[:16], demo._GENERATION) == ("ca2ef0a98696f83c", 1)


def test_the_default_size_has_what_the_demo_promises() -> None:
    accounts = by_account(demo.generate(DEFAULT))
    assert sum(map(len, accounts.values())) >= 200_000
    assert len(accounts[demo.DEEP, demo.USDT]) >= 20_000
    rows = Counter(
        user for (user, _), history in accounts.items() for _ in history if user > demo.UNKNOWN_ASSET
    )
    busy = [count for _, count in rows.most_common()]
    assert busy[0] > 50 * busy[len(busy) // 2]  # Zipf: the first is far above the median
    assert {asset for user, asset in accounts if user == demo.ONE_ASSET} == {demo.ETH}
    assert {entry.event_type for history in accounts.values() for entry in history} == set(EventType)


def test_the_three_assets_of_user_1001() -> None:
    balances = HAND_PLACED[1001]
    assert balances == {1: (910000000000, 0), 2: (1010000000000000, 0), 3: (100000 * 10**8, 0)}


def test_the_data_lie_in_the_past() -> None:
    last = max(entry.created_at for entry in entries(demo.generate(DEFAULT)))
    assert 1_735_689_600_000 <= last < 1_765_324_800_000  # 2025-01-01 to 2025-12-10


@pytest.mark.parametrize(
    ("kind", "delta_avail", "delta_frozen", "verdict"),
    [
        (EventType.DEPOSIT, 5, 0, True),
        (EventType.DEPOSIT, 0, 0, False),
        (EventType.DEPOSIT, -5, 0, False),
        (EventType.DEPOSIT, 5, 1, False),
        (EventType.WITHDRAW, -5, 0, True),
        (EventType.WITHDRAW, 5, 0, False),
        (EventType.LOCK, -5, 5, True),
        (EventType.LOCK, -5, 4, False),
        (EventType.LOCK, 5, -5, False),
        (EventType.UNLOCK, 5, -5, True),
        (EventType.UNLOCK, 5, 5, False),
        (EventType.TRADE_DEBIT, 0, -5, True),
        (EventType.TRADE_DEBIT, -5, 0, False),
        (EventType.TRADE_CREDIT, 5, 0, True),
        (EventType.TRADE_CREDIT, 0, 5, False),
        (EventType.REFUND, 5, -5, True),
        (EventType.REFUND, 5, -6, False),
    ],
)
def test_the_signs_of_an_event(kind: EventType, delta_avail: int, delta_frozen: int, verdict: bool) -> None:
    assert allowed(kind, delta_avail, delta_frozen) is verdict


def test_every_event_type_has_signs() -> None:
    assert set(SIGNS) == set(EventType)


def test_the_documented_table_is_the_one_that_is_applied() -> None:
    documented = {}
    for line in str(allowed.__globals__["__doc__"]).splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 4 and cells[1] in set(EventType):
            documented[cells[1]] = tuple({"+": 1, "-": -1, "0": 0}[cell] for cell in cells[2:4])
    assert documented == {kind.value: (signs.available, signs.frozen) for kind, signs in SIGNS.items()}


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"rows": 20_999}, "rows"),
        ({"users": 1}, "users"),
        ({"users": 500_001}, "users"),
        ({"deep_events": 0}, "deep_events"),
    ],
)
def test_a_size_that_cannot_be_is_refused(arguments: dict[str, int], parameter: str) -> None:
    with pytest.raises(UsageError) as raised:
        Size(**arguments)
    assert raised.value.parameter == parameter


def test_every_field_of_the_size_is_in_its_digest() -> None:
    others = [Size(rows=210_001), Size(users=2_001), Size(deep_events=20_001), Size(seed=1)]
    assert len({DEFAULT.digest(), *(size.digest() for size in others)}) == 5
