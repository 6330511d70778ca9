"""How fast a scan may go: never faster than the user said, and no faster than the queries of others can bear.

A canary, a small read of the view, is timed all the while. When the 99th percentile of its latest times passes the
limit, every worker of the scan waits until the canary is well again, and goes on at half the rate; while it is well the
rate grows slowly (additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from balancebook.store.canary import Canary, draw_canary
from balancebook.store.errors import MAY_PASS, StoreError
from balancebook.store.reader import Reader
from balancebook.store.schema import Table

CANARY_EVERY_S = 0.05
# A hundred canaries that are well: the 99th percentile is then the second slowest; of fewer it is the slowest.
WINDOW_S = 6.0
# So many canaries in a row within the limit end a pause.
CALM = 5
# With a canary a scan begins at START rows/s, and may fall to FLOOR: a page every half second.
START, FLOOR = 10_000.0, 1_000.0
GROW_EVERY_S = 1.0
# The rate grows while the canary's p99 is below this part of the limit.
WELL = 0.7
# Before the first pause the rate is multiplied by FIRST_GROWTH, afterwards STEP of what was too much is added.
FIRST_GROWTH, STEP = 1.5, 0.05
# A rate is kept on average over this time; what was not used for longer is lost, so that no burst makes up for it.
CREDIT_S = 0.1
PATIENCE_S = 120.0
_TICK_S = 0.02
_PAGE, _LEAST_PAGE, _IN_FLIGHT = 500, 10, 2
# A tenth of a second's work of two cores: over before a canary could tell anything.
FREE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class PaceReport:
    """How a scan was held back. worst_p99_ms: of any window, None without an answered canary; no_canary: why not."""

    pauses: int
    paused_s: float
    worst_p99_ms: float | None
    canaries: int
    failed: int
    no_canary: str


class NoTimeToWait(StoreError):
    """The wait would have been longer than the time allowed."""


class Pace:
    """Holds the workers of a scan back; one for all of them, used as a context (the canary is read meanwhile).

    `rate`: rows/s of all workers together. `limit_ms`: of the canary's 99th percentile. `no_canary`: why there is none.
    `free_rows`: so many are read before anybody waits.
    """

    def __init__(  # noqa: PLR0913 (keywords with defaults, each of them used)
        self,
        *,
        rate: float | None = None,
        canary: Canary | None = None,
        limit_ms: float = math.inf,
        no_canary: str = "",
        patience_s: float = PATIENCE_S,
        free_rows: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"rate {rate!r} is not a number of rows/s above 0")
        self._most, self._limit_ms, self._patience_s = rate or math.inf, limit_ms, patience_s
        self._canary, self._no_canary, self._free = canary, no_canary, free_rows
        self._stopped = threading.Event()
        self._clock, self._sleep = clock, sleep or self._stopped.wait
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # What is allowed now, and when all that was read until now is paid for.
        self._allowed = min(self._most, START) if math.isfinite(limit_ms) else self._most
        self._paid_at = clock()
        self._growth: float | None = None
        self._grown_at, self._held_back = clock(), False
        self._window: deque[tuple[float, float]] = deque()
        self._asked_at: float | None = None
        self._paused_at: float | None = None
        self._calm = self._pauses = self._canaries = self._failed = 0
        self._paused_s, self._worst_ms = 0.0, 0.0

    def __enter__(self) -> Self:
        if self._canary:
            self._thread = threading.Thread(
                target=self._watch, args=(self._canary,), name="canary", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread:
            self._thread.join()

    def stop(self) -> None:
        """Let nobody wait any more: who waits, or would, gets a StoreError. The canary ends too."""
        self._stopped.set()

    def page_size(self, wanted: int) -> int:
        """How many rows a page may have: one holds a core of the server, and others wait for it."""
        return min(wanted, _PAGE, max(_LEAST_PAGE, int(min(self._most, 1e9) * CREDIT_S)))

    def in_flight(self, wanted: int) -> int:
        """How many ranges may be read at a time."""
        return min(wanted, _IN_FLIGHT)

    def wait(self, rows: int, until: float = math.inf) -> None:
        """Wait until a further page may be asked for; `rows` were in the page just received, 0 before the first.

        Raises StoreError of kind timeout when stopped, or when the canary has not been well for `patience_s` seconds,
        NoTimeToWait at once if that is beyond `until`, by the clock: what was to be read is then not read.
        """
        if self._is_free(rows):
            return
        due: float | None = None
        while True:
            self._require_going_on()
            with self._lock:
                now = self._clock()
                if self._suffering(now):
                    # When it is over, not all go at once.
                    due, left = None, _TICK_S
                else:
                    due = self._pay(rows, now) if due is None else due
                    left = due - now
                    self._held_back |= left > 0
            if left <= 0:
                return
            if now + left > until:
                raise NoTimeToWait("timeout", "There was no time to wait for the pace.", "Allow more time.")
            self._sleep(min(left, _TICK_S))

    def _is_free(self, rows: int) -> bool:
        self._require_going_on()
        with self._lock:
            free = self._free > 0
            self._free -= rows
            return free

    def report(self) -> PaceReport:
        """What has happened so far."""
        with self._lock:
            now = self._clock()
            paused_s = self._paused_s + (now - self._paused_at if self._paused_at is not None else 0)
            answered = self._canaries > self._failed
            worst = self._worst_ms if answered else None
            return PaceReport(self._pauses, paused_s, worst, self._canaries, self._failed, self._no_canary)

    @property
    def allowed(self) -> float:
        """Rows/s allowed now; infinite if nothing limits them. In a pause: those allowed after it."""
        return self._allowed

    def asking(self) -> None:
        """A canary is sent now. Until it is answered in time nobody is held back; then everybody is."""
        self._asked_at = self._clock()

    def answered(self, *, failed: bool = False) -> None:
        """The canary that was sent is answered, or has failed, which counts as beyond any limit."""
        with self._lock:
            now, asked_at = self._clock(), self._asked_at
            ms = math.inf if failed or asked_at is None else 1000 * (now - asked_at)
            self._asked_at = None
            self._canaries += 1
            self._failed += failed
            p99 = self._window_p99(ms, now)
            if self._paused_at is None:
                self._judge(p99, now)
            else:
                self._calm = self._calm + 1 if ms <= self._limit_ms else 0
                if self._calm >= CALM:
                    self._resume(now, self._paused_at)

    # Why the canary cannot be read at all, if so: then neither can the view (a permission was revoked, it was dropped).
    _refusal: StoreError | None = None

    def _watch(self, canary: Canary) -> None:
        while not self._stopped.wait(CANARY_EVERY_S):
            self.asking()
            try:
                canary.read()
            except StoreError as error:
                self.answered(failed=True)
                if error.kind not in MAY_PASS:
                    self._refusal = error
                    return
            else:
                self.answered()

    def _require_going_on(self) -> None:
        if refusal := self._refusal:
            raise StoreError(refusal.kind, refusal.message, refusal.remedy) from refusal
        if self._stopped.is_set():
            raise StoreError("timeout", "The scan was stopped before its end.", "Run it again.")
        asked_at, paused_at = self._asked_at, self._paused_at
        since = asked_at if paused_at is None else paused_at
        if since is not None and self._clock() - since > self._patience_s:
            raise StoreError(
                "timeout",
                f"The scan was paused for {self._patience_s:g} s: reads of the view took longer than "
                f"{self._limit_ms:g} ms, or failed, all the time.",
                "Run it when the cluster has less to do, or raise limits.balance_p99_ms in the profile.",
            )

    def _suffering(self, now: float) -> bool:
        asked_at = self._asked_at
        overdue = asked_at is not None and 1000 * (now - asked_at) > self._limit_ms
        return overdue or self._paused_at is not None

    def _pay(self, rows: int, now: float) -> float:
        """When the rows are paid for, if they are put behind all the others."""
        self._paid_at = max(self._paid_at, now - CREDIT_S) + rows / self._allowed
        return self._paid_at

    def _window_p99(self, ms: float, now: float) -> float:
        self._window.append((now, ms))
        while self._window[0][0] < now - WINDOW_S:
            self._window.popleft()
        p99 = _p99([each for _, each in self._window])
        if math.isfinite(p99):
            self._worst_ms = max(self._worst_ms, p99)
        return p99

    def _judge(self, p99: float, now: float) -> None:
        if p99 > self._limit_ms:
            self._pause(now)
        elif p99 <= WELL * self._limit_ms and now - self._grown_at >= GROW_EVERY_S:
            self._grow(now)

    def _pause(self, now: float) -> None:
        self._pauses += 1
        self._paused_at, self._calm = now, 0
        self._growth = STEP * self._allowed
        self._allowed = min(self._most, max(FLOOR, self._allowed / 2))

    def _resume(self, now: float, paused_at: float) -> None:
        self._paused_s += now - paused_at
        self._paused_at = None
        # What was slow has been answered for.
        self._window.clear()
        self._paid_at = self._grown_at = now

    def _grow(self, now: float) -> None:
        # A rate that nobody reached would grow beyond all use, and halving it would change nothing.
        if self._held_back:
            grown = self._allowed * FIRST_GROWTH if self._growth is None else self._allowed + self._growth
            self._allowed = min(self._most, grown)
        self._grown_at, self._held_back = now, False


def _p99(values: Sequence[float]) -> float:
    """The nearest-rank 99th percentile, as latency.percentile has it: of fewer than 100 values the largest."""
    return sorted(values)[-(-99 * len(values) // 100) - 1]


def open_pace(reader: Reader, view: Table, *, rate: float | None = None) -> Pace:
    """The pace of a scan of a view and its base, by the profile's limits.balance_p99_ms; to be entered.

    `rate`: rows/s of both sides together; without one the first 50,000 rows are read at once. Without a canary (an
    empty or unreadable view) only the rate holds, and the report says why.
    """
    try:
        canary = draw_canary(reader, view)
    except StoreError as error:
        return Pace(rate=rate, no_canary=str(error))
    limit_ms, free = reader.profile.limits.balance_p99_ms, 0 if rate else FREE_ROWS
    return Pace(rate=rate, canary=canary, limit_ms=limit_ms, free_rows=free)


def waiting(pace: Pace | None, until: float = math.inf) -> Callable[[int], None]:
    """`wait` of that pace; without one, of who need not wait."""
    return partial(pace.wait, until=until) if pace else lambda _rows: None


def pace_of(reader: Reader, view: Table, rate: float | None, *, paced: bool) -> Pace | None:
    """The pace of a scan: with a canary if `paced`; by the rate alone, or none at all, if not."""
    if paced:
        return open_pace(reader, view, rate=rate)
    return Pace(rate=rate) if rate else None
