"""How fast a scan may go: never faster than the user said, and no faster than the queries of others can bear.

A canary, a small read of the view, is timed before the scan and all the while. `store.throttle` decides by it what rate
is allowed; here its threads read the canary and hold the workers of the scan back.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from balancebook.progress import status
from balancebook.store.canary import Canary, draw_canary
from balancebook.store.errors import MAY_PASS, StoreError
from balancebook.store.reader import Reader
from balancebook.store.schema import Table
from balancebook.store.throttle import START, WARY, Throttle

CANARY_EVERY_S = 0.05
# Before the scan: as many reads as these, or as many as fit into the time.
BASELINE_READS, BASELINE_S = 30, 0.5
# A rate is kept on average over this time; what was not used for longer is lost, so that no burst makes up for it.
CREDIT_S = 0.1
# So long may every canary fail before the scan is given up.
PATIENCE_S = 120.0
FLOOR = 5_000.0
_TICK_S = 0.02
# A busy server may leave the canary's first reads unanswered.
_CANARY_WAITS_S = (0.5, 2.0)
_LEAST_PAGE = 10
# A tenth of a second's work of two cores: over before a canary could tell anything.
FREE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class PaceReport:
    """How a scan was held back. worst_p99_ms: of any window, None without an answered canary; no_canary: why not.

    baseline_p99_ms: without the scan, None if it was not measured. not_the_cause: how many of the pauses did not help.
    reason: why the scan is not read faster now, "" if nothing but the server holds it back.
    """

    pauses: int
    paused_s: float
    worst_p99_ms: float | None
    canaries: int
    failed: int
    no_canary: str
    baseline_p99_ms: float | None = None
    not_the_cause: int = 0
    reason: str = ""

    def sentences(self) -> list[str]:
        """What there is to say at the end of the scan, for people; nothing if nothing held it back."""
        said = [f"no canary watched the view: {self.no_canary}"] if self.no_canary else []
        if self.pauses:
            useless = self.not_the_cause
            helped = f"; {useless:,} of them did not help: the scan is not the cause" if useless else ""
            said.append(
                f"throttled: {self.pauses:,} pauses, {self.paused_s:.0f} s in all, since {self._cause()}{helped}"
            )
        return said

    def _cause(self) -> str:
        failed = f"{self.failed:,} of {self.canaries:,} small reads of the view failed"
        if not self.worst_p99_ms or math.isinf(self.worst_p99_ms):
            return failed
        known = self.baseline_p99_ms
        without = "" if known is None or math.isinf(known) else f"; without the scan {known:.1f} ms"
        slow = f"balance queries took up to {self.worst_p99_ms:.1f} ms (p99{without})"
        return f"{slow}, and {failed}" if self.failed else slow


class NoTimeToWait(StoreError):
    """The wait would have been longer than the time allowed."""


class Pace:
    """Holds the workers of a scan back; one for all of them, used as a context (the canary is read meanwhile).

    `rate`: rows/s of all workers together. `limit_ms`: of the canary's 99th percentile. `floor`: rows/s that are
    allowed however slow the canary is. `no_canary`: why there is none. `free_rows`: so many are read before anybody
    waits. `workers`: so many scan at the same time, each with a pace of its own; `floor` is the share of this one.
    """

    def __init__(  # noqa: PLR0913 (keywords with defaults, each of them used)
        self,
        *,
        rate: float | None = None,
        canary: Canary | None = None,
        limit_ms: float = math.inf,
        floor: float = FLOOR,
        workers: int = 1,
        no_canary: str = "",
        patience_s: float = PATIENCE_S,
        free_rows: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"rate {rate!r} is not a number of rows/s above 0")
        if not 0 < floor < math.inf:
            raise ValueError(f"floor {floor!r} is not a number of rows/s above 0")
        self._most, self._limit_ms, self._patience_s = rate or math.inf, limit_ms, patience_s
        self._canary, self._no_canary, self._free = canary, no_canary, free_rows
        # Of the scan that is under way, and for good.
        self._released, self._stopped, self._ended = threading.Event(), threading.Event(), ExitStack()
        self._clock, self._sleep = clock, sleep or self._released.wait
        self._lock = threading.Lock()
        now = clock()
        self._throttle: Throttle | None = None
        if math.isfinite(limit_ms):
            self._throttle = Throttle(
                limit_ms=limit_ms,
                floor=floor,
                most=self._most,
                start=START / workers,
                alone=workers == 1,
                now=now,
            )
        # Rows that were read; those for which somebody waits or has waited; those that the rate has allowed until then.
        self._rows, self._asked_for, self._granted, self._granted_at = 0, 0.0, 0.0, now
        self._asked_at: float | None = None
        self._failing_since: float | None = None
        self._canaries = self._failed = 0
        # Why the canary cannot be read at all: then neither can the view (a permission was revoked, it was dropped).
        self._refusal: StoreError | None = None

    def __enter__(self) -> Self:
        """Measure the canary without the scan, for up to half a second, then begin to watch it."""
        if self._canary:
            self._measure(self._canary)
            thread = threading.Thread(target=self._watch, args=(self._canary,), name="canary", daemon=True)
            thread.start()
            self._ended.callback(thread.join)
        self._ended.enter_context(status(self.status))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._ended.close()

    def begin(self) -> None:
        """A scan begins; one that ended early has released its workers."""
        if not self._stopped.is_set():
            self._released.clear()

    def release(self) -> None:
        """A scan ends early: who waits, or would, gets a StoreError, until the next begins."""
        self._released.set()

    def stop(self) -> None:
        """Let nobody wait any more, for good. The canary ends too."""
        self._stopped.set()
        self._released.set()

    def page_size(self, wanted: int) -> int:
        """How many rows the next page may have: no more than are allowed in a tenth of a second, since a page holds a
        core of the server. Small pages cost the server more for each row, so they are not smaller than that."""
        return min(wanted, max(_LEAST_PAGE, int(min(self.allowed, 1e9) * CREDIT_S)))

    def in_flight(self, wanted: int) -> int:
        """How many ranges may be read at a time now: each holds a core of the server."""
        if self._throttle is None:
            return min(wanted, WARY)
        with self._lock:
            return self._throttle.readers(wanted, self._clock())

    def wait(self, rows: int, until: float = math.inf) -> None:
        """Wait until a further page may be asked for; `rows` were in the page just received, 0 before the first.

        Raises StoreError of kind timeout when stopped, or when every canary has failed for `patience_s` seconds,
        NoTimeToWait when it would end after `until`, by the clock; at once if that is sure. What was to be read is then
        not read.
        """
        self._require_going_on()
        with self._lock:
            self._rows += rows
            if self._free > 0:
                self._free -= rows
                return
            self._grant(self._clock())
            self._asked_for += rows
            mine = self._asked_for
        while True:
            self._require_going_on()
            with self._lock:
                now = self._clock()
                self._grant(now)
                missing, rate = mine - self._granted, self._rate(now)
            # Less than a row is rounding: the time for it may be too short for any clock.
            if missing < 0.001 and rate:
                return
            # What the canary allows may be more in a moment; what the user allows stays.
            if now + missing / self._most > until or now >= until:
                raise NoTimeToWait("timeout", "There was no time to wait for the pace.", "Allow more time.")
            self._sleep(min(missing / rate if rate else _TICK_S, _TICK_S))

    def report(self) -> PaceReport:
        """What has happened so far."""
        with self._lock:
            throttle, answered = self._throttle, self._canaries > self._failed
            if throttle is None:
                return PaceReport(0, 0.0, None, self._canaries, self._failed, self._no_canary)
            now = self._clock()
            return PaceReport(
                pauses=throttle.pauses,
                paused_s=throttle.paused_until(now),
                worst_p99_ms=throttle.worst_ms if answered else None,
                canaries=self._canaries,
                failed=self._failed,
                no_canary=self._no_canary,
                baseline_p99_ms=throttle.baseline_ms,
                not_the_cause=throttle.not_the_cause,
                reason=throttle.reason(now),
            )

    def status(self) -> str:
        """The rate that is allowed now and why, for the line of progress; "" if nothing holds the scan back."""
        with self._lock:
            now = self._clock()
            rate, reason = self._rate(now), self._throttle.reason(now) if self._throttle else ""
            if self._failing_since is not None:
                reason = "reads of the view fail or have no answer"
            if reason or (self._throttle and self._throttle.paused):
                return f"{self._held(rate, now)}: {reason or 'balance queries are slow'}"
        return f"at most {self._most:,.0f} rows/s, as asked for" if rate == self._most < math.inf else ""

    def _held(self, rate: float, now: float) -> str:
        throttle = self._throttle
        if not rate or (throttle and throttle.paused):
            return "paused"
        if throttle and not throttle.pauses:
            # Before the first pause the rate only grows: what holds the scan back is how many pages it reads at a time.
            pages = throttle.readers(WARY, now)
            return f"throttled to {pages} page{'s' * (pages > 1)} at a time"
        return f"throttled to {rate:,.0f} rows/s"

    @property
    def allowed(self) -> float:
        """Rows/s allowed now; infinite if nothing limits them."""
        return self._throttle.rate if self._throttle else self._most

    def asking(self) -> None:
        """A canary is sent now. While it takes longer than it may, the scan goes at its floor."""
        with self._lock:
            self._grant(self._clock())
            self._asked_at = self._clock()

    def answered(self, *, failed: bool = False) -> None:
        """The canary that was sent is answered, or has failed, which counts as beyond any limit."""
        with self._lock:
            now, asked_at = self._clock(), self._asked_at
            self._grant(now)
            self._canaries += 1
            self._failed += failed
            if not failed:
                self._failing_since = None
            elif self._failing_since is None:
                self._failing_since = now if asked_at is None else asked_at
            self._asked_at = None
            if self._throttle:
                ms = math.inf if failed or asked_at is None else 1000 * (now - asked_at)
                self._throttle.observe(ms, now, self._rows)

    def _measure(self, canary: Canary) -> None:
        """What the canary takes before the scan."""
        times = list(canary.tried_ms)
        end = self._clock() + BASELINE_S
        while len(times) < BASELINE_READS and (asked_at := self._clock()) < end:
            try:
                canary.read()
            except StoreError:
                # Whether it can be read at all is seen while it is watched.
                break
            times.append(1000 * (self._clock() - asked_at))
        if self._throttle:
            self._throttle.before_scan(times, self._clock())

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
            except Exception as error:  # noqa: BLE001 (a thread has nobody to raise it to: the scan says it)
                self.answered(failed=True)
                self._refusal = StoreError(
                    "protocol", f"The canary failed: {type(error).__name__}: {error}.", ""
                )
                return
            else:
                self.answered()

    def _require_going_on(self) -> None:
        if refusal := self._refusal:
            raise StoreError(refusal.kind, refusal.message, refusal.remedy) from refusal
        if self._released.is_set():
            raise StoreError("timeout", "The scan was stopped before its end.", "Run it again.")
        since = self._asked_at if self._failing_since is None else self._failing_since
        if since is not None and self._clock() - since > self._patience_s:
            raise StoreError(
                "timeout",
                f"The scan was paused for {self._patience_s:g} s: all small reads of the view failed, or had no "
                "answer.",
                "Run it when the cluster is well, or with --no-pace.",
            )

    def _rate(self, now: float) -> float:
        """Rows/s allowed now: none while canaries fail, the floor while one takes too long."""
        if self._throttle is None:
            return self._most
        if self._failing_since is not None:
            return 0.0
        overdue = self._asked_at is not None and 1000 * (now - self._asked_at) > self._throttle.bound_ms
        return self._throttle.floor if overdue else self._throttle.rate

    def _grant(self, now: float) -> None:
        """Allow what the rate has allowed since the last time."""
        rate = self._rate(now)
        if math.isinf(rate):
            self._granted = self._asked_for
        else:
            more = self._granted + rate * max(0.0, now - self._granted_at)
            # What is left of a higher rate is lost too.
            self._granted = min(more, self._asked_for + rate * CREDIT_S)
        self._granted_at = now


def open_pace(reader: Reader, view: Table, *, rate: float | None = None, workers: int = 1) -> Pace:
    """The pace of a scan of a view and its base, by the profile's limits; to be entered.

    `rate`: rows/s of both sides together; without one the first 50,000 rows are read at once. Without a canary only the
    rate holds, and the report says why: of an empty view, or one that may not be read. If it only could not be read
    now, the scan goes at its floor. `workers`: how many scan at the same time, each with a pace of its own, and share
    what the profile allows.
    """
    limits = reader.profile.limits
    try:
        canary = _canary(reader, view)
    except StoreError as error:
        if error.kind not in MAY_PASS:
            return Pace(rate=rate, no_canary=str(error))
        floor = limits.floor_rows_per_s / workers
        slow = f"{error} Both sides are read at {floor:,.0f} rows/s at most."
        return Pace(rate=min(rate or math.inf, floor), no_canary=slow)
    return Pace(
        rate=rate,
        canary=canary,
        limit_ms=limits.balance_p99_ms,
        floor=limits.floor_rows_per_s / workers,
        workers=workers,
        free_rows=0 if rate else FREE_ROWS // workers,
    )


def _canary(reader: Reader, view: Table) -> Canary:
    for wait_s in _CANARY_WAITS_S:
        try:
            return draw_canary(reader, view)
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            time.sleep(wait_s)
    return draw_canary(reader, view)


def waiting(pace: Pace | None, until: float = math.inf) -> Callable[[int], None]:
    """`wait` of that pace; without one, of who need not wait."""
    return partial(pace.wait, until=until) if pace else lambda _rows: None


def pace_of(reader: Reader, view: Table, rate: float | None, *, paced: bool, workers: int = 1) -> Pace | None:
    """The pace of a scan: with a canary if `paced`; by the rate alone, or none at all, if not."""
    if paced:
        return open_pace(reader, view, rate=rate, workers=workers)
    return Pace(rate=rate) if rate else None
