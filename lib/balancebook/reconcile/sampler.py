"""Drawing token ranges of both sides at random, batch by batch: as many as are wanted, or as there is time for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest

from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.draws import Drawn, Draws, Met
from balancebook.reconcile.grid import Grid, grid_for
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import Side
from balancebook.store.pace import Pace
from balancebook.store.reader import Reader
from balancebook.store.tokens import TokenRange

_BATCH = 16

Progress = Callable[[int, int], None]
"""Called after each batch with how many ranges of base and view have been drawn."""


@dataclass(slots=True)
class SideDraws:
    """The cells of one side's grid that were drawn, in their order, and what each of them came to."""

    name: str
    grid: Grid
    chance: random.Random
    order: list[TokenRange] = field(default_factory=list)
    known: dict[TokenRange, Drawn] = field(default_factory=dict)

    @property
    def drawn(self) -> list[Drawn]:
        """Each draw; a cell that was drawn twice stands there twice, as independent draws want it."""
        return [self.known[tokens] for tokens in self.order]

    @property
    def whole(self) -> bool:
        """Whether every cell was drawn."""
        return len(self.known) == self.grid.cells

    def draw(self, count: int) -> list[TokenRange]:
        """So many cells, uniformly, with replacement."""
        return [self.grid.tokens(self.chance.randrange(self.grid.cells)) for _ in range(count)]


class Sampler:
    """Draws from both sides alternately. Raises StoreError for non-retryable errors."""

    def __init__(
        self,
        reader: Reader,
        sides: tuple[Side, Side],
        columns: LookColumns,
        seed: int,
        pace: Pace | None = None,
    ) -> None:
        self._draws = Draws(reader, sides, columns, pace)
        self.sides = tuple(
            # Not for secrets: the same ranges must come again from the same seed.
            SideDraws(name, grid_for(reader, side.table), random.Random(f"{seed} {name}"))  # noqa: S311
            for name, side in zip(("base", "view"), sides, strict=True)
        )

    def draw(self, count: int | None, until: float, progress: Progress | None = None) -> None:
        """Draw `count` ranges a side, None for no limit, until all are drawn or `until`, by time.monotonic(), is near.

        Of a batch that could not be ended in time only that counts which could not be read: what was found in it does
        not decide what is drawn, and a server that is gone is not passed over.
        """
        slowest = 0.0
        while wanting := [number for number in (0, 1) if self._wanted(number, count)]:
            for number in wanting:
                began = time.monotonic()
                if self._draws.gone or began + slowest >= until:
                    return
                if not self._batch(number, self._wanted(number, count), until):
                    return
                slowest = max(slowest, time.monotonic() - began)
            if progress:
                base, view = (len(side.order) for side in self.sides)
                progress(base, view)

    def met(self) -> dict[RawKey, Met]:
        """All rows that look wrong, each once: first one of each range, both sides by turns, then a second of each."""
        base, view = (list(side.known.values()) for side in self.sides)
        ranges = [each for pair in zip_longest(base, view) for each in pair if each]
        met: dict[RawKey, Met] = {}
        for row in zip_longest(*(each.met.items() for each in ranges)):
            for item in row:
                if item:
                    met.setdefault(*item)
        return met

    def _wanted(self, number: int, count: int | None) -> int:
        side = self.sides[number]
        return 0 if side.whole else _BATCH if count is None else min(_BATCH, count - len(side.order))

    def _batch(self, number: int, size: int, until: float) -> bool:
        """Whether it was in time."""
        side = self.sides[number]
        drawn = side.draw(size)
        ranges = [tokens for tokens in dict.fromkeys(drawn) if tokens not in side.known]
        compared, in_time = self._draws.compared(number, ranges, until)
        found = {each.tokens: each for each in compared}
        unread = [each.tokens for each in compared if each.unread]
        if in_time and unread and not self._draws.gone:
            again, in_time = self._draws.compared(number, unread, until)
            kept = compared if in_time else [each for each in compared if each.unread]
            found = {each.tokens: each for each in (*kept, *again)}
        side.known |= found
        side.order += [tokens for tokens in drawn if in_time or tokens in found]
        return in_time
