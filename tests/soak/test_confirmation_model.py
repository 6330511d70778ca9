"""The confirmation rule on a million random histories (in `make test`: twenty thousand)."""

from __future__ import annotations

import random

import pytest

from balancebook.reconcile.kinds import FAULTS
from confirmation_model import World, settled

HISTORIES = 1_000_000
KINDS = ("flag", "value", "all", "null", "unselected", "delete", "flag ttl", "all ttl")
KEYED_KINDS = (*KINDS, "key", "no key")


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("part", range(10))
def test_no_history_within_the_grace_period_is_at_fault(part: int) -> None:
    chance = random.Random(part)
    for _ in range(HISTORIES // 10):
        keyed = chance.random() < 0.5
        kinds = chance.sample(KEYED_KINDS if keyed else KINDS, chance.randint(1, 4))
        rate, skew = chance.choice([0.02, 0.1, 0.3, 1, 3]), chance.choice([0.0, 0.2, 20.0])
        world = World(chance, kinds, rate, keyed, skew, slow=chance.choice(["small", "near", "mixed"]))
        course = settled(world, chance.uniform(0, 100))
        if course:
            assert course.judgement.kind not in FAULTS, course
