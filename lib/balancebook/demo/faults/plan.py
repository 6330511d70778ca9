"""Which cells to write so that exactly these rows differ: pure choices over rows that were in step when read.

Write times: a cell that has to win is written one microsecond after the newest it must beat, and otherwise a minute
before the grace period begins, so that a fault is no younger than the data themselves. Only `future` has a write time
of its own.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balancebook.demo.events import EventType
from balancebook.demo.faults.inject import Statement, delete, insert, update
from balancebook.demo.faults.kinds import KINDS, MIXED, FaultError
from balancebook.demo.faults.target import (
    Cells,
    Key,
    Target,
    chunks,
    present,
    primary_key,
    require_enough,
)
from balancebook.demo.faults.values import changed, has_later, later
from balancebook.profile import LedgerSchema

_MICROSECONDS = 1_000_000
_BEYOND_GRACE_S = 60
_AHEAD_S = 3600
_SPARE = 1000  # candidates beyond the rows asked for, since not every row can carry every fault
_DEPOSIT = 1_000
_STRIDE = 10_000  # between new keys that do not follow the last one of a group


@dataclass(frozen=True, slots=True)
class Step:
    """One row to damage: its key in the view, the difference it must become, and what writes it into base or view."""

    found_as: str
    key: Key
    in_base: bool
    statement: Statement


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that is in step: its cells in base and view. `number` counts the candidates."""

    base: Cells
    view: Cells
    number: int


def make_plan(target: Target, kind: str, rows: int, seed: int, where: Mapping[str, Any]) -> list[Step]:
    """The steps that make a fault of `rows` rows, drawn by `seed` among those that equal `where`.

    Raises FaultError if the view has no columns for it, or UsageError if too few rows can carry it.
    """
    kinds = MIXED if kind == "mix" else (kind,)
    maker = _Maker(target)
    kinds = tuple(kind for kind in kinds if maker.can_make(kind))
    if not kinds:
        raise FaultError(f"{target.view.cql_name} has no columns that a fault {kind} could be made of.")
    fresh = _candidates(target, target.drawn(4 * rows + _SPARE, seed, where))
    left: deque[Candidate] = deque()
    steps: list[Step] = []
    for place, each in enumerate(kinds):
        quota = rows // len(kinds) + (place < rows % len(kinds))
        steps += _take(quota, left, fresh, maker.of(each))
    require_enough(len(steps), rows, f"rows of {target.view.cql_name}", kind)
    return steps


def _take(
    quota: int, left: deque[Candidate], fresh: Iterator[Candidate], make: Callable[[Candidate], Step | None]
) -> list[Step]:
    """Steps from the candidates that others could not use, then from new ones; what this one cannot use is left."""
    steps: list[Step] = []
    again, passed = deque(left), []
    left.clear()
    while len(steps) < quota and (candidate := again.popleft() if again else next(fresh, None)):
        step = make(candidate)
        if step:
            steps.append(step)
        else:
            passed.append(candidate)
    left.extend([*passed, *again])
    return steps


def _candidates(target: Target, keys: Sequence[Key]) -> Iterator[Candidate]:
    number = 0
    for chunk in chunks(keys):
        for base, view in target.both(chunk):
            if base and view and repr(base.of(target.values)) == repr(view.of(target.values)):
                yield Candidate(base, view, number)
                number += 1


class _Maker:
    """Makes one step of each kind from a candidate, or None if that row cannot carry it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.base_key = primary_key(target.base)
        self.fresh = next((name for name in reversed(self.base_key) if has_later(target.types[name])), None)
        self.now = time.time_ns() // 1000
        grace = target.profile.grace_s + _BEYOND_GRACE_S
        self.backdated = self.now - int(grace * _MICROSECONDS)
        self.made: Counter[str] = Counter()

    def can_make(self, kind: str) -> bool:
        if kind in ("lost", "orphan"):
            return self.fresh is not None
        return KINDS[kind].found_as != "MISMATCH" or bool(self.target.values)

    def of(self, kind: str) -> Callable[[Candidate], Step | None]:
        makers: dict[str, Callable[[Candidate], Step | None]] = {
            "lost": self.lost,
            "lost_tombstone": lambda row: self.step(
                "LOST", row, delete(self.view_key(row), self.winning(row))
            ),
            "orphan": self.orphan,
            "base_lost": self.base_lost,
            "stale": lambda row: self.mismatch(row, self.winning(row), in_base=True),
            "view_newer": lambda row: self.mismatch(row, self.winning(row), in_base=False),
            "future": lambda row: self.mismatch(row, self.now + _AHEAD_S * _MICROSECONDS, in_base=False),
            "half_null": self.half_null,
        }
        return makers[kind]

    def lost(self, row: Candidate) -> Step | None:
        new = self.new_row(row)
        if new is None:
            return None
        return Step("LOST", self.key_of(new), True, insert(present(new), self.backdated))

    def orphan(self, row: Candidate) -> Step | None:
        new = self.new_row(row)
        if new is None:
            return None
        of_view = {name: new[name] for name in (*self.target.key, *self.target.values)}
        return Step("ORPHAN", self.key_of(new), False, insert(present(of_view), self.backdated))

    def base_lost(self, row: Candidate) -> Step:
        return self.step("ORPHAN", row, delete(row.base.of(self.base_key), self.winning(row)), in_base=True)

    def mismatch(self, row: Candidate, written_at: int, *, in_base: bool) -> Step | None:
        """Another value in one cell; which one goes by turns."""
        types = self.target.types
        cells = {name: changed(row.base.values[name], types[name]) for name in self.target.values}
        choice = [name for name, value in cells.items() if value is not None]
        if not choice:
            return None
        name = choice[row.number % len(choice)]
        key = row.base.of(self.base_key) if in_base else self.view_key(row)
        return self.step("MISMATCH", row, update(key, {name: cells[name]}, written_at), in_base=in_base)

    def half_null(self, row: Candidate) -> Step | None:
        """All cells but the first deleted; a row of one cell might vanish altogether."""
        there = [name for name in self.target.values if row.view.values[name] is not None]
        if len(there) < 2:
            return None
        return self.step("MISMATCH", row, delete(self.view_key(row), self.winning(row), columns=there[1:]))

    def step(self, found_as: str, row: Candidate, statement: Statement, *, in_base: bool = False) -> Step:
        return Step(found_as, self.key_of(row.base.values), in_base, statement)

    def key_of(self, values: Mapping[str, Any]) -> Key:
        return tuple(values[name] for name in self.target.key)

    def view_key(self, row: Candidate) -> dict[str, Any]:
        return row.view.of(self.target.key)

    def winning(self, row: Candidate) -> int:
        """A write time that beats the row's cells on either side; of a row without any, nothing older than now does."""
        known = [cells.newest for cells in (row.base, row.view) if cells.newest is not None]
        return max(self.backdated, max(known) + 1) if known else self.now

    def new_row(self, row: Candidate) -> dict[str, Any] | None:
        """A base row that is not there yet: the next of its group, with the values of the last one."""
        column = self.fresh
        if column is None:
            return None
        by_order = bool(self.target.base.clustering_key) and column == self.base_key[-1]
        last = self.target.last_of_group(row.base, column) if by_order else row.base
        group = repr([last.values[name] for name in self.base_key if name != column])
        self.made[group] += 1
        steps = self.made[group] * (1 if by_order else _STRIDE)
        value = later(last.values[column], self.target.types[column], steps)
        static = {c.name for c in self.target.base.static}
        values = {name: cell for name, cell in last.values.items() if name not in static} | {column: value}
        key = self.key_of(values)
        if None in key or not (by_order or self.is_free(values)):
            return None
        return values | _next_entry(values, self.target.profile.ledger, self.made[group], row.number)

    def is_free(self, values: Mapping[str, Any]) -> bool:
        """Whether neither side has a row of that key."""
        sides = (self.target.read(table, [values]) for table in (self.target.base, self.target.view))
        return not any(row for rows in sides for row in rows)


def _next_entry(values: Mapping[str, Any], ledger: LedgerSchema, place: int, number: int) -> dict[str, Any]:
    """The `place`th deposit after the last entry, where the base is the ledger: the account still adds up."""
    numbers = (ledger.available, ledger.delta_available, ledger.delta_held, ledger.reference, ledger.time)
    if not (all(isinstance(values.get(name or ""), int) for name in numbers) and ledger.type in values):
        return {}
    available, delta, delta_held, reference, moment = numbers
    entry = {
        available: values[ledger.available] + place * _DEPOSIT,
        delta: _DEPOSIT,
        delta_held: 0,
        ledger.type: EventType.DEPOSIT.value,
        # Orders and trades count from 1 upwards.
        reference: -1 - number,
        moment: values[moment or ""] + place,
    }
    return {name: value for name, value in entry.items() if name}
