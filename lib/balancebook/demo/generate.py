"""A deterministic exchange: from a size and a seed always the same ledger entries and settled trades, one by one.

Nothing here reads a clock, a file or the network. Memory is bounded by the number of accounts, not of rows.
Every choice is made with integers, so that no platform's floating point can change the data.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import accumulate
from random import Random
from typing import NamedTuple

from balancebook.demo.events import EventType
from balancebook.errors import UsageError

BTC, USDT, ETH, UNREGISTERED = 1, 2, 3, 77
WHOLE = 10**8
"""Raw units of one whole BTC, USDT or ETH."""

THREE_ASSETS, ONE_ASSET, FROZEN, DEEP, UNKNOWN_ASSET = 1001, 1002, 1003, 1004, 1005
NOBODY = 999_999
"""The user who does not exist, at any size."""

HAND_PLACED: dict[int, dict[int, tuple[int, int]]] = {
    THREE_ASSETS: {BTC: (9_100 * WHOLE, 0), USDT: (10_100_000 * WHOLE, 0), ETH: (100_000 * WHOLE, 0)},
    ONE_ASSET: {ETH: (1_250_000_000, 0)},
    FROZEN: {BTC: (150_000_000, 25_000_000), USDT: (25_000 * WHOLE, 750_050_000_000), ETH: (4 * WHOLE, 0)},
    DEEP: {BTC: (1, 0), USDT: (100_000_000_000_001, 0)},
    UNKNOWN_ASSET: {BTC: (50_000_000, 0), UNREGISTERED: (123_456_789, 1_000)},
}
"""User -> asset -> (available, frozen): how these accounts end, in raw units, at any size and seed."""

_GENERATION = 1  # Raise it when the same size gives other rows: loaded data is then known to be of old.
_FIRST_USER = 10_001
_MOST_USERS = 500_000  # so that ordinary user ids stay below NOBODY
_START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
_SPAN_MS = 300 * 86_400_000
_SOLO_EVENTS = 20  # of each hand-placed account that takes no part in the market, but for the deep one
_OPEN_ORDERS = 8

# A price in whole ticks times a quantity in whole lots divides by WHOLE: quote amounts are exact integers.
_TICK = _LOT = 10**4
_OPENING_PRICE = {BTC: 90_000 * WHOLE, ETH: 3_000 * WHOLE}
_MOST_LOTS = {BTC: 10_000, ETH: 200_000}
_TYPICAL = {BTC: 10 * WHOLE, USDT: 100_000 * WHOLE, ETH: 200 * WHOLE, UNREGISTERED: 10**8}


class LedgerEntry(NamedTuple):
    """One row of `balance_ledger`, in the order of its columns; amounts in raw units, created_at in ms."""

    user_id: int
    asset_id: int
    seq: int
    delta_avail: int
    delta_frozen: int
    avail: int
    frozen: int
    event_type: str
    ref_id: int
    created_at: int


class SettledTrade(NamedTuple):
    """One row of `settled_trades`; price in raw quote units for one whole base unit, settled_at in ms."""

    trade_id: int
    buyer_id: int
    seller_id: int
    base_asset_id: int
    quote_asset_id: int
    price: int
    quantity: int
    quote_amount: int
    settled_at: int


Record = LedgerEntry | SettledTrade


@dataclass(frozen=True)
class Size:
    """How much to generate. `rows` and `deep_events` are lower bounds: the last steps are carried to their end."""

    rows: int = 210_000
    users: int = 2_000
    deep_events: int = 20_000
    seed: int = 20_251_210

    def __post_init__(self) -> None:
        if not 2 <= self.users <= _MOST_USERS:
            raise UsageError(f"users is {self.users}.", f"Choose 2 to {_MOST_USERS}.", parameter="users")
        if self.deep_events < 1:
            raise UsageError("deep_events must be at least 1.", parameter="deep_events")
        if self.rows < self.deep_events + 1_000:
            remedy = f"Choose at least {self.deep_events + 1_000} (deep_events and 1000 more)."
            raise UsageError(f"rows is {self.rows}.", remedy, parameter="rows")

    def digest(self) -> str:
        """Names the data that this size gives: equal digests mean equal rows."""
        return hashlib.sha256(repr((_GENERATION, *astuple(self))).encode()).hexdigest()[:16]


DEFAULT = Size()
SMALL = Size(rows=5_000, users=40, deep_events=500)


def generate(size: Size = DEFAULT) -> Iterator[Record]:
    """Yield the ledger entries and trades of a whole exchange in the order of time.

    A trade comes right after its four entries. seq is contiguous from 1 and created_at never goes back per account;
    every created_at lies in 2025, from January to the end of October, give or take the last steps.
    """
    yield from _Exchange(size).life()


class _Account:
    """What is known of one user's asset: the last seq, the balances, and the open orders (id, reserve)."""

    __slots__ = ("avail", "frozen", "orders", "seq")

    def __init__(self) -> None:
        self.seq = self.avail = self.frozen = 0
        self.orders: list[tuple[int, int]] = []


class _Exchange:
    def __init__(self, size: Size) -> None:
        self.rng = Random(size.seed)  # noqa: S311 - demo data that must repeat, no secret
        self.accounts: dict[tuple[int, int], _Account] = {}
        self.now, self.last_id = _START_MS, 0
        self.rows_left = size.rows
        self.longest_pause = 2 * _SPAN_MS // size.rows
        self.prices = dict(_OPENING_PRICE)
        self.traders = list(range(_FIRST_USER, _FIRST_USER + size.users))
        # In the middle of the ranks: a few hundred events, neither a whale nor a sleeper.
        self.traders[size.users // 8 : size.users // 8] = [THREE_ASSETS, FROZEN]
        ranks = range(1, len(self.traders) + 1)
        self.weights = list(accumulate(10**9 // rank for rank in ranks))  # Zipf's law
        self.solo = self._solo_schedule(size)

    def _solo_schedule(self, size: Size) -> list[tuple[int, int]]:
        accounts = [(user, asset) for user in (ONE_ASSET, DEEP, UNKNOWN_ASSET) for asset in HAND_PLACED[user]]
        schedule = [account for account in accounts for _ in range(_SOLO_EVENTS)]
        schedule += [(DEEP, USDT)] * (size.deep_events - _SOLO_EVENTS)
        self.rng.shuffle(schedule)
        return schedule

    def life(self) -> Iterator[Record]:
        """Everything that happens, from the opening deposits to the closing of the hand-placed accounts."""
        for user, asset, (avail, _) in _hand_placed():
            yield self.deposit(user, asset, max(1, avail * 3 // 4))
        while self.rows_left > 0:
            if self.rng.randrange(self.rows_left) < len(self.solo):
                yield self.transfer_or_order(*self.solo.pop())
            else:
                yield from self.market_step()
        while self.solo:
            yield self.transfer_or_order(*self.solo.pop())
        for user, asset, (avail, frozen) in _hand_placed():
            yield from self.close(user, asset, avail, frozen)

    def market_step(self) -> Iterator[Record]:
        if self.rng.randrange(10) < 6:
            yield from self.trade()
        else:
            yield self.transfer_or_order(self.trader(), self.rng.choice((BTC, USDT, ETH)))

    def trader(self) -> int:
        return self.traders[bisect_right(self.weights, self.rng.randrange(self.weights[-1]))]

    def transfer_or_order(self, user: int, asset: int) -> LedgerEntry:
        """One event that the account can bear: a deposit, a withdrawal, a lock or an unlock."""
        account, draw = self.account(user, asset), self.rng.randrange(4)
        if account.orders and (draw == 0 or len(account.orders) == _OPEN_ORDERS):
            return self.unlock(user, asset)
        if account.avail < 4 or draw == 1:
            return self.deposit(user, asset, self.rng.randrange(1, _TYPICAL[asset]))
        amount = self.rng.randrange(1, account.avail // 4 + 1)
        return self.lock(user, asset, amount) if draw == 2 else self.withdraw(user, asset, amount)

    def trade(self) -> Iterator[Record]:
        """Both sides lock, the trade settles in four entries, and the buyer gets back what the limit reserved."""
        base, buyer, seller = self.rng.choice((BTC, ETH)), self.trader(), self.trader()
        if buyer == seller:
            return
        price, quantity = self.next_price(base), self.rng.randrange(1, _MOST_LOTS[base]) * _LOT
        limit = price + self.rng.choice((0, self.rng.randrange(1, price // 1_000 // _TICK) * _TICK))
        amount, reserve = price * quantity // WHOLE, limit * quantity // WHOLE
        yield from self.fund(buyer, USDT, reserve)
        yield from self.fund(seller, base, quantity)
        # These reserves are used up at once, so they are no open orders that an unlock could take.
        bid = self.new_id()
        yield self.entry((buyer, USDT), EventType.LOCK, -reserve, reserve, bid)
        yield self.entry((seller, base), EventType.LOCK, -quantity, quantity, self.new_id())
        yield from self.settle(buyer, seller, base, price, quantity)
        if reserve > amount:
            yield self.entry((buyer, USDT), EventType.REFUND, reserve - amount, amount - reserve, bid)

    def settle(self, buyer: int, seller: int, base: int, price: int, quantity: int) -> Iterator[Record]:
        trade_id, amount = self.new_id(), price * quantity // WHOLE
        yield self.entry((buyer, USDT), EventType.TRADE_DEBIT, 0, -amount, trade_id)
        yield self.entry((buyer, base), EventType.TRADE_CREDIT, quantity, 0, trade_id)
        yield self.entry((seller, base), EventType.TRADE_DEBIT, 0, -quantity, trade_id)
        yield self.entry((seller, USDT), EventType.TRADE_CREDIT, amount, 0, trade_id)
        yield SettledTrade(trade_id, buyer, seller, base, USDT, price, quantity, amount, self.now)

    def fund(self, user: int, asset: int, need: int) -> Iterator[Record]:
        missing = need - self.account(user, asset).avail
        if missing > 0:
            yield self.deposit(user, asset, missing + self.rng.randrange(1, 5 * _TYPICAL[asset]))

    def next_price(self, base: int) -> int:
        opening = _OPENING_PRICE[base]
        step = self.rng.randrange(-opening // 1_000 // _TICK, opening // 1_000 // _TICK + 1) * _TICK
        self.prices[base] = min(max(self.prices[base] + step, opening // 2), opening * 2)
        return self.prices[base]

    def close(self, user: int, asset: int, avail: int, frozen: int) -> Iterator[Record]:
        """Cancel what is open, then bring the account to exactly these balances."""
        account = self.account(user, asset)
        while account.orders:
            yield self.unlock(user, asset)
        difference = avail + frozen - account.avail
        if difference > 0:
            yield self.deposit(user, asset, difference)
        elif difference < 0:
            yield self.withdraw(user, asset, -difference)
        if frozen:
            yield self.lock(user, asset, frozen)

    def deposit(self, user: int, asset: int, amount: int) -> LedgerEntry:
        return self.entry((user, asset), EventType.DEPOSIT, amount, 0, self.new_id())

    def withdraw(self, user: int, asset: int, amount: int) -> LedgerEntry:
        return self.entry((user, asset), EventType.WITHDRAW, -amount, 0, self.new_id())

    def lock(self, user: int, asset: int, amount: int) -> LedgerEntry:
        order = self.new_id()
        self.account(user, asset).orders.append((order, amount))
        return self.entry((user, asset), EventType.LOCK, -amount, amount, order)

    def unlock(self, user: int, asset: int) -> LedgerEntry:
        order, amount = self.account(user, asset).orders.pop(0)
        return self.entry((user, asset), EventType.UNLOCK, amount, -amount, order)

    def account(self, user: int, asset: int) -> _Account:
        return self.accounts.setdefault((user, asset), _Account())

    def new_id(self) -> int:
        """One sequence for trades, orders and transfers: a reference never means two things."""
        self.last_id += 1
        return self.last_id

    def entry(
        self, owner: tuple[int, int], kind: EventType, delta_avail: int, delta_frozen: int, ref: int
    ) -> LedgerEntry:
        account = self.account(*owner)
        account.seq += 1
        account.avail += delta_avail
        account.frozen += delta_frozen
        self.rows_left -= 1
        self.now += self.rng.randrange(self.longest_pause)
        balances = account.avail, account.frozen
        return LedgerEntry(
            *owner, account.seq, delta_avail, delta_frozen, *balances, kind.value, ref, self.now
        )


def _hand_placed() -> Iterator[tuple[int, int, tuple[int, int]]]:
    for user, balances in HAND_PLACED.items():
        for asset, balance in balances.items():
            yield user, asset, balance
