"""Sums by asset: what came in and went out, what trades moved, and what the newest balances come to. Exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import localcontext
from typing import Any

import numpy as np

from balancebook.assets import EXACT, exact_sum
from balancebook.ledger.breaks import Break, Hashes, Problem, identity_of, size_of
from balancebook.ledger.entries import SUMS, Entries, EntryReader, Flags, Money, Numbers
from balancebook.ledger.kinds import Kinds
from balancebook.ledger.rules import CREDIT, DEBIT, DEPOSIT, WITHDRAW
from balancebook.sketch.machine_code import Kernel

IN, OUT, TRADED, OTHER, FRESH, NEWEST = range(6)
_PLACES = 6
TRADES = "trades"
_WHAT = {DEPOSIT: IN, WITHDRAW: OUT, DEBIT: TRADED, CREDIT: TRADED}
_TOTALS = Kernel("columns_kernels.totals", "i8[:] i8[:] i8[:] i8[:] i8[:,:] i8[:,:]")


@dataclass
class AssetSums:
    """What the entries of one asset come to, available and held together, in the store's unit: int, or Decimal.

    moved: by IN (deposits), OUT (withdrawals, negative), TRADED, OTHER (locks, unlocks, refunds, unknown types), FRESH
    (trades of which other entries may have come after they were looked for) and NEWEST (the newest balances of all
    accounts). missing: how many amounts they lack; untyped: how many entries are under OTHER only since they have no
    type, or are of trades and have no time. trades: how many are under TRADED. latest: a time of the asset (ms). fresh:
    how many entries are under FRESH. Of the last two only the largest and the sum over all assets mean something.
    """

    asset: Any
    moved: list[Any] = field(default_factory=lambda: [0] * _PLACES)
    missing: int = 0
    untyped: int = 0
    trades: int = 0
    latest: int | None = None
    fresh: int = 0

    @property
    def deltas(self) -> Any:
        """The sum of all that entries moved."""
        return exact_sum(self.moved[:NEWEST])

    def add(self, other: AssetSums, sign: int = 1) -> None:
        """Add those of another part of the ledger, or take them away."""
        self.moved = [
            exact_sum((mine, theirs if sign > 0 else exact_negative(theirs)))
            for mine, theirs in zip(self.moved, other.moved, strict=True)
        ]
        self.missing += sign * other.missing
        self.untyped += sign * other.untyped
        self.trades += sign * other.trades
        self.fresh += sign * other.fresh
        self.latest = max((each for each in (self.latest, other.latest) if each is not None), default=None)


class Sums:
    """Sums entries by asset. by_code: what they come to so far, by what stands for the asset in the column.

    pairs: the balances, and what moves them, that are summed: those that the ledger has both columns of. settled: the
    entries of a trade lie in partitions that are read at different moments; those that are newer than this (ms) are
    FRESH. Without it, or in a ledger without times, none is.
    """

    def __init__(self, reader: EntryReader, kinds: Kinds, settled: int | None = None) -> None:
        self._reader, self._settled = reader, settled
        self._what = kinds.table(_WHAT, OTHER)
        self.pairs = tuple(pair for pair in SUMS if reader.roles.has(*pair))
        self.by_code: dict[int, AssetSums] = {}

    def moved(self, entries: Entries, places: Numbers | None) -> None:
        """Add what they move. places: of their kinds, if they have types."""
        what = np.full(len(entries), OTHER, np.int64) if places is None else self._what[places]
        if self.pairs and places is not None:
            what = self._by_time(entries, what)
        for _, delta in self.pairs:
            self._add(entries, what, entries.money[delta])
            self._lacking(entries, entries.missing[delta])
        if self.pairs and places is not None:
            for row in np.flatnonzero(entries.missing["type"]).tolist():
                self._of(int(entries.asset[row]), entries, row).untyped += 1

    def _by_time(self, entries: Entries, what: Numbers) -> Numbers:
        """The same, of trades by their times; counts them."""
        traded, times = what == TRADED, entries.other.get("time")
        if times is not None and self._settled is not None:
            fresh = np.flatnonzero(traded & (times > self._settled))
            if len(fresh):
                what[fresh] = FRESH
                self._of(int(entries.asset[fresh[0]]), entries, int(fresh[0])).fresh += len(fresh)
            for row in np.flatnonzero(traded & entries.missing["time"]).tolist():
                self._of(int(entries.asset[row]), entries, row).untyped += 1
        rows = np.flatnonzero(what == TRADED)
        codes, firsts, counts = np.unique(entries.asset[rows], return_index=True, return_counts=True)
        for code, first, count in zip(codes.tolist(), firsts.tolist(), counts.tolist(), strict=True):
            self._of(code, entries, int(rows[first])).trades += count
        if times is None:
            return what
        if len(dated := np.flatnonzero(~entries.missing["time"])):
            row = int(dated[np.argmax(times[dated])])
            sums = self._of(int(entries.asset[row]), entries, row)
            sums.latest = max(int(times[row]), int(times[row]) if sums.latest is None else sums.latest)
        return what

    def stand(self, entries: Entries) -> None:
        """Add their balances: they are the newest of their accounts."""
        what = np.full(len(entries), NEWEST, np.int64)
        for balance, _ in self.pairs:
            self._add(entries, what, entries.money[balance])
            self._lacking(entries, entries.missing[balance])

    def _lacking(self, entries: Entries, missing: Flags) -> None:
        for row in np.flatnonzero(missing).tolist():
            self._of(int(entries.asset[row]), entries, row).missing += 1

    def _add(self, entries: Entries, what: Numbers, amounts: Money) -> None:
        if amounts.dtype == object:
            with localcontext(EXACT):
                for row, (code, place, amount) in enumerate(
                    zip(entries.asset.tolist(), what.tolist(), amounts, strict=True)
                ):
                    self._of(code, entries, row).moved[place] += amount
            return
        first, high, low = _totals(*map(np.ascontiguousarray, (entries.asset, what, amounts)))
        for row, highs, lows in zip(first.tolist(), high.tolist(), low.tolist(), strict=True):
            sums = self._of(int(entries.asset[row]), entries, row)
            sums.moved = [
                mine + (upper << 32) + lower
                for mine, upper, lower in zip(sums.moved, highs, lows, strict=True)
            ]

    def _of(self, code: int, entries: Entries, row: int) -> AssetSums:
        if code not in self.by_code:
            self.by_code[code] = AssetSums(self._reader.key(entries, row)[1])
        return self.by_code[code]


def add_sums(total: dict[int, AssetSums], more: Mapping[int, AssetSums], sign: int = 1) -> None:
    """Add the sums of another part of a ledger, or take them away."""
    for code, sums in more.items():
        total.setdefault(code, AssetSums(sums.asset)).add(sums, sign)


@dataclass(frozen=True, slots=True)
class Uneven:
    """An asset that is not conserved in one respect, `what`. code: what stands for it in the column."""

    code: int
    asset: Any
    what: str
    expected: Any
    found: Any
    trades: int

    @property
    def apart(self) -> Any:
        """How much more was found."""
        return exact_sum((self.found, exact_negative(self.expected)))

    @property
    def identity(self) -> Hashes:
        """Of one element: equal in two readings if they see the same, of as many trades."""
        numbers = np.array([self.code]), np.array([self.trades])
        return identity_of(*numbers, np.array([self.what], object), np.array([self.apart], object))

    def named(self, problem: Problem) -> Break:
        """It, in full."""
        size, identity = size_of(self.apart), int(self.identity[0])
        return Break(
            problem, (None, self.asset, None), self.what, self.expected, self.found, None, size, identity
        )


def uneven(sums: Mapping[int, AssetSums], *, by_type: bool, held: bool, timed: bool) -> Iterator[Uneven]:
    """The assets of a whole ledger that are not conserved.

    The newest balances of all accounts are what all entries moved. If entries have types, trades move nothing; nor, if
    there are held balances too, does what stays within an account: so that this is what came in less what went out.
    Sums that lack an amount, or a type, are not judged. `timed`: whether entries have times. Without them two sums over
    trades are alike only if they are of as many trades: in a ledger that is written to, each is of another moment.
    """
    for code, each in sums.items():
        if each.missing:
            continue
        typed = by_type and not each.untyped
        asked = [("newest balances", each.deltas, each.moved[NEWEST], 0)]
        asked += [(TRADES, 0, each.moved[TRADED], 0 if timed else each.trades)] if typed else []
        asked += [("other entries", 0, each.moved[OTHER], 0)] if typed and held else []
        for what, expected, found, trades in asked:
            if expected != found:
                yield Uneven(code, each.asset, what, expected, found, trades)


def exact_negative(amount: Any) -> Any:
    """The amount with the other sign, not rounded."""
    with localcontext(EXACT):
        return -amount


def _totals(assets: Numbers, what: Numbers, amounts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """For each asset the row where it first is, and by `what` the sums of the upper and of the lower halves of its
    amounts."""
    runs = int(np.count_nonzero(assets[1:] != assets[:-1])) + 1
    first = np.zeros(runs, np.int64)
    high, low = (np.zeros((runs, _PLACES), np.int64) for _ in range(2))
    count = _TOTALS(assets, what, amounts, first, high, low)
    return first[:count], high[:count], low[:count]
