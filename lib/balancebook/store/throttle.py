"""Decides how fast a scan may read: observations of a canary in, the allowed rate and the reason out.

There is no thread and no clock here; `store.pace` reads the canary and holds the workers back.

The rate follows additive increase, multiplicative decrease (Chiu and Jain, 1989), with a slow start as in TCP (RFC
5681). What the canary takes without the scan is measured before the scan and in every pause, as BBR measures the
minimal round trip, so that the scan is not held back for what others cause.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# Two slow canaries within the window are too many: of the 120 that it holds at most one in a hundred may be slow.
WINDOW_S, SLOW_CANARIES = 6.0, 2
# The canary may take this many times as long as without the scan, even if that is beyond the limit.
TOLERANCE = 1.5
# A pause ends after CALM fast canaries in a row, or after PAUSE_S. Pages under way when it begins end within SETTLE_S.
CALM, PAUSE_S, SETTLE_S = 5, 2.0, 0.3
# After a pause the rate is back at BACK_AT of what it was within RECOVER_S.
BACK_AT, RECOVER_S = 0.9, 4.0
START = 50_000.0
# Growth in a second: before the first pause; up to FORGET_S after one that helped, while all canaries are WELL below
# the bound; later.
SLOW_START, PROBING, FORGOTTEN = 8.0, 1.01, 1.2
FORGET_S, WELL = 30.0, 0.7
# A limit that was raised because others slow the canary down is measured again after this time: they may be done.
REMEASURE_S = 60.0
# Beyond any server, and still a number of rows.
_MOST = 1e8
_LONGEST_STEP_S = 0.25
_QUIET, _RATE_OVER_S = 200, 1.0
# How many pages are read at a time while it is not known whether the server can take more.
WARY = 2


@dataclass(slots=True)
class _Pause:
    """began: when. before: rows/s until then. bound_ms: what the canary may take. worst_ms: what it took, or None if
    the pause is only to learn what it takes without the scan. times: what it takes in the pause."""

    began: float
    before: float
    bound_ms: float
    worst_ms: float | None
    calm: int = 0
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Recovery:
    began: float
    start: float
    end: float


class Throttle:
    """The rate of a scan, at least `floor` and at most `most` rows/s. Call it from one thread at a time.

    limit_ms: what the canary's 99th percentile may be. `now` is any clock's time in seconds. `start`: the first rate.
    alone: whether this is the whole scan. If not, the canary is never measured without it, and the limit stays.
    """

    def __init__(
        self,
        *,
        limit_ms: float,
        floor: float,
        now: float,
        most: float = math.inf,
        start: float = START,
        alone: bool = True,
    ) -> None:
        self.limit_ms, self.floor, self._most = limit_ms, min(floor, most), min(most, _MOST)
        self.rate = max(self.floor, min(self._most, start))
        self._alone = alone
        self.pauses = self.not_the_cause = 0
        self.paused_s, self.worst_ms = 0.0, 0.0
        self._quiet: deque[float] = deque(maxlen=_QUIET)
        self._measured_at = self._grown_at = now
        self._window: deque[tuple[float, float]] = deque()
        self._rows: deque[tuple[float, int]] = deque()
        self._pause: _Pause | None = None
        self._recovery: _Recovery | None = None
        self._hurt: tuple[float, float] | None = None
        self._blameless_ms = 0.0

    @property
    def baseline_ms(self) -> float | None:
        """The canary's 99th percentile without the scan; None if it was not measured."""
        return p99(self._quiet) if self._quiet and self._alone else None

    @property
    def bound_ms(self) -> float:
        """What the canary's 99th percentile may be now: the limit, or what others make of it and half as much."""
        return max(self.limit_ms, TOLERANCE * self._alone_ms)

    @property
    def paused(self) -> bool:
        """Whether the scan is held at its floor, to see whether the canary recovers."""
        return self._pause is not None

    def before_scan(self, times_ms: Iterable[float], now: float) -> None:
        """Take note of what the canary takes before the scan."""
        self._quiet.extend(times_ms)
        self._measured_at = now

    def observe(self, ms: float, now: float, rows: int) -> None:
        """Take note of a canary that has just been answered; infinite: it failed. rows: read until now, in all."""
        reading = self._reading(now, rows)
        self._window.append((now, ms))
        while self._window[0][0] < now - WINDOW_S:
            self._window.popleft()
        if math.isfinite(ms):
            self.worst_ms = max(self.worst_ms, p99([each for _, each in self._window if math.isfinite(each)]))
        if self._pause:
            self._watch(self._pause, ms, now)
        elif self._slow() >= SLOW_CANARIES:
            self._hurts(now, reading)
        elif self.bound_ms > self.limit_ms and now - self._measured_at >= REMEASURE_S:
            self._begin(now, reading, None)
        else:
            self._grow(now)

    def readers(self, wanted: int, now: float) -> int:
        """How many pages may be read at a time: all that are wanted as long as the canary is well below its bound and
        was never above it; one, so that a core is left to others, while it is not, and for FORGET_S after a pause that
        helped, unless others are the cause; else WARY."""
        if self._pause:
            return 1
        if self._well and not self.pauses:
            return wanted
        if self.bound_ms <= self.limit_ms and (self._hurt_lately(now) or not self._well):
            return 1
        return min(wanted, WARY)

    def reason(self, now: float) -> str:
        """Why the scan is not read faster, for people; "" if the canary does not hold it back."""
        limit = f"limit {self.limit_ms:g} ms"
        if self._blameless_ms > self.limit_ms:
            return (
                f"balance queries take {self._blameless_ms:.1f} ms even while the scan is at its slowest ({limit}): "
                "the scan is not the cause"
            )
        if self._alone_ms > self.limit_ms:
            return f"balance queries take {self.baseline_ms:.1f} ms without the scan ({limit})"
        near_ms = max((ms for _, ms in self._window if math.isfinite(ms)), default=0.0)
        if hurt_ms := self._hurt_lately(now) or (0.0 if self._well else near_ms):
            return f"balance queries took {hurt_ms:.1f} ms beside the scan ({limit})"
        return ""

    def paused_until(self, now: float) -> float:
        """The seconds of all pauses."""
        return self.paused_s + (now - self._pause.began if self._pause else 0.0)

    @property
    def _alone_ms(self) -> float:
        """What the canary takes without the scan, 0 if it was not measured: its 99th percentile, of fewer than 200 the
        second largest. As beside the scan, one slow canary says nothing."""
        known = self.baseline_ms
        if known is None:
            return 0.0
        return min(known, sorted(self._quiet)[-min(SLOW_CANARIES, len(self._quiet))])

    def _slow(self) -> int:
        """How many canaries of the window are beyond the bound."""
        bound_ms = self.bound_ms
        return sum(each > bound_ms for _, each in self._window)

    @property
    def _well(self) -> bool:
        """Whether all canaries of the window are well below the bound; not if there are none."""
        return bool(self._window) and max(ms for _, ms in self._window) <= WELL * self.bound_ms

    def _hurt_lately(self, now: float) -> float | None:
        """What the canary took before a pause that helped and is not forgotten yet."""
        return self._hurt[1] if self._hurt and now - self._hurt[0] < FORGET_S else None

    def _reading(self, now: float, rows: int) -> float:
        """Rows/s of the last second."""
        self._rows.append((now, rows))
        while len(self._rows) > 2 and self._rows[1][0] <= now - _RATE_OVER_S:
            self._rows.popleft()
        began, before = self._rows[0]
        return (rows - before) / (now - began) if now > began else 0.0

    def _real(self, reading: float) -> float:
        # A rate that nobody reaches says nothing: half of it would change nothing.
        return max(self.floor, min(self.rate, reading))

    def _hurts(self, now: float, reading: float) -> None:
        slow = [ms for _, ms in self._window if math.isfinite(ms)]
        if reading > 1.2 * self.floor:
            self.pauses += 1
            self._begin(now, reading, p99(slow) if slow else math.inf)
        elif reading > 0:
            # It goes as slowly as it ever does: this is what the canary takes without it.
            latest = [ms for at, ms in self._window if at > now - _RATE_OVER_S and math.isfinite(ms)]
            self._blame_others(latest, now)
        self._window.clear()

    def _begin(self, now: float, reading: float, worst_ms: float | None) -> None:
        self._pause = _Pause(now, self._real(reading), self.bound_ms, worst_ms)
        self._recovery = None
        self.rate = self.floor

    def _watch(self, pause: _Pause, ms: float, now: float) -> None:
        """See whether the canary recovers in a pause. One that was asked before the pages under way ended says
        nothing, and one that failed nothing of how long it takes."""
        if not math.isfinite(ms):
            pause.calm = 0
            return
        if now - ms / 1000 < pause.began + SETTLE_S:
            return
        pause.times.append(ms)
        pause.calm = pause.calm + 1 if ms <= pause.bound_ms else 0
        if pause.worst_ms is not None and pause.calm >= CALM:
            self._quiet.extend(pause.times)
            self._hurt, self._blameless_ms = (now, pause.worst_ms), 0.0
            self._resume(pause, now, pause.before / 2)
        elif now - pause.began >= PAUSE_S and len(pause.times) >= CALM:
            self.not_the_cause += pause.worst_ms is not None
            self._blame_others(pause.times, now)
            self._resume(pause, now, self.floor)

    def _blame_others(self, times: Iterable[float], now: float) -> None:
        """Take what the canary takes without the scan from now on for what others cause."""
        self._quiet.clear()
        self._quiet.extend(times)
        self._blameless_ms, self._measured_at = self._alone_ms, now

    def _resume(self, pause: _Pause, now: float, start: float) -> None:
        self.paused_s += now - pause.began
        self._pause = None
        self._window.clear()
        self._grown_at = now
        self.rate = max(self.floor, start)
        self._recovery = _Recovery(now, self.rate, max(self.rate, BACK_AT * pause.before))

    def _grow(self, now: float) -> None:
        step = min(now - self._grown_at, _LONGEST_STEP_S)
        self._grown_at = now
        if self._recovery:
            began, start, end = self._recovery.began, self._recovery.start, self._recovery.end
            done = min(1.0, (now - began) / RECOVER_S)
            self.rate = start + (end - start) * done
            if done == 1:
                self._recovery = None
            return
        self.rate = min(self._most, self.rate * self._growth(now) ** step)

    def _growth(self, now: float) -> float:
        if self._hurt_lately(now):
            return PROBING if self._well else 1.0
        return FORGOTTEN if self.pauses else SLOW_START


def p99(values: Sequence[float] | deque[float]) -> float:
    """The nearest-rank 99th percentile, as latency.percentile has it: of fewer than 100 values the largest."""
    return sorted(values)[-(-99 * len(values) // 100) - 1]
