"""How fast a scan may go, in time that the tests themselves let pass."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from balancebook.progress import Display, Step
from balancebook.settings import Profile, load_profile
from balancebook.store import pace as pacing
from balancebook.store.canary import Canary
from balancebook.store.errors import Kind, StoreError
from balancebook.store.pace import BASELINE_S, CANARY_EVERY_S, NoTimeToWait, Pace
from balancebook.store.reader import Reader
from balancebook.store.schema import Table
from balancebook.store.throttle import START

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


def test_a_canary_that_is_slow_for_a_moment_does_not_use_up_the_time() -> None:
    world = World(canaries(*[FINE] * 20, SLOW, SLOW), floor=100)
    world.read(1.2)
    before, until = world.now, world.now + 3
    while world.pace.report().pauses == 0:
        world.read(0.02)
    # At the floor alone, ten seconds would be too few.
    world.pace.wait(1000, until=until)
    assert world.now - before < 3
    world.pace.asking()
    world.now += 60
    with pytest.raises(NoTimeToWait):
        world.pace.wait(10**6, until=world.now + 1)


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


def test_a_slow_canary_holds_the_scan_at_its_floor_until_it_is_well() -> None:
    times = iter([*[FINE] * 40, SLOW, SLOW])
    seen: list[tuple[float, int, int, str]] = []

    def canary(world: World) -> float:
        pace = world.pace
        if pace.report().paused_s and len(seen) < 3:
            seen.append((pace.allowed, pace.page_size(5000), world.rows, pace.status()))
        return next(times, FINE)

    world = World(canary, floor=100)
    world.read(1)
    assert world.pace.page_size(5000) == 5000
    world.read(4)
    assert {(rate, page) for rate, page, _, _ in seen} == {(100, 10)}
    assert seen[-1][2] == seen[0][2], "pages of a high rate are not paid for so soon"
    assert seen[0][3].startswith("paused: balance queries are slow")
    report = world.pace.report()
    assert (report.pauses, report.failed, report.not_the_cause) == (1, 0, 0)
    assert report.worst_p99_ms == pytest.approx(SLOW)
    assert 0.3 < report.paused_s < 1.5
    assert "balance queries took 30.0 ms beside the scan (limit 10 ms)" in world.pace.status()
    assert world.pace.status().startswith("throttled to ")


def test_nobody_reads_while_canaries_fail() -> None:
    world = World(canaries(FINE, None, None, None))
    world.sleep(0.08)
    assert world.pace.status() == "paused: reads of the view fail or have no answer"
    began = world.now
    world.pace.wait(10)
    assert world.now - began > CANARY_EVERY_S
    report = world.pace.report()
    assert report.failed == 3
    assert report.worst_p99_ms == pytest.approx(FINE)


def test_while_a_canary_is_overdue_the_floor_holds() -> None:
    world = World(limit_ms=LIMIT_MS, floor=100)
    world.pace.wait(0)
    world.pace.asking()
    world.now += LIMIT_MS / 1000 + 0.001
    before = world.now
    world.pace.wait(1000)
    assert world.now - before == pytest.approx(10, rel=0.1)
    assert world.pace.status() == ""
    world.pace.answered()
    before = world.now
    world.pace.wait(1000)
    assert world.now - before < 1


def test_a_well_cluster_is_read_up_to_the_rate() -> None:
    world = World(canaries(), rate=80_000)
    assert world.pace.allowed == START
    world.read(2)
    assert world.pace.allowed == 80_000
    assert world.read(10) == pytest.approx(800_000, rel=0.01)
    assert world.pace.status() == "at most 80,000 rows/s, as asked for"


def test_a_rate_once_high_leaves_no_credit() -> None:
    world = World(canaries(*[FINE] * 200, *[SLOW] * 1000), floor=1000)
    world.read(5)
    while not world.pace.report().pauses:
        world.read(CANARY_EVERY_S)
        assert world.now < 1030
    assert world.read(1, rows=100) < 2000


def test_whatever_the_canary_takes_the_floor_is_read() -> None:
    world = World(canaries(then=200.0), floor=1000)
    assert world.read(60, rows=100) >= 0.99 * 60 * 1000


def test_free_rows_are_counted_and_not_waited_for() -> None:
    world = World(rate=100, free_rows=1000)
    world.pace.wait(600)
    world.pace.wait(600)
    assert world.now == 1000.0
    world.pace.wait(100)
    assert world.now == pytest.approx(1001, abs=0.05)


def test_the_canary_is_measured_before_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    class Slow:
        tried_ms = (45.0,)

        def read(self) -> None:
            world.now += 0.045

    pace = Pace(clock=lambda: world.now, canary=cast(Canary, Slow()), limit_ms=LIMIT_MS)
    monkeypatch.setattr(pace, "_watch", lambda _canary: None)
    with pace:
        assert world.now - 1000 == pytest.approx(BASELINE_S, abs=0.05)
        report = pace.report()
        assert report.baseline_p99_ms == pytest.approx(45)
        assert report.reason == "balance queries take 45.0 ms without the scan (limit 10 ms)"
        assert report.pauses == 0


def test_what_a_pace_says_is_in_the_line_of_progress() -> None:
    shown: list[str] = []

    class Screen:
        def show(self, line: str) -> None:
            shown.append(line)

        def clear(self) -> None:
            pass

    now = iter(range(0, 1000, 2))
    with Display(Screen(), clock=lambda: next(now)) as display:
        with Pace(rate=1000):
            display(Step(1, 4, 100))
        display(Step(2, 4, 200))
    assert shown[0].endswith("left; at most 1,000 rows/s, as asked for")
    assert "at most" not in shown[1]


def test_a_pause_without_end_is_an_error_and_says_what_to_do() -> None:
    world = World(canaries(then=None), patience_s=60)
    world.sleep(0.1)
    with pytest.raises(StoreError, match=r"paused for 60 s.*failed") as gave_up:
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


def test_a_scan_that_ended_early_does_not_end_the_next() -> None:
    pace = Pace(rate=10**6)
    pace.begin()
    pace.release()
    with pytest.raises(StoreError, match="stopped"):
        pace.wait(0)
    pace.begin()
    pace.wait(0)
    pace.stop()
    pace.begin()
    with pytest.raises(StoreError, match="stopped"):
        pace.wait(0)


class Broken:
    """A canary of which something unforeseen is raised."""

    tried_ms: tuple[float, ...] = ()

    def read(self) -> None:
        raise KeyError("gone")


def test_a_canary_that_breaks_ends_the_scan_with_what_broke_it() -> None:
    pace = Pace(canary=cast(Canary, Broken()), limit_ms=LIMIT_MS)
    thread = threading.Thread(target=pace._watch, args=(Broken(),))
    thread.start()
    thread.join(10)
    with pytest.raises(StoreError, match="The canary failed: KeyError"):
        pace.wait(1)


class Away:
    """A reader whose canary cannot be drawn."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile


@pytest.mark.parametrize(
    ("kind", "rate", "allowed"),
    [
        ("timeout", None, 5000.0),
        ("unavailable", 200.0, 200.0),
        ("missing", None, math.inf),
        ("missing", 7.0, 7.0),
    ],
)
def test_without_a_canary_only_an_empty_view_is_read_at_full_speed(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, rate: float | None, allowed: float
) -> None:
    tried: list[int] = []

    def draw(*_: object) -> Canary:
        tried.append(1)
        raise StoreError(kind, "No canary.", "")

    monkeypatch.setattr(pacing, "draw_canary", draw)
    monkeypatch.setattr("balancebook.store.pace.time.sleep", lambda _: None)
    reader = cast(Reader, Away(load_profile("embedded")))
    found = pacing.open_pace(reader, cast(Table, None), rate=rate)
    assert found.allowed == allowed
    assert len(tried) == (1 if kind == "missing" else 3)
    assert found.report().no_canary.startswith("No canary.")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_a_number_above_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="rows/s above 0"):
        Pace(rate=rate)


@pytest.mark.parametrize("floor", [0, -1, float("nan"), float("inf")])
def test_a_floor_is_a_number_above_nothing(floor: float) -> None:
    with pytest.raises(ValueError, match="rows/s above 0"):
        Pace(floor=floor)


@pytest.mark.parametrize(
    ("rate", "page"), [(None, 5000), (100_000, 5000), (10_000, 1000), (1000, 100), (1, 10)]
)
def test_a_page_is_a_tenth_of_a_second_at_the_most(rate: float | None, page: int) -> None:
    assert Pace(rate=rate).page_size(5000) == page


def test_at_the_end_it_is_told_how_often_it_was_paused_and_for_what() -> None:
    report = pacing.PaceReport(3, 6.2, 45.0, 100, 0, "", baseline_p99_ms=40.0, not_the_cause=2)
    assert report.sentences() == [
        "throttled: 3 pauses, 6 s in all, since balance queries took up to 45.0 ms (p99; without the scan 40.0 ms); "
        "2 of them did not help: the scan is not the cause"
    ]
    assert pacing.PaceReport(1, 2.0, None, 4, 4, "").sentences() == [
        "throttled: 1 pauses, 2 s in all, since 4 of 4 small reads of the view failed"
    ]
    assert pacing.PaceReport(1, 2.0, 30.0, 4, 1, "").sentences() == [
        "throttled: 1 pauses, 2 s in all, since balance queries took up to 30.0 ms (p99), and 1 of 4 small reads of "
        "the view failed"
    ]
    assert pacing.PaceReport(0, 0, 1.0, 100, 0, "").sentences() == []
    assert pacing.PaceReport(0, 0, None, 0, 0, "It is empty.").sentences() == [
        "no canary watched the view: It is empty."
    ]


def test_workers_share_what_is_allowed() -> None:
    one = Pace(limit_ms=LIMIT_MS, workers=4)
    assert one.allowed == START / 4
