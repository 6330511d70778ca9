"""The second demo exchange: some 5,000 journal entries and fills, always the same.

Amounts are decimals of many scales in whole units, some finer and some larger than what 64 bits hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Context, Decimal, Inexact
from random import Random
from typing import NamedTuple
from uuid import UUID

BTC, USDT, ETH, SHIB, UNREGISTERED = "xbt", "usdt", "eth", "shib", "pepe"


def owner(number: int) -> UUID:
    """The owner of that number, by an id that people can tell from others: 00001001-0000-4000-8000-000000000000."""
    return UUID(f"{number:08d}-0000-4000-8000-000000000000")


SEVERAL_COINS, ONE_COIN, DEEP, UNKNOWN_COIN, MANY_COINS = map(owner, (1001, 1002, 1004, 1005, 1006))
NOBODY = owner(999_999)

ENDS: dict[UUID, dict[str, Decimal]] = {
    SEVERAL_COINS: {
        BTC: Decimal("1.10"),
        ETH: Decimal("0.000000000000000001"),
        SHIB: Decimal("1234567890123456789.123456789012345678"),
        USDT: Decimal("10100000"),
    },
    ONE_COIN: {ETH: Decimal("12.5")},
    DEEP: {USDT: Decimal("1000000.000001")},
    UNKNOWN_COIN: {BTC: Decimal("0.5"), UNREGISTERED: Decimal("1.23456789E+8")},
}
"""Owner -> coin -> balance: how these end. The owner of many coins has COINS of them, one entry each."""
COINS = 500

_GENERATION = 1  # Raise it when other rows come out: loaded data is then known to be of old.
_SEED = 20_251_210
_DEEP_ENTRIES, _SOLO_ENTRIES, _MARKET_ENTRIES = 2_000, 20, 2_300
ENTRIES = COINS + _DEEP_ENTRIES + _MARKET_ENTRIES
"""About how many there are: the closing ones come to them."""
_TRADERS = [SEVERAL_COINS, *map(owner, range(20_001, 20_016))]
_START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
_LONGEST_PAUSE_MS = 10_000_000
# Nothing here needs more digits; a sum that did would be an error, not rounded.
_EXACT = Context(prec=100, traps=[Inexact])


class JournalEntry(NamedTuple):
    """One row of `wallet_journal`, in the order of its columns; booked_at in ms."""

    owner: UUID
    coin: str
    entry_no: int
    amount_change: Decimal
    balance: Decimal
    kind: str
    reference: UUID
    booked_at: int


class Fill(NamedTuple):
    """One row of `fills`; amount is of `coin`, paid of `paid_in`, filled_at in ms."""

    fill_id: UUID
    bought_by: UUID
    sold_by: UUID
    coin: str
    paid_in: str
    amount: Decimal
    paid: Decimal
    filled_at: int


def digest() -> str:
    """Names the data: another when other rows come out."""
    return hashlib.sha256(f"wallets {_GENERATION} {_SEED}".encode()).hexdigest()[:16]


def generate() -> Iterator[JournalEntry | Fill]:
    """Yield all entries and fills in the order of time; a fill comes right after its four entries."""
    yield from _Wallets().life()


class _Wallets:
    def __init__(self) -> None:
        self.rng = Random(_SEED)  # noqa: S311 - demo data that must repeat, no secret
        self.last: dict[tuple[UUID, str], JournalEntry] = {}
        self.now, self.entries = _START_MS, 0

    def life(self) -> Iterator[JournalEntry | Fill]:
        for number in range(1, COINS + 1):
            yield self.entry(MANY_COINS, f"c{number:03d}", self.amount(), "in")
        for _ in range(_DEEP_ENTRIES - 1):
            yield self.transfer(DEEP, USDT)
        while self.entries < ENTRIES:
            yield from self.trade()
            yield self.transfer(self.rng.choice(_TRADERS), self.rng.choice((BTC, ETH, USDT)))
        for whose, coins in ENDS.items():
            for coin, end in coins.items():
                for _ in range(0 if whose == DEEP else _SOLO_ENTRIES):
                    yield self.transfer(whose, coin)
                yield self.close(whose, coin, end)

    def trade(self) -> Iterator[JournalEntry | Fill]:
        """Both sides have what they give; the trade settles in four entries."""
        buyer, seller = self.rng.sample(_TRADERS, 2)
        coin, amount = self.rng.choice((BTC, ETH)), self.amount()
        paid = _EXACT.multiply(amount, Decimal(self.rng.randrange(100, 10_000_000)).scaleb(-2))
        for giver, what, needed in ((buyer, USDT, paid), (seller, coin, amount)):
            missing = _EXACT.subtract(needed, self.balance(giver, what))
            if missing > 0:
                yield self.entry(giver, what, _EXACT.add(missing, self.amount()), "in")
        fill = self.new_id()
        yield self.entry(buyer, USDT, _EXACT.minus(paid), "trade_out", fill)
        yield self.entry(buyer, coin, amount, "trade_in", fill)
        yield self.entry(seller, coin, _EXACT.minus(amount), "trade_out", fill)
        yield self.entry(seller, USDT, paid, "trade_in", fill)
        # Equal amounts in another scale: 1.1 there is 1.10 here.
        wider = _EXACT.multiply(amount, Decimal("1.0"))
        yield Fill(fill, buyer, seller, coin, USDT, wider, paid, self.now)

    def transfer(self, whose: UUID, coin: str) -> JournalEntry:
        """Comes in or leaves, as the balance bears it."""
        amount = self.amount()
        if amount <= self.balance(whose, coin) and self.rng.randrange(2):
            return self.entry(whose, coin, _EXACT.minus(amount), "out")
        return self.entry(whose, coin, amount, "in")

    def close(self, whose: UUID, coin: str, end: Decimal) -> JournalEntry:
        """The entry that brings an owner's coin to this balance."""
        change = _EXACT.subtract(end, self.balance(whose, coin))
        return self.entry(whose, coin, change, "in" if change > 0 else "out")

    def amount(self) -> Decimal:
        """Some positive amount of 0 to 6 decimals, perhaps with zeros at its end."""
        return Decimal(self.rng.randrange(1, 10_000_000)).scaleb(-self.rng.randrange(7))

    def balance(self, whose: UUID, coin: str) -> Decimal:
        last = self.last.get((whose, coin))
        return last.balance if last else Decimal(0)

    def new_id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def entry(
        self, whose: UUID, coin: str, change: Decimal, kind: str, reference: UUID | None = None
    ) -> JournalEntry:
        last = self.last.get((whose, coin))
        self.now += self.rng.randrange(_LONGEST_PAUSE_MS)
        self.entries += 1
        made = JournalEntry(
            whose,
            coin,
            last.entry_no + 1 if last else 1,
            change,
            _EXACT.add(self.balance(whose, coin), change),
            kind,
            reference or self.new_id(),
            self.now,
        )
        self.last[whose, coin] = made
        return made
