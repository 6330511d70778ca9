"""Breaks of the ledger itself, written as an application would write them: the view follows, and is no help.

Each damages the newest entries of an account of its own, so that exactly that entry cannot be explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from balancebook.demo.faults.inject import Statement, delete, insert, update
from balancebook.demo.faults.kinds import FaultError
from balancebook.demo.faults.target import Key, Target, present, primary_key, rank_of, require_enough
from balancebook.profile import LedgerSchema
from balancebook.store.names import quote

Entry = dict[str, Any]
# No trade has such an id: the demo counts from 1.
_NO_TRADE = 10**15


@dataclass(frozen=True, slots=True)
class Break:
    """One break: the key, in the view, of the entry that cannot be explained, and what to write into the base."""

    key: Key
    statements: tuple[Statement, ...]


def plan_breaks(target: Target, kind: str, rows: int, seed: int, where: Mapping[str, Any]) -> list[Break]:
    """`rows` breaks of a kind, of accounts drawn by `seed` among those that equal `where`.

    Raises FaultError if the base has no columns for it, UsageError if too few accounts can carry it.
    """
    maker = _Maker(target)
    make = maker.of(kind)
    found: list[Break] = []
    for newest in _newest_entries(target, seed, where):
        if len(found) == rows:
            break
        if made := make(newest, len(found)):
            found.append(made)
    require_enough(len(found), rows, f"accounts of {target.base.cql_name}", kind)
    return found


def _newest_entries(target: Target, seed: int, where: Mapping[str, Any]) -> Iterator[list[Entry]]:
    """The two newest entries of each account, the newest first; one, if it has no other."""
    partition = [column.name for column in target.base.partition_key]
    names = [column.name for column in target.base.columns]
    given = " AND ".join(f"{quote(name)} = ?" for name in partition)
    cql = (
        f"SELECT {', '.join(map(quote, names))} FROM {target.base.cql_name} WHERE {given} "
        f"ORDER BY {quote(target.profile.ledger.order)} DESC LIMIT 2"
    )
    for key in sorted(target.partitions(), key=rank_of(seed)):
        named = dict(zip(partition, key, strict=True))
        if all(named.get(name, value) == value for name, value in where.items()):
            yield [dict(zip(names, row, strict=True)) for row in target.reader.rows(cql, key)]


class _Maker:
    """Makes a break out of an account's newest entries, or None if they cannot carry it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.ledger: LedgerSchema = target.profile.ledger
        self.names: dict[str, str] = {kind: name for name, kind in self.ledger.types}

    def of(self, kind: str) -> Callable[[list[Entry], int], Break | None]:
        needed, make = {
            "ledger_gap": ((), self.gap),
            "ledger_sum": ((), self.wrong_sum),
            "ledger_negative": (("delta_available", "type"), self.negative),
            "ledger_transition": (("delta_available", "type"), self.transition),
            "ledger_time": (("time",), self.back_in_time),
            "ledger_trade": (("delta_available", "type", "reference"), self.no_trade),
        }[kind]
        lacking = [role for role in needed if getattr(self.ledger, role) not in self.target.types]
        if lacking:
            raise FaultError(f"{self.target.base.cql_name} has no column for {', '.join(lacking)}.")
        return make

    def gap(self, newest: list[Entry], _number: int) -> Break | None:
        """The newest entry, one place further on."""
        if len(newest) < 2:
            return None
        moved = newest[0] | {self.ledger.order: newest[0][self.ledger.order] + 1}
        return self.made(moved, delete(self.key(newest[0])), insert(present(moved)))

    def wrong_sum(self, newest: list[Entry], _number: int) -> Break | None:
        """The newest entry's balance, one unit more than it adds up to."""
        balance = newest[0][self.ledger.available]
        if balance is None:
            return None
        return self.made(newest[0], update(self.key(newest[0]), {self.ledger.available: balance + 1}))

    def negative(self, newest: list[Entry], number: int) -> Break | None:
        """One unit more is withdrawn than there is."""
        balance = newest[0][self.ledger.available]
        if balance is None or balance < 0:
            return None
        return self.booked(newest[0], "withdraw", -balance - 1, number)

    def transition(self, newest: list[Entry], number: int) -> Break | None:
        """A withdrawal that brings money."""
        return self.booked(newest[0], "withdraw", 1, number)

    def back_in_time(self, newest: list[Entry], _number: int) -> Break | None:
        """The newest entry, older than the one before it."""
        column = self.ledger.time or ""
        former = newest[1][column] if len(newest) > 1 else None
        if former is None:
            return None
        earlier = former - timedelta(milliseconds=1) if isinstance(former, datetime) else former - 1
        return self.made(newest[0], update(self.key(newest[0]), {column: earlier}))

    def no_trade(self, newest: list[Entry], number: int) -> Break | None:
        """What a trade brings, without the trade."""
        return self.booked(newest[0], "trade_credit", 1, _NO_TRADE + number)

    def booked(self, last: Entry, kind: str, amount: int, reference: int) -> Break | None:
        """A new entry that adds up."""
        ledger = self.ledger
        if last[ledger.available] is None:
            return None
        entry = last | {
            ledger.order: last[ledger.order] + 1,
            ledger.available: last[ledger.available] + amount,
            ledger.delta_available or "": amount,
            ledger.delta_held or "": 0,
            ledger.type or "": self.names[kind],
            ledger.reference or "": self.reference(reference),
        }
        entry.pop("", None)
        return self.made(entry, insert(present(entry)))

    def reference(self, number: int) -> Any:
        kind = self.target.types.get(self.ledger.reference or "")
        if kind in ("uuid", "timeuuid"):
            return UUID(int=number)
        # Orders and trades count from 1 upwards.
        number = number if number >= _NO_TRADE else -1 - number
        return str(number) if kind in ("text", "ascii", "varchar") else number

    def key(self, entry: Entry) -> Entry:
        return {name: entry[name] for name in primary_key(self.target.base)}

    def made(self, entry: Entry, *statements: Statement) -> Break:
        return Break(tuple(entry[name] for name in self.target.key), statements)


def write_breaks(target: Target, breaks: Sequence[Break]) -> None:
    """Write them into the base, and so into its views."""
    for each in breaks:
        for statement, values in each.statements:
            target.execute(statement.replace("{table}", target.base.cql_name), values)
