"""How much a random sample leaves open: an exact upper bound on the share of what is faulty."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
# Each halves what is left between the bounds: far below what a float can tell.
_HALVINGS = 100


def upper_bound(drawn: int, faulty: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided upper bound on a share, 0 to 1, when `faulty` of `drawn` independent draws were faulty.

    It is the share p at which so few faulty draws, or fewer, have a chance of 1 - confidence: where none is faulty,
    1 - (1 - confidence)^(1/n). Nothing drawn, or all faulty: 1. Raises ValueError for counts that no draw can give.
    Source: Clopper, Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26 (1934), 404-413.
    """
    if not 0 <= faulty <= drawn:
        raise ValueError(f"{faulty} of {drawn} draws cannot be faulty")
    chance = 1 - confidence
    if faulty == drawn:
        return 1.0
    if faulty == 0:
        return -math.expm1(math.log(chance) / drawn)
    ways = [_log_ways(drawn, number) for number in range(faulty + 1)]
    low, high = faulty / drawn, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        if share in (low, high):
            break
        if _at_most(drawn, ways, share) > chance:
            low = share
        else:
            high = share
    return high


def _log_ways(drawn: int, faulty: int) -> float:
    return math.lgamma(drawn + 1) - math.lgamma(faulty + 1) - math.lgamma(drawn - faulty + 1)


def _at_most(drawn: int, ways: list[float], share: float) -> float:
    """The chance of at most len(ways) - 1 faulty draws, if each is faulty with that chance."""
    yes, no = math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(ways[number] + number * yes + (drawn - number) * no) for number in range(len(ways))
    )
