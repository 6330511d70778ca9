"""Reading whole tables by token range: a few ranges at a time, within a budget, and saying what was not read.

What a range comes to is the caller's affair (`read`); here it is decided which ranges are read, again and how, and what
is given up. Figures behind the defaults (2 M rows a side, Cassandra 5.0.6): 64 ranges and 4 in flight read fastest, six
or eight no faster.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from balancebook.store import errors
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace
from balancebook.store.tokens import TokenRange, merge_ranges, split_range, split_ring

RANGES = 64
IN_FLIGHT = 4
PAGE_SIZE = 5000
_SPLIT = 4
NARROW = 10
_STRIDE = 8
_TICK_S = 1.0
MAY_PASS = errors.MAY_PASS

Progress = Callable[["ScanReport"], None]
Gathered = TypeVar("Gathered")


@dataclass(frozen=True, slots=True)
class RangeTask:
    """One token range of one of the tables that are read, by its number."""

    table: int
    tokens: TokenRange


@dataclass
class ScanReport:
    """What a scan has read so far. It covers the tables only if `complete`.

    unknown_ranges: token ranges (lo, hi], that could not be read; lo = -2^63 stands for the very beginning, its own
    token included. reasons: why, each once. truncated: the budget ended the scan.
    """

    ranges_total: int
    rows: int = 0
    ranges_done: int = 0
    unknown_ranges: list[TokenRange] = field(default_factory=list)
    truncated: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every range was read to its end."""
        return self.ranges_done == self.ranges_total

    def why_incomplete(self, table: str, budget_rows: int | None, counted: str = "rows") -> list[str]:
        """Why the scan does not stand for the table (its name, or the tables'): one clause, or none if it does."""
        if self.truncated:
            return [f"{table} has more {counted} than the budget of {budget_rows:,}"]
        if self.complete:
            return []
        left = f"{self.ranges_total - self.ranges_done} of {self.ranges_total} token ranges"
        return [f"{left} of {table} could not be read: {'; '.join(self.reasons)}"]

    def leave(self, ranges: Iterable[TokenRange], reasons: Iterable[str]) -> None:
        """Note ranges that could not be read, and why; or only reasons, of what was mended by trying again."""
        self.unknown_ranges = merge_ranges([*self.unknown_ranges, *ranges])
        self.reasons = list(dict.fromkeys([*self.reasons, *reasons]))


def tasks_by_turns(ranges: int, tables: int) -> list[RangeTask]:
    """Every range of every table: the tables by turns, so that all are read at about the same time, and neighbours far
    apart, so that one dead node's ranges do not come all in a row."""
    ring = split_ring(ranges)
    scattered = [tokens for start in range(_STRIDE) for tokens in ring[start::_STRIDE]]
    return [RangeTask(table, tokens) for tokens in scattered for table in range(tables)]


Grant = Callable[[int], int]
"""Says how many of so many more rows the budget still allows: if not all, reading is over."""
ReadRange = Callable[[RangeTask, int, Grant], Gathered]
"""Reads a range, with pages of that size; called in a worker's thread. If reading fails it raises StoreError."""


@dataclass(frozen=True, slots=True)
class Part(Generic[Gathered]):
    """A range, or a part of one that was tried again, and what it came to. Not `whole`: the budget cut it short."""

    task: RangeTask
    gathered: Gathered
    whole: bool


@dataclass(slots=True)
class _Outcome(Generic[Gathered]):
    """What became of one range: what was read of it, and the parts that could not be."""

    parts: list[Part[Gathered]] = field(default_factory=list)
    rows: int = 0
    unknown: list[TokenRange] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    cut: bool = False

    def add(self, other: _Outcome[Gathered]) -> None:
        self.parts += other.parts
        self.rows += other.rows
        self.unknown += other.unknown
        self.reasons += other.reasons
        self.cut |= other.cut


class RangeScan(Generic[Gathered]):
    """Iterate over it once, for parts in no particular order; `report` grows as it goes.

    A range's part comes when it was read to its end, so that a retry never counts a row twice. (Only the budget cuts a
    range short.) A range that cannot be read is tried again in smaller parts with smaller pages, and the parts that
    still fail are named in the report. When twice as many attempts in a row as are in flight have had no answer, the
    server is taken for gone and all that is left is unknown: a paused server ends a scan in seconds. More than
    `budget_rows` rows of a table end it: it is truncated. With a `pace` fewer ranges are in flight, and a scan that is
    left before its end stops its pace; to wait for it, and to ask it for the size of each page, is the reader's part.
    `progress` is called with the report after every range, and every second. What no retry can mend
    (a permission, a missing table) is raised at once as StoreError.
    """

    def __init__(  # noqa: PLR0913 (keywords with defaults, each of them used)
        self,
        tasks: Sequence[RangeTask],
        read: ReadRange[Gathered],
        *,
        in_flight: int = IN_FLIGHT,
        page_size: int = PAGE_SIZE,
        budget_rows: int | None = None,
        progress: Progress | None = None,
        report: ScanReport | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._tasks, self._read, self._progress, self._pace = tasks, read, progress, pace
        self._in_flight = in_flight
        self._page_size = page_size
        self._budget, self._fetched = budget_rows, {task.table: 0 for task in tasks}
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self._stop = threading.Event()
        # One that was begun elsewhere goes on.
        self.report = report or ScanReport(ranges_total=len(tasks))

    def __iter__(self) -> Iterator[Part[Gathered]]:
        waiting = deque(self._tasks)
        running: set[Future[_Outcome[Gathered]]] = set()
        pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="scan")
        if self._pace:
            self._pace.begin()
        try:
            while running or (waiting and not self._stop.is_set()):
                while waiting and len(running) < self._wanted():
                    running.add(pool.submit(self._try, waiting.popleft()))
                done, running = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
                if self._progress and not done:
                    # A range may take minutes where the scan is held back: meanwhile it is said why.
                    self._progress(self.report)
                for future in done:
                    yield from self._settle(future.result())
        except BaseException:
            # Else the end would wait for those who wait.
            if self._pace:
                self._pace.release()
            raise
        finally:
            # A consumer that leaves early does not wait for ranges it no longer wants.
            self.stop()
            pool.shutdown(wait=True, cancel_futures=True)

    def _wanted(self) -> int:
        """How many ranges are to be begun and not ended: one more than are worked on, so that no worker waits for what
        is done with the last range; no more than the pace allows."""
        allowed = self._pace.in_flight(self._in_flight) if self._pace else self._in_flight
        return allowed + (allowed == self._in_flight)

    def stop(self) -> None:
        """Read no further page. May be called from any thread."""
        self._stop.set()

    def _settle(self, outcome: _Outcome[Gathered]) -> list[Part[Gathered]]:
        report = self.report
        report.rows += outcome.rows
        report.truncated |= outcome.cut
        report.leave(outcome.unknown, outcome.reasons)
        report.ranges_done += not (outcome.cut or outcome.unknown)
        if self._progress:
            self._progress(report)
        return outcome.parts

    def _try(self, task: RangeTask) -> _Outcome[Gathered]:
        outcome = self._attempt(task, self._page_size)
        if not outcome.unknown or outcome.cut:
            return outcome
        again: _Outcome[Gathered] = _Outcome(reasons=outcome.reasons)
        for tokens in split_range(task.tokens, _SPLIT):
            again.add(self._attempt(RangeTask(task.table, tokens), max(1, self._page_size // NARROW)))
        return again

    def _attempt(self, task: RangeTask, page_size: int) -> _Outcome[Gathered]:
        """Read one range. What may pass (time, load, network) makes it unknown; anything else is raised."""
        if self._stop.is_set():
            return _Outcome(cut=True)
        if self._failures_in_a_row >= 2 * self._in_flight:
            return _Outcome(unknown=[task.tokens])
        granted, cut = 0, False

        def grant(rows: int) -> int:
            nonlocal granted, cut
            allowed = self._allow(task.table, rows)
            granted += allowed
            cut |= allowed < rows
            return allowed

        try:
            gathered = self._read(task, page_size, grant)
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            with self._lock:
                self._fetched[task.table] -= granted
                # Too few replicas of one range says nothing of the others, and costs no time.
                self._failures_in_a_row += error.kind != "unavailable"
            return _Outcome(unknown=[task.tokens], reasons=[str(error)])
        self._failures_in_a_row = 0
        return _Outcome(parts=[Part(task, gathered, not cut)], rows=granted, cut=cut)

    def _allow(self, table: int, rows: int) -> int:
        with self._lock:
            if self._stop.is_set():
                return 0
            left = rows if self._budget is None else max(0, self._budget - self._fetched[table])
            allowed = min(rows, left)
            self._fetched[table] += allowed
            if allowed < rows:
                self._stop.set()
            return allowed
