"""Settled trades against ledger entries: each trade is four entries, its legs, and each such entry is of a trade.

The two tables do not lie together (a trade by its id, an entry by its account), so both are folded, leg by leg, into
one sketch: the trades' legs are added, the entries' taken away, and what is left are legs that one side alone has.

| leg    | account | asset | available     | held          |
|--------|---------|-------|---------------|---------------|
| debit  | buyer   | quote | 0             | -quote amount |
| credit | buyer   | base  | +quantity     | 0             |
| debit  | seller  | base  | 0             | -quantity     |
| credit | seller  | quote | +quote amount | 0             |

A ledger without held amounts has the debits in available. Over its legs each asset of a trade sums to zero, so a trade
with exactly its legs conserves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from balancebook.assets import EXACT
from balancebook.ledger.breaks import Hashes, identity_of
from balancebook.ledger.entries import Entries, Flags, Money, Numbers, is_one_of
from balancebook.ledger.rules import CREDIT, DEBIT
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import Sketch

COLUMNS = ("trade", "account", "asset", "available", "held", "nth")
LAYOUT = RowLayout((8,) * len(COLUMNS), len(COLUMNS), (0,), (0,))
_START = 8
_DEBITS = (0, 2)
_MONEY, _OTHERS = ("delta_available", "delta_held"), ("type", "reference", "time")
# Of a trade's cells (id, buyer, seller, base, quote, quantity, amount) those that each of its legs has.
_CELLS_OF_LEG = ([0, 1, 4, 6], [0, 1, 3, 5], [0, 2, 3, 5], [0, 2, 4, 6])


@dataclass(frozen=True, slots=True)
class Legs:
    """Legs, one in a row of `codes`, int64 (n, 6): COLUMNS. Amounts that are no int64 are hashes of their text.

    nth: how many equal ones come before it in its partition, so that an entry that is there twice is not taken for one.
    place: the row of the entries that it is of; of trades, see legs_of_trades.
    """

    codes: Numbers
    place: Numbers

    def __len__(self) -> int:
        return len(self.codes)

    def fold(self, sketch: Sketch) -> None:
        """Add them to a sketch of LAYOUT."""
        if not len(self):
            return
        cells = np.empty(self.codes.shape, np.dtype([("length", ">i4"), ("value", ">i8")]))
        cells["length"], cells["value"] = 8, self.codes
        body = np.empty(_START + cells.nbytes, np.uint8)
        body[:_START] = 0
        body[_START:] = cells.reshape(-1).view(np.uint8)
        sketch.fold(body, _START, len(self))


class EntryLegs:
    """Takes the entries of whole partitions as they come, and gives the legs among them.

    Of the partition that may go on it keeps an identity for each leg, eight bytes, and no entry.
    """

    def __init__(self, kinds: Mapping[int, str], *, held: bool, by_text: bool) -> None:
        self._codes = np.array([code for code, kind in kinds.items() if kind in (DEBIT, CREDIT)], np.int64)
        self._held, self._by_text = held, by_text
        self._open: tuple[int, int] | None = None
        self._before: Hashes = np.empty(0, np.uint64)

    def feed(self, new: Entries) -> tuple[Legs, Entries]:
        """The legs among the next entries, at least one, and the entries they are of."""
        ours = is_one_of(new.other["type"], self._codes) & ~new.missing["type"] & ~incomplete_leg(new)
        some = new.only(_MONEY, _OTHERS).take(np.flatnonzero(ours))
        columns = [
            some.other["reference"],
            some.account,
            some.asset,
            as_code(some.money["delta_available"], by_text=self._by_text),
            as_code(some.money["delta_held"], by_text=self._by_text)
            if self._held
            else np.zeros(len(some), np.int64),
        ]
        keys = identity_of(*columns)
        # They hold account and asset: what came before in another partition is equal to none.
        nth = _nth(keys) + _count(self._before, keys)
        self._keep(some, keys, (int(new.account[-1]), int(new.asset[-1])))
        return Legs(np.column_stack([*columns, nth]), np.arange(len(some))), some

    def _keep(self, some: Entries, keys: Hashes, last: tuple[int, int]) -> None:
        """Keep the identities of the last partition, which may go on, in their order."""
        if last != self._open:
            self._open, self._before = last, np.empty(0, np.uint64)
        fresh = np.sort(keys[(some.account == last[0]) & (some.asset == last[1])])
        self._before = np.insert(self._before, np.searchsorted(self._before, fresh), fresh)


def incomplete_leg(entries: Entries) -> Flags:
    """Which entries, if they are of trades, cannot be compared with any: a null is not zero, nor the trade 0."""
    found: Flags = np.zeros(len(entries), bool)
    for role in ("reference", *_MONEY):
        found |= entries.missing.get(role, False)
    return found


def _count(ordered: Hashes, keys: Hashes) -> Numbers:
    """How many of the ordered ones are equal to each of the keys."""
    found: Numbers = np.searchsorted(ordered, keys, "right") - np.searchsorted(ordered, keys, "left")
    return found


def _nth(keys: Hashes) -> Numbers:
    """How many equal keys come before each."""
    nth = np.zeros(len(keys), np.int64)
    if len(nth) < 2:
        return nth
    ordered = np.sort(keys)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    if new.all():
        return nth
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(new)
    nth[order] = np.arange(len(ordered)) - np.repeat(starts, np.diff([*starts, len(ordered)]))
    return nth


@dataclass(frozen=True, slots=True)
class Trades:
    """Some settled trades by column: int64 numbers or codes; amounts int64, or objects. there: which cells they have,
    (trades, 7), in the order of the columns."""

    trade: Numbers
    buyer: Numbers
    seller: Numbers
    base: Numbers
    quote: Numbers
    quantity: Money
    amount: Money
    there: Flags

    def __len__(self) -> int:
        return len(self.trade)


def legs_of_trades(trades: Trades, *, held: bool, by_text: bool) -> Legs:
    """The four legs of each, less those of which a cell is missing: first all buyers' debits, then their credits, then
    the sellers' debits and credits; `place` is the place among all four times len(trades).

    held: whether the ledger has held amounts; by_text: see as_code.
    """
    count = len(trades)
    codes = np.zeros((4 * count, len(COLUMNS)), np.int64)
    none = as_code(np.zeros(count, np.int64), by_text=by_text)
    sides = (
        (trades.buyer, trades.quote, _less(trades.amount)),
        (trades.buyer, trades.base, trades.quantity),
        (trades.seller, trades.base, _less(trades.quantity)),
        (trades.seller, trades.quote, trades.amount),
    )
    for number, (account, asset, amount) in enumerate(sides):
        rows, moved = codes[number * count : (number + 1) * count], as_code(amount, by_text=by_text)
        rows[:, 0], rows[:, 1], rows[:, 2] = trades.trade, account, asset
        if held:
            debit = number in _DEBITS
            rows[:, 3], rows[:, 4] = (none, moved) if debit else (moved, none)
        else:
            rows[:, 3] = moved
    there = np.concatenate([trades.there[:, cells].all(axis=1) for cells in _CELLS_OF_LEG])
    place = np.flatnonzero(there)
    if len(place) < len(codes):
        codes = codes[place]
    # Of one row only a user who trades with himself has equal legs.
    if (trades.buyer == trades.seller).any():
        codes[:, -1] = count_equal(codes)
    return Legs(codes, place)


def count_equal(codes: Numbers) -> Numbers:
    """The `nth` of each of these legs: how many equal ones come before it."""
    return _nth(_without_nth(codes))


def _without_nth(codes: Numbers) -> Hashes:
    return identity_of(*(np.ascontiguousarray(codes[:, column]) for column in range(len(COLUMNS) - 1)))


def without_pairs(lost: Numbers, spare: Numbers) -> tuple[Numbers, Numbers]:
    """The legs that are left if each lost one is taken for an equal spare one, whatever their `nth`.

    Rows of one trade, its fills, may lie in different partitions: then their equal legs were not counted.
    """
    mine, theirs = _without_nth(lost), _without_nth(spare)
    places = _nth(mine), _nth(theirs)
    paired = [
        _nth_of_each(one, other, place)
        for one, other, place in ((mine, theirs, places[0]), (theirs, mine, places[1]))
    ]
    return lost[~paired[0]], spare[~paired[1]]


def _nth_of_each(keys: Hashes, others: Hashes, nth: Numbers) -> Flags:
    """Which keys have a partner: there are more equal ones among the others than come before it."""
    found: Flags = nth < _count(np.sort(others), keys)
    return found


def _less(amount: Money) -> Money:
    with localcontext(EXACT):
        less: Money = -amount
    return less


def as_code(amount: Money, *, by_text: bool) -> Numbers:
    """An amount as one word: itself, or by its text what stands for its value (1, 1.0 and 1.00 are one)."""
    if not by_text:
        return amount
    texts = np.empty(len(amount), object)
    texts[:] = [_normal(each) for each in amount]
    code: Numbers = identity_of(texts).view(np.int64)
    return code


def _normal(amount: Any) -> str:
    sign, digits, exponent = Decimal(amount if isinstance(amount, Decimal) else int(amount)).as_tuple()
    text = "".join(map(str, digits))
    kept = text.rstrip("0")
    return f"{'-' * sign}{kept}E{int(exponent) + len(text) - len(kept)}" if kept else "0"


def among(codes: Numbers, wanted: npt.NDArray[np.uint64]) -> Flags:
    """Which legs are among those with these identities."""
    found: Flags = np.isin(leg_identities(codes), wanted)
    return found


def leg_identities(codes: Numbers) -> npt.NDArray[np.uint64]:
    """One word for each leg."""
    return identity_of(*(np.ascontiguousarray(codes[:, column]) for column in range(codes.shape[1])))
