"""Following each account's entries one by one: does every entry explain its balances by those before it?

Pure: entries go in, breaks come out. An entry is held against the one before it in its partition, so between two pages
the last one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from balancebook.assets import EXACT
from balancebook.ledger.breaks import Break, Breaks, Problem, identity_of, noted, sizes_of
from balancebook.ledger.entries import SUMS, Entries, EntryReader, Flags, Money, Numbers, plain
from balancebook.ledger.kinds import Kinds
from balancebook.ledger.legs import incomplete_leg
from balancebook.ledger.orders import Orders
from balancebook.ledger.rules import CREDIT, DEBIT, LOCK, REFUND, UNLOCK
from balancebook.ledger.sums import Sums
from balancebook.sketch.columns import hash_of, is_number

FIRST = (0, 1)
"""An account's entries are numbered from 0 or from 1."""


class Follower:
    """Follows the entries of whole partitions, in the order in which the server sends them. `breaks` grow meanwhile.

    kinds: what the ledger calls a kind -> one of rules.MOVEMENTS; the attribute has what stands for it in the column.
    """

    def __init__(self, reader: EntryReader, kinds: Mapping[str, str], settled: int | None = None) -> None:
        self._reader, self._roles = reader, reader.roles
        self.breaks = Breaks()
        self.entries = self.partitions = 0
        self._carry: Entries | None = None
        self.kinds = {_code(text, self._roles): kind for text, kind in kinds.items()}
        self._kinds = Kinds(self.kinds, held=self._roles.has("delta_held"))
        self._of_trades = self._kinds.table({DEBIT: 1, CREDIT: 1}, 0)
        self._of_orders = self._kinds.table({LOCK: 1, UNLOCK: 1, REFUND: 1}, 0)
        self.sums = Sums(reader, self._kinds, settled)
        ordered = self._roles.has("type", "reference", "delta_available", "delta_held")
        self._orders = Orders(self.kinds, self._noted) if ordered else None

    def feed(self, new: Entries) -> None:
        """The next entries."""
        if not len(new):
            return
        self.entries += len(new)
        self._each(new)
        entries = new.after(self._carry) if self._carry is not None else new
        earlier, later = entries.take(slice(0, -1)), entries.take(slice(1, None))
        same = (earlier.account == later.account) & (earlier.asset == later.asset)
        if self._roles.descending:
            self._steps(earlier, later, same)
            self._stand(new, ~same if self._carry is not None else np.concatenate([[True], ~same]))
        else:
            if self._carry is None:
                self._begins(new.take(slice(0, 1)))
            self._steps(later, earlier, same)
            self._stand(earlier, ~same)
        self.partitions += int(np.count_nonzero(~same)) + (self._carry is None)
        if self._orders:
            self._orders.feed(new)
        self._carry = entries.take(slice(len(entries) - 1, None)).trimmed()

    def finish(self) -> None:
        """There are no more entries: the last partition ends."""
        if self._carry is not None:
            if self._roles.descending:
                self._begins(self._carry)
            else:
                self._stand(self._carry, np.ones(1, bool))
        if self._orders:
            self._orders.finish()
        # Orders note what they find here: in a circle, which would keep pages until garbage is collected.
        self._carry = self._orders = None

    def _stand(self, entries: Entries, newest: Flags) -> None:
        standing = entries.take(np.flatnonzero(newest))
        self.sums.stand(standing)
        for balance, _ in self.sums.pairs:
            self._note_missing(Problem.UNSUMMED, standing, balance)

    def _begins(self, first: Entries) -> None:
        """One entry that is the first of its partition."""
        self._steps(first, first, np.zeros(1, bool))

    def _steps(self, now: Entries, before: Entries, same: Flags) -> None:
        """Entries, and what stands before each: the one before it in its partition if it is the same, else nothing,
        unless its number says that something is gone."""
        begun = ~same & ((now.order == FIRST[0]) | (now.order == FIRST[1]))
        step = now.order - before.order
        ones = np.ones_like(now.order)
        self._note(Problem.LATE, now, ~same & ~begun, "order", ones, now.order)
        self._note(Problem.GAP, now, same & (step != 1), "order", before.order + 1, now.order)
        for balance, delta in SUMS:
            if self._roles.has(balance, delta):
                self._adds_up(now, before, same, same | begun, balance, delta)
        if self._roles.has("time"):
            moments, former = now.other["time"], before.other["time"]
            known = same & ~(now.missing["time"] | before.missing["time"])
            self._note(Problem.TIME, now, known & (moments < former), "time", former, moments)

    def _adds_up(
        self, now: Entries, before: Entries, same: Flags, asked: Flags, balance: str, delta: str
    ) -> None:
        stood, found, moved = before.money[balance], now.money[balance], now.money[delta]
        stood = np.where(same, stood, np.zeros_like(stood))
        null = now.missing[balance] | now.missing[delta]
        for role in (balance, delta):
            self._note_missing(Problem.MISSING, now, role)
        with localcontext(EXACT), np.errstate(over="ignore"):
            expected = stood + moved
            over = _overflows(stood, moved, expected)
            wrong = np.asarray(expected != found, bool)
        self.breaks.signs[balance].signed |= bool(over[asked].any())
        self._signed(now, stood, asked & ~(same & before.missing[balance]), balance, delta)
        known = asked & ~null & ~(same & before.missing[balance])
        self._note(Problem.SUM, now, known & wrong & ~over, balance, expected, found)
        if over.any():
            exact = stood.astype(object) + moved.astype(object)
            self._note(Problem.OVERFLOW, now, known & over, balance, exact, found)

    def _signed(self, now: Entries, stood: Money, asked: Flags, balance: str, delta: str) -> None:
        """Note whether the amounts have signs: in a ledger that has them, that is settled soon."""
        signs, moved = self.breaks.signs[balance], now.money[delta]
        signs.signed |= bool(np.asarray(moved < 0, bool).any() or now.missing[balance].any())
        if signs.signed or not asked.any():
            return
        expected = None
        if self._roles.has("type"):
            expected = self._kinds.signs(delta, self._kinds.places(now.other["type"]))[asked]
        with localcontext(EXACT), np.errstate(over="ignore"):
            difference = (now.money[balance] - stood)[asked]
            signs.see(difference, moved[asked], now.missing[delta][asked], expected)

    def _each(self, entries: Entries) -> None:
        """What an entry says by itself."""
        for balance in ("available", "held"):
            if self._roles.has(balance):
                found = entries.money[balance]
                negative = np.asarray(found < 0, bool) & ~entries.missing[balance]
                self._note(Problem.NEGATIVE, entries, negative, balance, np.zeros_like(found), found)
                self._note_missing(Problem.NO_BALANCE, entries, balance)
        if self._roles.has("time"):
            self._note_missing(Problem.NO_TIME, entries, "time")
        places = None
        if self._roles.has("type"):
            known = self._kinds.places(entries.other["type"])
            places = np.where(entries.missing["type"], self._kinds.unknown, known)
            self._movements(entries, places)
        self.sums.moved(entries, places)
        unsummed = [delta for _, delta in self.sums.pairs]
        unsummed += ["type"] if self.sums.pairs and places is not None else []
        for role in unsummed:
            self._note_missing(Problem.UNSUMMED, entries, role)

    def _movements(self, entries: Entries, places: Numbers) -> None:
        kinds = self._kinds
        self._note(Problem.TYPE, entries, places == kinds.unknown, "type", None, entries.other["type"])
        if not self._roles.has("delta_available"):
            return
        available, known = entries.money["delta_available"], ~entries.missing["delta_available"]
        wrong = known & kinds.otherwise("delta_available", places, available)
        self._note_missing(Problem.NO_AMOUNT, entries, "delta_available", places != kinds.unknown)
        if self._roles.has("delta_held"):
            held, held_known = entries.money["delta_held"], ~entries.missing["delta_held"]
            wrong |= held_known & kinds.otherwise("delta_held", places, held)
            with localcontext(EXACT), np.errstate(over="ignore"):
                unequal = np.asarray(available + held != 0, bool)
            wrong |= known & held_known & kinds.keeps_sum(places) & unequal
            self._note_missing(Problem.NO_AMOUNT, entries, "delta_held", places != kinds.unknown)
        self._note(Problem.SIGNS, entries, wrong, "delta_available", None, available)
        if self._orders:
            self._note_missing(
                Problem.NO_REFERENCE, entries, "reference", self._of_orders[places].astype(bool)
            )
        if self._roles.has("reference"):
            which = incomplete_leg(entries) & self._of_trades[places].astype(bool)
            self._note(Problem.LEG_CELL, entries, which, "entry of a trade", None, available)

    def _note_missing(
        self, problem: Problem, entries: Entries, role: str, among: Flags | None = None
    ) -> None:
        """Note the entries, among all or some, whose cell of that role is missing."""
        missing = entries.missing[role]
        which = missing if among is None else missing & among
        found = entries.money[role] if role in entries.money else entries.other[role]
        self._note(problem, entries, which, role, None, found)

    def _note(
        self,
        problem: Problem,
        entries: Entries,
        which: Flags,
        what: str,
        expected: Money | None,
        found: Money,
    ) -> None:
        if not which.any():
            return
        places = np.flatnonzero(which)
        wanted = expected[places] if expected is not None else None
        self._noted(
            problem, entries.take(places), what, wanted, found[places], _distance(wanted, found[places])
        )

    def _noted(
        self,
        problem: Problem,
        entries: Entries,
        what: str,
        expected: Money | None,
        found: Money,
        sizes: npt.NDArray[np.float64],
    ) -> None:
        hashed = [expected] if expected is not None else []
        role = np.full(len(entries), hash_of(what.encode()), np.int64)
        identities = identity_of(entries.account, entries.asset, entries.order, role, found, *hashed)
        times = entries.other.get("time")

        def made(place: int) -> Break:
            return Break(
                problem,
                self._reader.key(entries, place),
                self._missing(entries, place) if problem is Problem.LEG_CELL else what,
                None if expected is None else plain(expected[place]),
                self._found(problem, entries, what, found, place),
                self._reader.time(entries, place),
                float(sizes[place]),
                int(identities[place]),
            )

        noted(self.breaks, problem, identities, sizes, times, made)

    def _found(self, problem: Problem, entries: Entries, what: str, found: Money, place: int) -> Any:
        """What stands there, or what is there instead of it; None for nothing."""
        if problem is Problem.LEG_CELL:
            return None
        if what == "type" or (what in entries.missing and entries.missing[what][place]):
            return self._reader.decoded(entries, place, what)
        return plain(found[place])

    def _missing(self, entries: Entries, place: int) -> str:
        roles = [
            role
            for role in ("reference", "delta_available", "delta_held")
            if role in entries.missing and entries.missing[role][place]
        ]
        return f"trade {self._reader.decoded(entries, place, 'reference')}: {', '.join(roles)}"


def _overflows(before: Money, moved: Money, total: Money) -> Flags:
    """Whether a sum of int64 has wrapped around."""
    if total.dtype == object:
        return np.zeros(len(total), bool)
    return np.asarray(((before ^ total) & (moved ^ total)) < 0, bool)


def _distance(expected: Money | None, found: Money) -> npt.NDArray[np.float64]:
    """How far from what was expected: for their order alone, so a float will do."""
    if expected is None:
        return sizes_of(found)
    if object in (found.dtype, expected.dtype):
        with localcontext(EXACT):
            return sizes_of(np.asarray(found.astype(object) - expected.astype(object), object))
    distance: npt.NDArray[np.float64] = np.abs(found.astype(float) - expected.astype(float))
    return distance


def _code(text: str, roles: Any) -> int:
    """What stands for a type's text in the column."""
    if "type" in roles.at and is_number(roles.types[roles.at["type"]]):
        return int(text)
    return hash_of(text.encode())
