"""A base row and its view row under bounded lag, without a server: what the confirmation rule is tested on.

Mutations of the base happen at a time and carry a write time, which clocks may set ahead or back. A cell is that of the
last write (of equal write times a deletion wins, then the larger value). The view holds each mutation after a lag of
its own, below the grace period, so in any order. A fault is one more mutation that reached the view alone, or one that
never reached it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from balancebook.reconcile.confirm.rule import MOST_LOOKS, BaseRow, Cells, Judgement, Look, difference, judge

GRACE_S = 10.0
SELECTED, UNSELECTED, KEY = ("a", "b"), "z", "k"
_HOME = 0
"""The value of the view's key in the row that is looked at."""
_BEGINNING = -30.0


class Live(NamedTuple):
    """A cell: its value, its write time, and the seconds that it has left, None if it stays."""

    value: int
    time: int
    life: int | None


Write = Callable[[random.Random], Mapping[str, int | None]]
WRITES: dict[str, Write] = {
    "flag": lambda chance: {chance.choice(SELECTED): chance.randint(0, 1)},
    "value": lambda chance: {"a": chance.randrange(10**6)},
    "all": lambda chance: {name: chance.randint(0, 1) for name in (*SELECTED, UNSELECTED)} | {"": 1},
    "null": lambda chance: {chance.choice(SELECTED): None},
    "unselected": lambda chance: {UNSELECTED: chance.randint(0, 1)},
    "key": lambda chance: {KEY: chance.randint(0, 2)},
    "no key": lambda _: {KEY: None},
    "delete": lambda _: {"delete": 1},
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """What was written: cells by name, "" for the row's own liveness, or "delete"; `until`: when it expires."""

    at: float
    written_at: int
    cells: Mapping[str, int | None]
    until: float | None = None


@dataclass
class Merged:
    """Mutations by the last write: whatever their order, the same comes out."""

    deleted: int = -(10**15)
    best: dict[str, tuple[int, bool, bool, int, float]] = field(default_factory=dict)

    def add(self, each: Mutation) -> None:
        """Merge one more."""
        if "delete" in each.cells:
            self.deleted = max(self.deleted, each.written_at)
            return
        expires = each.until is not None
        for name, value in each.cells.items():
            rank = (each.written_at, value is None, expires, value or 0, each.until or 0.0)
            if name not in self.best or rank > self.best[name]:
                self.best[name] = rank

    def with_all(self, more: Iterable[Mutation]) -> Merged:
        """Another with more of them."""
        copy = Merged(self.deleted, dict(self.best))
        for each in more:
            copy.add(each)
        return copy

    def row(self, now: float) -> dict[str, Live] | None:
        """The row's live cells; None if there is none."""
        live = {
            name: Live(value, at, int(until - now) if expires else None)
            for name, (at, dead, expires, value, until) in self.best.items()
            if at > self.deleted and not dead and not (expires and until <= now)
        }
        return live or None


@dataclass
class World:
    """One history. `keyed`: the view's key holds a column of the base that is not in the base's own key. faults: what
    reached the view alone. missed: what never reached it; `inserted`: whether the row itself did."""

    chance: random.Random
    kinds: Sequence[str]
    rate: float
    keyed: bool = False
    skew_s: float = 0.0
    faults: list[Mutation] = field(default_factory=list)
    slow: str = "mixed"
    missed: list[Mutation] = field(default_factory=list)
    inserted: bool = True

    def __post_init__(self) -> None:
        first = dict.fromkeys((*SELECTED, UNSELECTED), 0) | {"": 1, KEY: _HOME}
        begun = Mutation(_BEGINNING, self._stamp(_BEGINNING) - 10**8, first)
        self._written: deque[tuple[Mutation, float]] = deque()
        self._until = _BEGINNING
        # Of base and view: what each has for sure.
        arrived = [begun] if self.inserted else []
        self._settled = Merged().with_all([begun, *self.missed]), Merged().with_all([*arrived, *self.faults])

    def _write_until(self, now: float) -> None:
        """Let the writers go on. What every view has by now is merged: a look costs the last mutations alone."""
        while self._until <= now:
            self._until += self.chance.expovariate(self.rate)
            kind = self.chance.choice(self.kinds)
            cells = dict(WRITES[kind.removesuffix(" ttl")](self.chance))
            if self.keyed and kind == "all":
                cells[KEY] = self.chance.randint(0, 1)
            until = self._until + self.chance.uniform(1, 40) if kind.endswith("ttl") else None
            written = Mutation(self._until, self._stamp(self._until), cells, until)
            self._written.append((written, self._until + self._lag()))
        while self._written and self._written[0][0].at < now - GRACE_S - 1:
            old, _ = self._written.popleft()
            for side in self._settled:
                side.add(old)

    def _stamp(self, now: float) -> int:
        # Steps of 50 ms, so that equal write times happen.
        return int((now + self.chance.uniform(-self.skew_s, self.skew_s)) * 20)

    def _lag(self) -> float:
        small, near = self.chance.random() * 0.05, self.chance.uniform(0.8, 0.999)
        share = {"small": small, "near": near, "mixed": self.chance.choice([small, near])}[self.slow]
        return share * GRACE_S

    def base(self, now: float) -> BaseRow | None:
        """The base's row."""
        self._write_until(now)
        row = self._settled[0].with_all(each for each, _ in self._written if each.at <= now).row(now)
        if row is None:
            return None
        key = row.get(KEY) if self.keyed else Live(_HOME, 0, None)
        derived = _cells(row) if key and key.value == _HOME else None
        other = row.get(UNSELECTED)
        moving = ((_value(key),), (_time(key),), (_life(key),)) if self.keyed else ((), (), ())
        return BaseRow(
            derived,
            key_values=moving[0],
            key_times=moving[1],
            others=(_time(other),),
            key_lives=moving[2],
            other_lives=(_life(other),),
        )

    def view(self, now: float) -> Cells | None:
        """The view's row."""
        self._write_until(now)
        row = self._settled[1].with_all(each for each, arrives in self._written if arrives <= now).row(now)
        if row is None or (self.keyed and (KEY not in row or row[KEY].value != _HOME)):
            return None
        return _cells(row)

    def look(self, now: float) -> Look:
        """The view, then the base a moment later."""
        later = now + self.chance.random() * 0.3
        return Look(self.view(now), self.base(later), now, later)


def _cells(row: Mapping[str, Live]) -> Cells:
    seen = [row.get(name) for name in SELECTED]
    return Cells(tuple(map(_value, seen)), tuple(map(_time, seen)), tuple(map(_life, seen)))


def _value(cell: Live | None) -> bytes | None:
    return None if cell is None else cell.value.to_bytes(4, "big")


def _time(cell: Live | None) -> bytes | None:
    return None if cell is None else cell.time.to_bytes(8, "big", signed=True)


def _life(cell: Live | None) -> bytes | None:
    return None if cell is None or cell.life is None else cell.life.to_bytes(4, "big")


@dataclass(frozen=True)
class Course:
    """How one row was judged."""

    judgement: Judgement
    looks: list[Look]


def settled(world: World, began: float) -> Course | None:
    """Look at the row from when the sides first differ after `began`, until it is judged; None if they never do."""
    chance = world.chance
    for _ in range(25):
        first = world.look(began)
        suspicion = difference(
            first.derived.values if first.derived else None, first.view.values if first.view else None
        )
        if suspicion:
            break
        began += chance.uniform(0, 2)
    else:
        return None
    looks: list[Look] = []
    now = began + chance.uniform(0, GRACE_S)
    while True:
        looks.append(world.look(now))
        found = judge(looks, suspicion=suspicion, grace_s=GRACE_S)
        assert found or len(looks) < MOST_LOOKS
        if found:
            return Course(found, looks)
        now = looks[-1].base_until + GRACE_S * (1 + chance.random() * 0.3)
