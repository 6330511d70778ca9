"""How fast a scan may read, by what a canary takes: in simulated time, beside simulated servers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.store.throttle import BACK_AT, CALM, START, TOLERANCE, WINDOW_S, Throttle, p99

LIMIT_MS, FLOOR = 10.0, 5_000.0
FINE, SLOW = 2.0, 30.0
EVERY_S = 0.05
Server = Callable[[float, float], float]
"""What a canary takes, in ms, at a time (s from the start) while so many rows/s are read."""


class Scan:
    """A scan that reads as fast as it may, at most `fastest`, and a canary beside it."""

    def __init__(
        self, server: Server, *, fastest: float = 400_000, before: bool = True, **options: Any
    ) -> None:
        self.now, self.rows, self._server, self.fastest = 0.0, 0.0, server, fastest
        self.throttle = Throttle(**{"limit_ms": LIMIT_MS, "floor": FLOOR, "now": 0.0} | options)
        self.rates: list[tuple[float, float]] = []
        self.times: list[float] = []
        if before:
            self.throttle.before_scan([server(0, 0) for _ in range(30)], 0.0)

    @property
    def reading(self) -> float:
        return min(self.throttle.rate, self.fastest)

    def go(self, seconds: float) -> float:
        """Read for so long; returns the rows."""
        end, before = self.now + seconds, self.rows
        while self.now < end:
            ms = self._server(self.now, self.reading)
            took = EVERY_S + min(ms, 5000.0) / 1000
            self.rows += self.reading * took
            self.now += took
            self.times.append(ms)
            self.throttle.observe(ms, self.now, int(self.rows))
            self.rates.append((self.now, self.throttle.rate))
        return self.rows - before

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> float:
        """Read until it is so; returns how long that took."""
        began = self.now
        while not condition():
            self.go(EVERY_S)
            assert self.now - began < seconds, "it never comes about"
        return self.now - began


def bears(most: float) -> Server:
    return lambda _, rate: SLOW if rate > most else FINE


def test_a_calm_server_is_read_at_its_speed_within_two_seconds() -> None:
    scan = Scan(lambda *_: FINE)
    assert scan.throttle.rate == START
    assert scan.until(lambda: scan.reading == scan.fastest) < 2
    assert scan.go(10) > 0.99 * 10 * scan.fastest
    assert (scan.throttle.pauses, scan.throttle.reason(scan.now)) == (0, "")


def test_a_rate_that_was_asked_for_is_never_exceeded_and_lowers_the_floor() -> None:
    scan = Scan(lambda *_: FINE, most=80_000)
    scan.go(5)
    assert scan.throttle.rate == 80_000
    assert Throttle(limit_ms=1, floor=FLOOR, most=100, now=0).floor == 100


@pytest.mark.parametrize(("slow", "pauses"), [(1, 0), (2, 1)])
def test_one_slow_canary_of_the_window_is_not_yet_too_many(slow: int, pauses: int) -> None:
    left = [10.5] * slow
    scan = Scan(lambda at, _: left.pop() if at > 2 and left else FINE)
    scan.go(10)
    assert scan.throttle.pauses == pauses


def test_slow_canaries_that_are_far_apart_are_not_too_many() -> None:
    scan = Scan(lambda at, _: SLOW if at % (WINDOW_S + 1) < EVERY_S else FINE)
    scan.go(100)
    assert scan.throttle.pauses == 0


def test_after_one_pause_of_a_moment_the_rate_is_back_within_five_seconds() -> None:
    left = [10.5, 10.5]
    scan = Scan(lambda at, _: left.pop() if at > 2 and left else FINE)
    scan.until(lambda: scan.throttle.paused)
    assert scan.throttle.rate == FLOOR
    assert "paused" not in scan.throttle.reason(scan.now)
    scan.until(lambda: not scan.throttle.paused)
    assert scan.throttle.rate >= scan.fastest / 2 * 0.95
    assert scan.throttle.reason(scan.now) == "balance queries took 10.5 ms beside the scan (limit 10 ms)"
    assert scan.until(lambda: scan.throttle.rate >= BACK_AT * scan.fastest * 0.99) < 5
    assert scan.until(lambda: scan.reading == scan.fastest) < 30
    assert scan.until(lambda: not scan.throttle.reason(scan.now)) < 30


def test_the_whole_pause_costs_little() -> None:
    left = [10.5, 10.5]
    scan = Scan(lambda at, _: left.pop() if at > 2 and left else FINE)
    assert scan.go(20) > 20 * scan.fastest / 1.3


@pytest.mark.parametrize("most", [40_000.0, 150_000.0, 300_000.0])
def test_what_a_server_bears_is_found_and_seldom_exceeded(most: float) -> None:
    scan = Scan(bears(most))
    rows = scan.go(300)
    assert rows / 300 > 0.55 * most
    assert sum(ms > LIMIT_MS for ms in scan.times) / len(scan.times) < 0.01


def test_a_load_that_exceeds_the_limit_on_its_own_is_named_and_the_scan_goes_on() -> None:
    scan = Scan(lambda at, _: 45.0 if at > 5 else FINE)
    scan.until(lambda: scan.throttle.not_the_cause == 1)
    assert scan.now < 5 + 4
    said = (
        "balance queries take 45.0 ms even while the scan is at its slowest (limit 10 ms): "
        "the scan is not the cause"
    )
    assert scan.throttle.reason(scan.now) == said
    assert scan.go(50) > 50 * FLOOR
    assert scan.throttle.bound_ms == pytest.approx(TOLERANCE * 45)
    assert scan.throttle.rate > scan.fastest / 2


def test_a_load_that_was_there_before_the_scan_does_not_hold_it_back() -> None:
    scan = Scan(lambda *_: 45.0)
    assert scan.throttle.reason(scan.now) == "balance queries take 45.0 ms without the scan (limit 10 ms)"
    assert scan.go(20) > 0.8 * 20 * scan.fastest
    assert scan.throttle.pauses == 0


def test_beside_such_a_load_it_makes_the_canary_at_most_half_as_slow_again() -> None:
    scan = Scan(lambda _, rate: 45.0 * (1 + rate / 200_000))
    scan.go(300)
    assert scan.throttle.bound_ms == pytest.approx(TOLERANCE * 45, rel=0.05)
    assert sum(ms > scan.throttle.bound_ms for ms in scan.times) / len(scan.times) < 0.01
    assert scan.rows / 300 > 0.7 * 100_000


def test_when_that_load_is_over_the_limit_holds_again() -> None:
    scan = Scan(lambda at, rate: 45.0 if at < 60 else SLOW if rate > 50_000 else FINE)
    scan.go(60)
    scan.until(lambda: scan.throttle.bound_ms == LIMIT_MS)
    scan.go(20)
    began = len(scan.times)
    scan.go(200)
    slow = [ms for ms in scan.times[began:] if ms > LIMIT_MS]
    assert len(slow) / len(scan.times[began:]) < 0.01


def test_a_server_that_nothing_helps_is_read_at_no_less_than_the_floor() -> None:
    chance = random.Random(1)
    scan = Scan(lambda *_: chance.choice([5.0, 20.0, 80.0, 300.0, 1000.0]), before=False)
    assert scan.go(120) >= 120 * FLOOR
    assert min(rate for _, rate in scan.rates) >= FLOOR


def test_what_the_pages_under_way_cause_in_a_pause_is_not_taken_for_a_load_of_others() -> None:
    paused_at: list[float] = []

    def server(at: float, rate: float) -> float:
        # The server is busy with what was asked of it for a quarter of a second.
        if rate > 100_000:
            paused_at[:] = [at]
        return SLOW if paused_at and at - paused_at[0] < 0.25 else FINE

    scan = Scan(server)
    scan.go(60)
    assert scan.throttle.pauses
    assert scan.throttle.not_the_cause == 0
    assert scan.throttle.bound_ms == LIMIT_MS


def test_a_scan_that_rests_is_not_paused_and_nobody_is_blamed() -> None:
    scan = Scan(lambda *_: SLOW, fastest=0, before=False)
    scan.go(30)
    throttle = scan.throttle
    assert (throttle.pauses, throttle.not_the_cause, throttle.reason(scan.now)) == (0, 0, "")


def test_one_of_several_workers_takes_the_others_for_no_load() -> None:
    scan = Scan(lambda *_: 45.0, alone=False)
    assert scan.go(60) > 60 * FLOOR
    assert scan.throttle.bound_ms == LIMIT_MS
    assert scan.throttle.pauses > 5


def test_canaries_that_fail_pause_it_and_are_no_measure() -> None:
    scan = Scan(lambda at, _: math.inf if at > 2 else FINE)
    scan.until(lambda: scan.throttle.paused)
    scan.go(10)
    assert scan.throttle.paused
    assert scan.throttle.bound_ms == LIMIT_MS
    assert scan.throttle.worst_ms == FINE


def test_a_pause_waits_for_some_canaries_in_a_row() -> None:
    ends = iter([SLOW, SLOW, *[FINE] * (CALM - 1), SLOW, *[FINE] * CALM])
    scan = Scan(lambda at, _: next(ends, FINE) if at > 2 else FINE)
    scan.until(lambda: scan.throttle.paused)
    assert scan.until(lambda: not scan.throttle.paused) >= 2 * CALM * EVERY_S
    assert scan.throttle.not_the_cause == 0


@given(
    times=st.lists(st.floats(0.1, 5000) | st.just(math.inf), min_size=1, max_size=400),
    floor=st.floats(1, 1e6),
    most=st.floats(1, 1e6) | st.just(math.inf),
    fastest=st.floats(0, 1e6),
    before=st.booleans(),
    alone=st.booleans(),
)
def test_whatever_the_canary_takes_the_rate_stays_within_its_bounds_and_comes_back(
    times: list[float], floor: float, most: float, fastest: float, before: bool, alone: bool
) -> None:
    given_times = iter(times)
    scan = Scan(
        lambda *_: next(given_times, FINE),
        fastest=fastest,
        before=False,
        floor=floor,
        most=most,
        alone=alone,
    )
    if before:
        scan.throttle.before_scan([FINE], 0.0)
    while len(scan.times) < len(times):
        scan.go(EVERY_S)
        assert min(floor, most) <= scan.throttle.rate <= most
        assert scan.throttle.bound_ms >= LIMIT_MS
        assert math.isfinite(scan.throttle.bound_ms)
        assert isinstance(scan.throttle.reason(scan.now), str)
    # Once all is well the pause ends, at the latest when no slow canary is left in the window.
    scan.until(lambda: not scan.throttle.paused, seconds=20)
    before_rate = scan.reading
    scan.go(WINDOW_S)
    assert scan.throttle.paused or scan.reading >= min(before_rate, fastest) * 0.99


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (99, 99), (100, 99), (200, 198), (201, 199)])
def test_p99_is_that_of_latency(count: int, rank: int) -> None:
    assert p99([float(number) for number in range(count, 0, -1)]) == rank


def test_how_many_pages_are_read_at_a_time() -> None:
    throttle = Throttle(limit_ms=10, floor=5000, now=0.0)
    assert throttle.readers(4, 0.0) == 1
    now, rows = 0.0, 0

    def observed(ms: float, times: int) -> None:
        nonlocal now, rows
        for _ in range(times):
            now, rows = now + 0.05, rows + 5000
            throttle.observe(ms, now, rows)

    observed(2.0, 3)
    assert (throttle.readers(4, now), throttle.readers(1, now)) == (4, 1)
    # One that comes near the bound is enough to leave a core to others.
    observed(8.0, 1)
    assert throttle.readers(4, now) == 1
    observed(50.0, 3)
    assert throttle.paused
    assert throttle.readers(4, now) == 1
    observed(2.0, 20)
    assert not throttle.paused
    assert throttle.readers(4, now) == 1
    observed(2.0, 700)
    # Never all of them again after a pause.
    assert throttle.readers(4, now) == 2


def test_beside_others_who_are_the_cause_two_pages_are_read_at_a_time() -> None:
    throttle = Throttle(limit_ms=10, floor=5000, now=0.0)
    throttle.before_scan([30.0] * 30, 0.0)
    assert throttle.readers(4, 0.0) == 2
    throttle.observe(40.0, 0.05, 5000)
    assert throttle.readers(4, 0.05) == 2


@pytest.mark.parametrize(
    ("times", "baseline"),
    [([70.0], 70.0), ([20.0, 90.0], 20.0), ([20.0] * 29 + [90.0], 20.0), ([20.0] * 28 + [80.0, 90.0], 80.0)],
    ids=["one", "two", "one slow", "two slow"],
)
def test_one_slow_read_before_the_scan_does_not_raise_the_bound(times: list[float], baseline: float) -> None:
    throttle = Throttle(limit_ms=10, floor=5000, now=0.0)
    throttle.before_scan(times, 0.0)
    assert throttle.bound_ms == 1.5 * baseline
    # What is said is what was measured.
    said = f"balance queries take {max(times):.1f} ms without the scan (limit 10 ms)"
    assert (throttle.reason(0.0), throttle.baseline_ms) == (said, max(times))


def test_what_comes_near_the_bound_is_the_reason_for_reading_one_page_at_a_time() -> None:
    throttle = Throttle(limit_ms=10, floor=5000, now=0.0)
    throttle.before_scan([2.0] * 30, 0.0)
    throttle.observe(6.9, 0.05, 5000)
    assert (throttle.reason(0.05), throttle.readers(4, 0.05)) == ("", 4)
    throttle.observe(7.1, 0.1, 10_000)
    said = "balance queries took 7.1 ms beside the scan (limit 10 ms)"
    assert (throttle.reason(0.1), throttle.readers(4, 0.1)) == (said, 1)
