"""Whether the bound of a sample holds: in at least 95 of 100 samples, whatever the partitions are like."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace

import pytest

from balancebook.reconcile.confirm.settle import Outcome
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.draws import MOST_ROWS, Drawn, Met
from balancebook.reconcile.grid import Grid
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sampled_report import side_sample
from balancebook.reconcile.sampler import SideDraws
from balancebook.store.tokens import HIGHEST, LOWEST, TokenRange

REPETITIONS = 2000
PARTITIONS = 400
_ROWS_A_CELL = 32


class Side:
    """Partitions of very different sizes at random tokens, of which some rows are wrong; and what a sample sees."""

    def __init__(self, chance: random.Random, wrong_rows: int, wrong_partitions: int) -> None:
        sizes = [min(20_000, max(1, int(chance.paretovariate(0.7) * 5))) for _ in range(PARTITIONS)]
        tokens = sorted(chance.randint(LOWEST, HIGHEST) for _ in range(PARTITIONS))
        faulty = chance.sample(range(PARTITIONS), min(wrong_partitions, PARTITIONS))
        wrong: dict[int, set[int]] = {each: set() for each in faulty}
        for number in range(wrong_rows):
            partition = faulty[number % len(faulty)]
            wrong[partition].add(chance.randrange(sizes[partition]))
        self.grid = Grid(max(1, min(sum(sizes) // _ROWS_A_CELL, PARTITIONS)))
        self.outcomes: dict[RawKey, Outcome] = {}
        self.cells: dict[TokenRange, Drawn] = {}
        truly_faulty = 0
        for number in range(self.grid.cells):
            lo, hi = self.grid.tokens(number)
            inside = range(bisect_left(tokens, lo + 1), bisect_left(tokens, hi + 1))
            rows = [(each, row) for each in inside for row in range(sizes[each])]
            truly_faulty += any(wrong.get(each) for each in inside)
            seen = rows[:MOST_ROWS]
            drawn = Drawn((lo, hi), len(seen), capped=len(rows) > MOST_ROWS)
            for each, row in seen:
                if row in wrong.get(each, ()):
                    self._meet(drawn, f"{each}.{row}".encode())
            self.cells[lo, hi] = drawn
        self.truth = truly_faulty / self.grid.cells

    def _meet(self, drawn: Drawn, key: bytes) -> None:
        suspect = Suspect((key,), (key,))
        drawn.met[suspect.key] = Met(suspect, ((), None), Kind.LOST)
        self.outcomes[suspect.key] = Outcome(suspect, Kind.LOST, "", (), None)

    def bound(self, chance: random.Random, draws: int, outcomes: Mapping[RawKey, Outcome]) -> float:
        """What a sample of so many draws claims."""
        side = SideDraws("base", self.grid, chance)
        side.order = side.draw(draws)
        side.known = {tokens: self.cells[tokens] for tokens in side.order}
        return side_sample(side, outcomes).bound


@pytest.mark.parametrize("wrong_partitions", [1, 10, PARTITIONS])
@pytest.mark.parametrize("wrong_rows", [1, 10, 1000])
def test_the_bound_holds_in_95_of_100_samples(wrong_rows: int, wrong_partitions: int) -> None:
    chance = random.Random(f"{wrong_rows} {wrong_partitions}")
    side = Side(chance, wrong_rows, wrong_partitions)
    held = sum(side.bound(chance, 64, side.outcomes) >= side.truth for _ in range(REPETITIONS))
    assert held >= 0.95 * REPETITIONS, (held, side.truth)


def test_what_could_not_be_confirmed_counts_as_faulty() -> None:
    chance = random.Random(5)
    side = Side(chance, 1000, PARTITIONS)
    unknown = {key: replace(outcome, kind=Kind.UNKNOWN) for key, outcome in side.outcomes.items()}
    assert side.bound(random.Random(1), 64, unknown) == side.bound(random.Random(1), 64, side.outcomes)


def test_it_fails_where_ranges_read_in_part_are_taken_for_sound() -> None:
    """What the simulation can tell: one huge partition, wrong only beyond its first thousand rows."""
    chance = random.Random(2)
    side = Side(chance, 1, 1)
    for cell in side.cells.values():
        cell.capped = False
        cell.met.clear()
    side.truth = 0.2
    assert not any(side.bound(chance, 64, {}) >= side.truth for _ in range(50))
