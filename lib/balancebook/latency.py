"""Timing queries so that a ratio means something: interleaved blocks, an interval, and the noise beside it.

Drift of the server (compaction, caches, a neighbour) hits all strategies of one round alike, so rounds are the unit
that is resampled. The baseline is measured twice in every round: what it differs from itself is the noise floor.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

AGAIN = "the same again"
_RESAMPLES = 2000
_MIN_ROUNDS = 5

Times = npt.NDArray[np.int64]


def percentile(values: Sequence[int], percent: float) -> int:
    """The nearest-rank percentile: the smallest value that at least `percent` % of the values do not exceed.

    It is always one of the values, nothing is interpolated (definition 1 of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages", 1996). Of fewer than 100 values the 99th percentile is the largest.
    Raises ValueError when there are no values, or for a percent outside (0, 100].
    """
    if not len(values):
        raise ValueError("no values: a percentile of nothing is unknown")
    if not 0 < percent <= 100:
        raise ValueError(f"percent {percent!r} is not in (0, 100]")
    # The decimal text is exact where the float is not: 99.9 % of 1000 values is rank 999, not 1000.
    rank = math.ceil(Fraction(str(percent)) * len(values) / 100)
    return int(sorted(values)[rank - 1])


def median(values: Sequence[int]) -> int:
    """The middle value, or the mean of the middle two rounded down. Raises ValueError when there are no values."""
    if not len(values):
        raise ValueError("no values: a median of nothing is unknown")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (
        int(ordered[middle]) if len(ordered) % 2 else (int(ordered[middle - 1]) + int(ordered[middle])) // 2
    )


def measure_interleaved(
    strategies: Mapping[str, Callable[[], object]],
    rounds: int,
    seed: int,
    clock: Callable[[], int] = time.perf_counter_ns,
    *,
    baseline: str,
    calls: int = 1,
) -> pd.DataFrame:
    """Times each strategy in every round, in random order, `calls` times in a row; the baseline twice (AGAIN).

    Returns one row a call: round, position (in its round), strategy (str), call, nanoseconds; all others int64.
    One untimed round goes before. What a strategy raises is raised: a failed query has no time.
    """
    _check(strategies, rounds, baseline, calls)
    arms = {**strategies, AGAIN: strategies[baseline]}
    for run in arms.values():
        run()
    order = random.Random(seed)  # noqa: S311 (an order, no secret)
    rows = [
        (number, position, name, call, _timed(arms[name], clock))
        for number in range(rounds)
        for position, name in enumerate(order.sample(list(arms), len(arms)))
        for call in range(calls)
    ]
    frame = pd.DataFrame(rows, columns=["round", "position", "strategy", "call", "nanoseconds"])
    return frame.astype(dict.fromkeys(("round", "position", "call", "nanoseconds"), "int64"))


def _check(strategies: Mapping[str, object], rounds: int, baseline: str, calls: int) -> None:
    if baseline not in strategies or AGAIN in strategies:
        raise ValueError(f"baseline {baseline!r} is not among the strategies {', '.join(strategies)}")
    if rounds < _MIN_ROUNDS or calls < 1:
        raise ValueError(f"{rounds} rounds of {calls} calls: take at least {_MIN_ROUNDS} rounds of 1 call")


def _timed(run: Callable[[], object], clock: Callable[[], int]) -> int:
    began = clock()
    run()
    return clock() - began


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of medians and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        # Rounded outwards, so that the text claims no more than the numbers.
        low, high = _hundredths(self.low, ROUND_FLOOR), _hundredths(self.high, ROUND_CEILING)
        return f"{self.value:.2f} [{low}, {high}]"

    def overlaps(self, other: Ratio) -> bool:
        """Whether the two intervals share a value."""
        return self.low <= other.high and other.low <= self.high


def _hundredths(value: float, rounding: str) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"), rounding)


def ratio_of_medians(times: Times, baseline: Times, seed: int) -> Ratio:
    """Median of `times` over median of `baseline`, with a 95 % percentile bootstrap interval over rounds.

    Both are arrays (rounds, calls) of nanoseconds; the same rounds are drawn from both, as they share their drift.
    Raises ValueError for other shapes or a baseline of zero.
    """
    if times.shape != baseline.shape or times.ndim != 2 or len(times) < _MIN_ROUNDS:
        raise ValueError(
            f"shapes {times.shape} and {baseline.shape}: both are (rounds >= {_MIN_ROUNDS}, calls)"
        )
    if np.median(baseline) <= 0:
        raise ValueError("the baseline took no time by this clock: take a finer clock or more work")
    draws = np.random.default_rng(seed).integers(0, len(times), (_RESAMPLES, len(times)))
    # In parts, so that the memory stays small however long the measurement.
    parts = np.split(draws, 20)
    ratios = np.concatenate(
        [_medians(times, part) / np.maximum(_medians(baseline, part), 1) for part in parts]
    )
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Ratio(float(np.median(times) / np.median(baseline)), float(low), float(high))


def _medians(times: Times, draws: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.median(times[draws].reshape(len(draws), -1), axis=1)  # type: ignore[no-any-return]


def compare(frame: pd.DataFrame, baseline: str, seed: int = 0) -> pd.DataFrame:
    """One row a strategy of a measured frame: strategy, calls, median_ns, p99_ns, max_ns (int64), ratio, lo, hi
    (float64; to the baseline, above 1 is slower) and `says`, a sentence that claims nothing beyond the interval.

    The baseline comes first, then its second measurement (the noise floor), then the others by their median.
    Raises ValueError when the frame does not hold the baseline measured twice.
    """
    arms = {str(name): _by_round(part) for name, part in frame.groupby("strategy", sort=True)}
    if baseline not in arms or AGAIN not in arms:
        raise ValueError(f"the frame does not hold {baseline!r} measured twice: use measure_interleaved")
    noise = ratio_of_medians(arms[AGAIN], arms[baseline], seed)
    others = sorted(
        (name for name in arms if name not in (baseline, AGAIN)), key=lambda name: np.median(arms[name])
    )
    rows = [(baseline, *_summary(arms[baseline]), 1.0, 1.0, 1.0, "The baseline.")]
    rows.append(
        (AGAIN, *_summary(arms[AGAIN]), noise.value, noise.low, noise.high, _noise_sentence(noise, baseline))
    )
    for name in others:
        ratio = ratio_of_medians(arms[name], arms[baseline], seed)
        says = sentence(name, baseline, ratio, noise)
        rows.append((name, *_summary(arms[name]), ratio.value, ratio.low, ratio.high, says))
    return pd.DataFrame(
        rows, columns=["strategy", "calls", "median_ns", "p99_ns", "max_ns", "ratio", "lo", "hi", "says"]
    )


def _by_round(part: pd.DataFrame) -> Times:
    wide = part.pivot_table(index="round", columns="call", values="nanoseconds", aggfunc="first")
    if wide.isna().to_numpy().any():
        raise ValueError("a round lacks a call: every round measures every strategy as often")
    return wide.to_numpy(dtype=np.int64)


def _summary(times: Times) -> tuple[int, int, int, int]:
    values = [int(value) for value in times.ravel()]
    return len(values), median(values), percentile(values, 99), max(values)


def _noise_sentence(noise: Ratio, baseline: str) -> str:
    return f"{baseline} against itself: {noise}. Nothing within this can be told from noise."


def sentence(name: str, baseline: str, ratio: Ratio, noise: Ratio) -> str:
    """What the measurement shows of `name` against `baseline`, and no more."""
    if ratio.low <= 1 <= ratio.high:
        return f"{name} takes {ratio} times as long as {baseline}: no difference shown."
    if ratio.overlaps(noise):
        return f"{name} takes {ratio} times as long as {baseline}: not told from noise ({noise})."
    word = "slower" if ratio.low > 1 else "faster"
    return f"{name} takes {ratio} times as long as {baseline}: {word}, here."


def smoke(
    run: Callable[[], object], rounds: int, clock: Callable[[], int] = time.perf_counter_ns
) -> pd.DataFrame:
    """Times `run` a few times: one row with queries (int64), median ms and max ms (text). It supports no claim.

    What `run` raises is raised.
    """
    times = [_timed(run, clock) for _ in range(rounds)]
    row = (len(times), _milliseconds(median(times)), _milliseconds(max(times)))
    return pd.DataFrame([row], columns=["queries", "median ms", "max ms"])


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1_000_000:.3f}"


def table(compared: pd.DataFrame) -> pd.DataFrame:
    """A compared frame (see `compare`) for people: strategy, calls, median ms, p99 ms, max ms, ratio with its
    interval, what it shows. Times as text with three decimals, exact to the microsecond."""
    shown = compared[["strategy", "calls"]].copy()
    for column in ("median", "p99", "max"):
        shown[f"{column} ms"] = [_milliseconds(ns) for ns in compared[f"{column}_ns"]]
    ratios = zip(compared["ratio"], compared["lo"], compared["hi"], strict=True)
    shown["ratio [95 %]"] = [str(Ratio(*ratio)) for ratio in ratios]
    shown["what it shows"] = compared["says"]
    return shown
