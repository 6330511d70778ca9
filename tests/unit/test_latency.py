"""Statistics of query times: against their definitions, and against arms whose true ratio is known."""

import math
import statistics
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.latency import (
    AGAIN,
    Ratio,
    compare,
    measure_interleaved,
    median,
    percentile,
    ratio_of_medians,
    sentence,
    smoke,
)

VALUES = st.lists(st.integers(min_value=0, max_value=2**62), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("percent", "expected"), [(5, 15), (30, 20), (40, 20), (50, 35), (100, 50), (99, 50), (0.001, 15)]
)
def test_percentile_of_a_textbook_list(percent: float, expected: int) -> None:
    assert percentile([50, 15, 40, 20, 35], percent) == expected


@given(VALUES, st.integers(min_value=1, max_value=100))
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[int], percent: int) -> None:
    found = percentile(values, percent)

    def covered(limit: int) -> int:
        return 100 * sum(value <= limit for value in values)

    assert found in values
    assert covered(found) >= percent * len(values)
    assert all(covered(value) < percent * len(values) for value in values if value < found)


def test_a_percent_is_taken_as_written() -> None:
    assert percentile(range(1, 1001), 99.9) == 999
    assert percentile(range(1, 101), 7) == 7


@pytest.mark.parametrize("percent", [0, -1, 100.1, math.nan])
def test_percent_has_a_range(percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        percentile([1], percent)


def test_nothing_measured_is_no_number() -> None:
    for function in (median, lambda values: percentile(values, 50)):
        with pytest.raises(ValueError, match="unknown"):
            function([])


@given(VALUES)
def test_median(values: list[int]) -> None:
    assert median(values) == (statistics.median_low(values) + statistics.median_high(values)) // 2


class Clock:
    """A clock that only work moves."""

    now = 0

    def __call__(self) -> int:
        return self.now

    def work(self, nanoseconds: Iterator[int]) -> Callable[[], None]:
        def run() -> None:
            self.now += next(nanoseconds)

        return run


def steps(*values: int) -> Iterator[int]:
    return (values[number % len(values)] for number in count())


def test_every_round_measures_every_strategy_in_random_order() -> None:
    clock = Clock()
    strategies = {"a": clock.work(steps(10)), "b": clock.work(steps(30))}
    frame = measure_interleaved(strategies, 40, 1, clock, baseline="a", calls=2)
    assert list(frame.columns) == ["round", "position", "strategy", "call", "nanoseconds"]
    assert [str(frame[name].dtype) for name in ("round", "position", "call", "nanoseconds")] == ["int64"] * 4
    assert len(frame) == 40 * 3 * 2
    assert (frame.groupby(["round", "strategy"]).size() == 2).all()
    assert set(frame.loc[frame["strategy"] == "b", "nanoseconds"]) == {30}
    assert set(frame.loc[frame["strategy"] != "b", "nanoseconds"]) == {10}
    firsts = frame.loc[frame["position"] == 0, "strategy"]
    assert set(firsts) == {"a", "b", AGAIN}


def test_the_same_seed_gives_the_same_order() -> None:
    def order(seed: int) -> list[str]:
        clock = Clock()
        arms = {"a": clock.work(steps(1)), "b": clock.work(steps(1))}
        return list(measure_interleaved(arms, 10, seed, clock, baseline="a")["strategy"])

    assert order(3) == order(3)
    assert order(3) != order(4)


def test_a_query_that_fails_has_no_time() -> None:
    def fail() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        measure_interleaved({"a": fail}, 10, 1, baseline="a")


@pytest.mark.parametrize(
    "arguments", [{"baseline": "x"}, {"rounds": 4}, {"calls": 0}], ids=["baseline", "rounds", "calls"]
)
def test_a_measurement_that_says_nothing_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"baseline|rounds"):
        measure_interleaved({"a": list}, **{"rounds": 10, "seed": 1, "baseline": "a", **arguments})  # type: ignore[arg-type]


def measured(ratios: dict[str, float], seed: int, rounds: int = 30) -> dict[str, np.ndarray]:
    """Arms of known ratio under the drift of a shared server."""
    rng = np.random.default_rng(seed)
    drift = np.exp(np.cumsum(0.1 * rng.standard_normal((rounds, 1)), axis=0))
    noise = {name: np.exp(0.2 * rng.standard_normal((rounds, 5))) for name in ratios}
    return {name: (1e6 * ratio * drift * noise[name]).astype(np.int64) for name, ratio in ratios.items()}


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        arms = measured({"a": 1.0, "b": 1.5}, seed)
        ratio = ratio_of_medians(arms["b"], arms["a"], seed)
        held += ratio.low <= 1.5 <= ratio.high
    assert held >= 88


def test_rounds_are_drawn_together() -> None:
    # Every round is exactly twice as slow, though rounds differ by a factor of 1000: the interval has no width.
    baseline = np.array([[10**power] for power in (3, 4, 5, 6, 3, 4, 5)], dtype=np.int64)
    assert ratio_of_medians(2 * baseline, baseline, 1) == Ratio(2.0, 2.0, 2.0)


@pytest.mark.parametrize("shape", [(4, 1), (6, 2), (5,)])
def test_ratio_of_other_shapes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shapes"):
        ratio_of_medians(np.ones(shape, np.int64), np.ones((6, 1), np.int64), 1)


def test_a_clock_too_coarse_is_refused() -> None:
    with pytest.raises(ValueError, match="clock"):
        ratio_of_medians(np.ones((6, 1), np.int64), np.zeros((6, 1), np.int64), 1)


def test_the_table_is_the_same_each_time_and_ordered() -> None:
    clock = Clock()
    strategies = {
        "slow": clock.work(steps(300, 310, 305)),
        "base": clock.work(steps(100, 101, 99, 100)),
        "fast": clock.work(steps(20, 21)),
    }
    frame = measure_interleaved(strategies, 30, 1, clock, baseline="base")
    table = compare(frame, "base")
    assert table.equals(compare(frame, "base"))
    assert list(table["strategy"]) == ["base", AGAIN, "fast", "slow"]
    assert [str(table[name].dtype) for name in ("calls", "median_ns", "p99_ns", "max_ns")] == ["int64"] * 4
    assert list(table["calls"]) == [30] * 4
    assert table["median_ns"].tolist() == [100, 100, 20, 305]
    assert table["says"].str.contains("slower").tolist() == [False, False, False, True]
    assert table["says"].str.contains("faster").tolist() == [False, False, True, False]
    assert (table["lo"] <= table["ratio"]).all()
    assert (table["ratio"] <= table["hi"]).all()


def test_a_table_without_its_noise_floor_is_refused() -> None:
    clock = Clock()
    frame = measure_interleaved({"a": clock.work(steps(1))}, 10, 1, clock, baseline="a")
    with pytest.raises(ValueError, match="measured twice"):
        compare(frame[frame["strategy"] != AGAIN], "a")
    with pytest.raises(ValueError, match="measured twice"):
        compare(frame, "b")


NOISE = Ratio(1.0, 0.97, 1.03)


@pytest.mark.parametrize(
    ("ratio", "ending"),
    [
        (Ratio(1.51, 1.3512, 1.6812), "b takes 1.51 [1.35, 1.69] times as long as a: slower, here."),
        (Ratio(0.83, 0.7999, 0.86), "b takes 0.83 [0.79, 0.86] times as long as a: faster, here."),
        (Ratio(1.05, 0.99, 1.1), "b takes 1.05 [0.99, 1.10] times as long as a: no difference shown."),
        (
            Ratio(1.05, 1.02, 1.1),
            "b takes 1.05 [1.02, 1.10] times as long as a: not told from noise (1.00 [0.97, 1.03]).",
        ),
        (Ratio(1.02, 1.0, 1.1), "b takes 1.02 [1.00, 1.10] times as long as a: no difference shown."),
    ],
)
def test_the_sentence_claims_nothing_beyond_the_interval(ratio: Ratio, ending: str) -> None:
    assert sentence("b", "a", ratio, NOISE) == ending


def test_a_smoke_test_says_median_and_maximum_and_no_more() -> None:
    ticks = iter([0, 1_000_000, 10, 3_000_010, 20, 2_000_020])
    table = smoke(lambda: None, 3, clock=lambda: next(ticks))
    assert table.to_dict("records") == [{"queries": 3, "median ms": "2.000", "max ms": "3.000"}]


def test_a_smoke_test_of_a_failing_query_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        smoke(lambda: 1 // 0, 3)
