"""How fast a scan may go, in time that the tests themselves let pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from balancebook.store import pace as pacing
from balancebook.store.errors import StoreError
from balancebook.store.pace import CALM, CANARY_EVERY_S, FLOOR, START, NoTimeToWait, Pace

LIMIT_MS = 10.0
FINE, SLOW = 2.0, 30.0


class World:
    """A clock that moves when somebody sleeps, and a canary that is asked every CANARY_EVERY_S seconds meanwhile."""

    def __init__(self, canary: Callable[[World], float | None] | None = None, **options: Any) -> None:
        self.now, self._canary = 1000.0, canary
        self._next_canary, self.rows = self.now, 0
        limit = {"limit_ms": LIMIT_MS} if canary else {}
        self.pace = Pace(clock=lambda: self.now, sleep=self.sleep, **limit | options)

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self._canary and self._next_canary < until:
            self.now = max(self.now, self._next_canary)
            ms = self._canary(self)
            self.pace.asking()
            self.now += (ms or 0) / 1000
            self.pace.answered(failed=ms is None)
            self._next_canary = self.now + CANARY_EVERY_S
        self.now = max(self.now, until)

    def read(self, seconds: float, rows: int = 500, page_s: float = 0.001) -> int:
        """How many rows a worker gets in that time, in pages of `rows` that take `page_s` each."""
        end, before = self.now + seconds, self.rows
        while self.now < end:
            self.sleep(page_s)
            self.rows += rows
            self.pace.wait(rows)
        return self.rows - before


def canaries(*times_ms: float | None, then: float | None = FINE) -> Callable[[World], float | None]:
    each: Iterator[float | None] = iter(times_ms)
    return lambda _: next(each, then)


@pytest.mark.parametrize(("rate", "rows"), [(1000, 100), (50_000, 500), (7, 10)])
def test_a_rate_is_kept(rate: int, rows: int) -> None:
    assert World(rate=rate).read(100, rows) == pytest.approx(100 * rate, rel=0.01, abs=rows)


def test_what_would_take_longer_than_there_is_time_is_not_waited_for() -> None:
    world = World(rate=100)
    world.pace.wait(90, until=world.now + 1)
    before = world.now
    with pytest.raises(NoTimeToWait):
        world.pace.wait(100, until=world.now + 0.5)
    assert world.now - before < 0.05


def test_idle_time_is_not_made_up_for() -> None:
    world = World(rate=10_000)
    world.read(10)
    world.sleep(60)
    assert world.read(1) <= 10_000 * 1.1 + 500


def test_several_workers_share_the_rate() -> None:
    world = World(rate=1000)
    for _ in range(30):
        world.pace.wait(100)
    began = world.now
    world.pace.wait(0)
    assert world.now == began
    assert began - 1000.0 == pytest.approx(3, abs=0.1)


def test_without_rate_and_canary_nobody_waits() -> None:
    world = World()
    world.pace.wait(10**9)
    assert world.now == 1000.0
    assert world.pace.report() == pacing.PaceReport(0, 0.0, None, 0, 0, "")


def test_a_slow_canary_pauses_the_scan_until_it_is_well_and_halves_the_rate() -> None:
    world = World(canaries(FINE, SLOW, SLOW, FINE, FINE, SLOW))
    world.sleep(0.1)
    began = world.now
    world.pace.wait(0)
    # Of SLOW, FINE, FINE, SLOW nothing counts: CALM in a row are asked for.
    assert world.now - began == pytest.approx((4 + CALM) * CANARY_EVERY_S, rel=0.3)
    assert world.pace.allowed == START / 2
    report = world.pace.report()
    assert (report.pauses, report.failed) == (1, 0)
    assert report.worst_p99_ms == pytest.approx(SLOW)
    assert report.paused_s == pytest.approx(world.now - began, abs=0.1)


def test_a_failed_canary_is_as_good_as_a_slow_one() -> None:
    world = World(canaries(None, None))
    world.sleep(0.01)
    world.pace.wait(0)
    report = world.pace.report()
    assert (report.pauses, report.failed, report.worst_p99_ms) == (1, 2, 0.0)
    assert world.now - 1000.0 >= CALM * CANARY_EVERY_S


@pytest.mark.parametrize(("slow", "pauses"), [(1, 0), (2, 1)])
def test_it_is_the_99th_percentile_that_counts(slow: int, pauses: int) -> None:
    world = World(canaries(*[FINE] * 110, *[SLOW] * slow))
    world.sleep(7)
    assert world.pace.report().pauses == pauses


def test_nobody_goes_on_while_a_canary_is_overdue() -> None:
    world = World(limit_ms=LIMIT_MS)
    world.pace.asking()
    world.now += LIMIT_MS / 1000 + 0.001
    slept: list[float] = []

    def answer_later(seconds: float) -> None:
        slept.append(seconds)
        world.now += seconds
        if len(slept) == 5:
            world.pace.answered(failed=False)
            for _ in range(CALM):
                world.pace.asking()
                world.pace.answered()

    world.pace._sleep = answer_later
    world.pace.wait(0)
    assert len(slept) == 5


def test_a_well_cluster_is_read_faster_and_faster_up_to_the_rate() -> None:
    world = World(canaries(), rate=80_000)
    assert world.pace.allowed == START
    world.read(10)
    assert world.pace.allowed == 80_000
    assert world.read(10) == pytest.approx(800_000, rel=0.01)


@pytest.mark.parametrize(("ms", "page_s"), [(LIMIT_MS * 0.9, 0.001), (FINE, 0.5)])
def test_the_rate_stays_when_it_is_barely_borne_or_not_used(ms: float, page_s: float) -> None:
    world = World(canaries(then=ms))
    world.read(20, page_s=page_s)
    assert world.pace.allowed == START


def test_what_a_cluster_can_bear_is_found_and_seldom_passed() -> None:
    bearable, last, suffered = 40_000.0, [1000.0, 0.0], []

    def canary(world: World) -> float:
        rate = (world.rows - last[1]) / max(world.now - last[0], 1e-9)
        last[:] = world.now, world.rows
        suffered.append(rate > bearable)
        return SLOW if suffered[-1] else FINE

    world = World(canary)
    world.read(300)
    assert world.rows / 300 > 0.5 * bearable
    assert sum(suffered) / len(suffered) < 0.01


def test_the_rate_never_falls_below_its_floor() -> None:
    world = World(lambda world: SLOW if world.now % 2 < 1 else FINE)
    world.read(200)
    assert world.pace.allowed >= FLOOR
    assert world.pace.report().pauses > 50


def test_a_pause_without_end_is_an_error_and_says_what_to_do() -> None:
    world = World(canaries(then=None), patience_s=60)
    world.sleep(0.1)
    with pytest.raises(StoreError, match=r"paused for 60 s.*balance_p99_ms") as gave_up:
        world.pace.wait(0)
    assert gave_up.value.kind == "timeout"
    assert world.now - 1000.0 == pytest.approx(60, abs=1)


def test_stopping_releases_everybody() -> None:
    pace = Pace(rate=1)
    ends: list[StoreError] = []

    def wait() -> None:
        with pytest.raises(StoreError, match="stopped") as stopped:
            pace.wait(1000)
        ends.append(stopped.value)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    pace.stop()
    for thread in waiting:
        thread.join(5)
    assert len(ends) == 3


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_a_number_above_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="rows/s above 0"):
        Pace(rate=rate)


@pytest.mark.parametrize(("rate", "page"), [(None, 500), (100_000, 500), (1000, 100), (1, 10)])
def test_a_page_is_a_tenth_of_a_second_at_the_most(rate: float | None, page: int) -> None:
    assert Pace(rate=rate).page_size(5000) == page
