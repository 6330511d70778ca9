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

from balancebook.ledger.breaks import Break, Breaks, Problem, identity_of, noted
from balancebook.ledger.entries import EXACT, Entries, EntryReader, Flags, Money, Numbers, plain
from balancebook.ledger.orders import Orders
from balancebook.ledger.rules import MOVEMENTS
from balancebook.sketch.columns import hash_of, is_number

FIRST = (0, 1)
"""An account's entries are numbered from 0 or from 1."""
_SUMS = (("available", "delta_available"), ("held", "delta_held"))


class Follower:
    """Follows the entries of whole partitions, in the order in which the server sends them. `breaks` grow meanwhile.

    kinds: what the ledger calls a kind -> one of rules.MOVEMENTS; the attribute has what stands for it in the column.
    """

    def __init__(self, reader: EntryReader, kinds: Mapping[str, str]) -> None:
        self._reader, self._roles = reader, reader.roles
        self.breaks = Breaks()
        self.entries = self.partitions = 0
        self._carry: Entries | None = None
        self.kinds = {_code(text, self._roles): kind for text, kind in kinds.items()}
        self._orders = (
            Orders(self.kinds, self._noted) if self._roles.has("type", "reference", "held") else None
        )

    def feed(self, new: Entries) -> None:
        """The next entries."""
        if not len(new):
            return
        self.entries += len(new)
        self._each(new)
        entries = new.after(self._carry) if self._carry is not None else new
        same = (entries.account[:-1] == entries.account[1:]) & (entries.asset[:-1] == entries.asset[1:])
        here, others = np.flatnonzero(same), np.flatnonzero(~same)
        last = len(entries) - 1
        if self._roles.descending:
            later, earlier, firsts = here, here + 1, others
        else:
            later, earlier, firsts = here + 1, here, others + 1
            if self._carry is None:
                firsts = np.concatenate([[0], firsts])
        self._pairs(entries, later, earlier)
        self._beginnings(entries.take(firsts))
        self.partitions += len(others) + (self._carry is None)
        if self._orders:
            self._orders.feed(new)
        self._carry = entries.take(slice(last, last + 1)).trimmed()

    def finish(self) -> None:
        """There are no more entries: the last partition ends."""
        if self._carry is not None and self._roles.descending:
            self._beginnings(self._carry)
        if self._orders:
            self._orders.finish()
        self._carry = None

    def _pairs(self, entries: Entries, later: Numbers, earlier: Numbers) -> None:
        now, before = entries.take(later), entries.take(earlier)
        for balance, delta in _SUMS:
            if self._roles.has(balance, delta):
                self._adds_up(now, before.money[balance], before.missing[balance], balance, delta)
        missing = now.order - before.order - 1
        gaps = missing != 0
        self._note(
            Problem.GAP, now, gaps, "order", before.order + 1, now.order, np.abs(missing.astype(float))
        )
        if self._roles.has("time"):
            moments, former = now.other["time"], before.other["time"]
            known = ~(now.missing["time"] | before.missing["time"])
            self._note(Problem.TIME, now, known & (moments < former), "time", former, moments)

    def _beginnings(self, firsts: Entries) -> None:
        """The first entries of partitions: nothing was before them, unless their number says that something is gone."""
        begun = np.isin(firsts.order, FIRST)
        late = firsts.order.astype(float)
        self._note(Problem.LATE, firsts, ~begun, "order", np.ones_like(firsts.order), firsts.order, late)
        really = firsts.take(np.flatnonzero(begun))
        for balance, delta in _SUMS:
            if self._roles.has(balance, delta):
                nothing = np.zeros_like(really.money[balance])
                self._adds_up(really, nothing, np.zeros(len(really), bool), balance, delta)

    def _adds_up(self, now: Entries, before: Money, unknown: Flags, balance: str, delta: str) -> None:
        found, moved = now.money[balance], now.money[delta]
        null = now.missing[balance] | now.missing[delta]
        self._note(Problem.MISSING, now, null, balance, before, found)
        with localcontext(EXACT), np.errstate(over="ignore"):
            expected = before + moved
            over = _overflows(before, moved, expected)
            wrong = np.asarray(expected != found, bool)
        known = ~(null | unknown)
        self._note(Problem.SUM, now, known & wrong & ~over, balance, expected, found)
        if over.any():
            exact = before.astype(object) + moved.astype(object)
            self._note(Problem.OVERFLOW, now, known & over, balance, exact, found)

    def _each(self, entries: Entries) -> None:
        """What an entry says by itself."""
        for balance in ("available", "held"):
            if self._roles.has(balance):
                found = entries.money[balance]
                negative = np.asarray(found < 0, bool) & ~entries.missing[balance]
                self._note(Problem.NEGATIVE, entries, negative, balance, np.zeros_like(found), found)
        if self._roles.has("type"):
            self._movements(entries)

    def _movements(self, entries: Entries) -> None:
        types, unknown = entries.other["type"], np.ones(len(entries), bool)
        signs = {
            role: np.sign(entries.money[role]).astype(np.int64)
            for role in ("delta_available", "delta_held")
            if self._roles.has(role)
        }
        wrong = np.zeros(len(entries), bool)
        for code, kind in self.kinds.items():
            of_kind = types == code
            unknown &= ~of_kind
            wrong |= of_kind & self._moves_otherwise(entries, kind, signs)
        unknown &= ~entries.missing["type"]
        self._note(Problem.TYPE, entries, unknown, "type", None, types)
        self._note(Problem.SIGNS, entries, wrong, "delta_available", None, entries.money["delta_available"])

    def _moves_otherwise(self, entries: Entries, kind: str, signs: Mapping[str, Numbers]) -> Flags:
        movement, there = MOVEMENTS[kind], self._roles.has("delta_available")
        if not there:
            return np.zeros(len(entries), bool)
        known = ~entries.missing["delta_available"]
        if "delta_held" not in signs:
            # Without held balances a reserve is not told from what is free.
            wanted = {"deposit": 1, "withdraw": -1, "trade_debit": -1, "trade_credit": 1}.get(kind)
            return known & (signs["delta_available"] != wanted) if wanted else np.zeros(len(entries), bool)
        known &= ~entries.missing["delta_held"]
        wrong = (signs["delta_available"] != movement.available) | (signs["delta_held"] != movement.held)
        if movement.keeps_sum:
            with localcontext(EXACT), np.errstate(over="ignore"):
                total = entries.money["delta_available"] + entries.money["delta_held"]
            wrong |= np.asarray(total != 0, bool)
        told: Flags = known & wrong
        return told

    def _note(
        self,
        problem: Problem,
        entries: Entries,
        which: Flags,
        what: str,
        expected: Money | None,
        found: Money,
        sizes: npt.NDArray[np.float64] | None = None,
    ) -> None:
        places = np.flatnonzero(which)
        if not len(places):
            return
        wanted = expected[places] if expected is not None else None
        size = sizes[places] if sizes is not None else _distance(wanted, found[places])
        self._noted(problem, entries.take(places), what, wanted, found[places], size)

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
            null = what in entries.missing and entries.missing[what][place]
            shown = self._text(entries, place) if what == "type" else plain(found[place])
            return Break(
                problem,
                self._reader.key(entries, place),
                what,
                None if expected is None else plain(expected[place]),
                None if null else shown,
                self._reader.time(entries, place),
                float(sizes[place]),
                int(identities[place]),
            )

        noted(self.breaks, problem, identities, sizes, times, made)

    def _text(self, entries: Entries, place: int) -> str:
        cell = entries.raw(place, self._roles.at["type"])
        return (cell or b"").decode(errors="replace")


def _overflows(before: Money, moved: Money, total: Money) -> Flags:
    """Whether a sum of int64 has wrapped around."""
    if total.dtype == object:
        return np.zeros(len(total), bool)
    return np.asarray(((before ^ total) & (moved ^ total)) < 0, bool)


def _distance(expected: Money | None, found: Money) -> npt.NDArray[np.float64]:
    """How far from what was expected: for their order alone, so a float will do."""
    there = found.astype(float)
    distance: npt.NDArray[np.float64] = np.abs(there if expected is None else there - expected.astype(float))
    return distance


def _code(text: str, roles: Any) -> int:
    """What stands for a type's text in the column."""
    if "type" in roles.at and is_number(roles.types[roles.at["type"]]):
        return int(text)
    return hash_of(text.encode())
