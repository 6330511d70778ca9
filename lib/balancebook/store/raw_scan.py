"""Reading whole tables as raw pages: several tables at once, each token range gathered by the caller.

As store.scan, it retries a range in smaller parts, names what stays unread, and notices a server that is gone; but it
decodes nothing, and keeps nothing: what a range comes to is for `gather` to say.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import Pace
from balancebook.store.raw import RawPage, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.scan import (
    MAY_PASS,
    MURMUR3,
    NARROW,
    SPLIT,
    Progress,
    ScanReport,
    TokenRange,
    merge_ranges,
    range_clause,
    scattered,
    split_range,
    split_ring,
)
from balancebook.store.schema import Table

Gathered = TypeVar("Gathered")
Gather = Callable[[int, Iterator[RawPage]], Gathered]
"""Makes a range's pages into what is wanted of them; called in a worker's thread, with the number of the table. If
reading fails, the iterator raises StoreError: let it pass, and drop what was gathered."""


@dataclass(frozen=True, slots=True)
class _Task:
    table: int
    tokens: TokenRange


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Gathered]):
    table: int
    gathered: list[Gathered]
    unknown: list[TokenRange]
    reasons: list[str]


class _Counted:
    """Pages, counting their rows as they go by."""

    def __init__(self, pages: Iterator[RawPage]) -> None:
        self._pages, self.rows = pages, 0

    def __iter__(self) -> Iterator[RawPage]:
        return self

    def __next__(self) -> RawPage:
        page = next(self._pages)
        self.rows += page.rows
        return page


class RawScan(Generic[Gathered]):
    """One scan of the same columns of several tables, at LOCAL_ONE. Iterate over it once, for (table, gathered).

    Each range comes when it was read to its end, so that a retry counts nothing twice. The columns of every page are
    held against those asked for. `report` covers all tables together: they were read only if it is complete. More than
    `budget_rows` rows of a table end the scan: it is truncated. With a `pace` every page waits for it, with smaller
    pages and fewer ranges in flight; a scan that is left before its end stops its pace. Raises StoreError at once for
    what no retry mends.
    """

    def __init__(  # noqa: PLR0913 (keywords with defaults, each of them used)
        self,
        reader: Reader,
        tables: Sequence[Table],
        columns: Sequence[str],
        gather: Gather[Gathered],
        *,
        ranges: int = 64,
        in_flight: int = 4,
        page_size: int = 5000,
        budget_rows: int | None = None,
        progress: Progress | None = None,
        pace: Pace | None = None,
    ) -> None:
        if reader.server.partitioner != MURMUR3:
            raise StoreError(
                "protocol",
                f"The cluster's partitioner is {reader.server.partitioner}; scans need {MURMUR3}.",
                "Nothing here can read such a ring by token.",
            )
        self._reader, self._tables, self._columns = reader, tables, tuple(columns)
        self._gather, self._progress = gather, progress
        self._ranges, self._pace = ranges, pace
        self._in_flight = pace.in_flight(in_flight) if pace else in_flight
        self._page_size = pace.page_size(page_size) if pace else page_size
        self._budget, self._fetched = budget_rows, [0] * len(tables)
        selected = ", ".join(quote(name) for name in columns)
        self._selects = [f"SELECT {selected} FROM {table.cql_name}" for table in tables]
        self._suffix = dialect_of(reader.server, reader.profile).scan_suffix
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self._stop = threading.Event()
        self.report = ScanReport(ranges_total=ranges * len(tables))

    def __iter__(self) -> Iterator[tuple[int, Gathered]]:
        # The tables by turns, so that both are read at about the same time.
        waiting = deque(
            _Task(table, tokens)
            for tokens in scattered(split_ring(self._ranges))
            for table in range(len(self._tables))
        )
        running: set[Future[_Outcome[Gathered]]] = set()
        pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="scan")
        try:
            while running or (waiting and not self.report.truncated):
                # One more than is worked on, so that no worker waits for what is done with the last range.
                while waiting and len(running) <= self._in_flight:
                    running.add(pool.submit(self._read, waiting.popleft()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._settle(future.result())
        except BaseException:
            # Else the end would wait for those who wait.
            if self._pace:
                self._pace.stop()
            raise
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _settle(self, outcome: _Outcome[Gathered]) -> Iterator[tuple[int, Gathered]]:
        report = self.report
        report.unknown_ranges = merge_ranges([*report.unknown_ranges, *outcome.unknown])
        report.reasons = list(dict.fromkeys([*report.reasons, *outcome.reasons]))
        report.ranges_done += not outcome.unknown
        for gathered in outcome.gathered:
            yield outcome.table, gathered
        if self._progress:
            self._progress(report)

    def _read(self, task: _Task) -> _Outcome[Gathered]:
        whole = self._attempt(task, self._page_size)
        if not whole.unknown:
            return whole
        narrow = max(1, self._page_size // NARROW)
        parts = [self._attempt(_Task(task.table, part), narrow) for part in split_range(task.tokens, SPLIT)]
        return _Outcome(
            task.table,
            [each for part in parts for each in part.gathered],
            [tokens for part in parts for tokens in part.unknown],
            [*whole.reasons, *(reason for part in parts for reason in part.reasons)],
        )

    def _attempt(self, task: _Task, page_size: int) -> _Outcome[Gathered]:
        if self._stop.is_set() or self._failures_in_a_row >= 2 * self._in_flight:
            return _Outcome(task.table, [], [task.tokens], [])
        pages = _Counted(self._pages(task, page_size))
        try:
            gathered = self._gather(task.table, pages)
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            with self._lock:
                # Too few replicas of one range says nothing of the others, and costs no time.
                self._failures_in_a_row += error.kind != "unavailable"
            return _Outcome(task.table, [], [task.tokens], [str(error)])
        with self._lock:
            self._failures_in_a_row = 0
            self.report.rows += pages.rows
            self._fetched[task.table] += pages.rows
            if self._budget is not None and self._fetched[task.table] > self._budget:
                self.report.truncated = True
                self._stop.set()
        return _Outcome(task.table, [gathered], [], [])

    def _pages(self, task: _Task, page_size: int) -> Iterator[RawPage]:
        where, params = range_clause(self._tables[task.table], task.tokens)
        statement = self._selects[task.table] + where + self._suffix
        wait = self._pace.wait if self._pace else None
        for page in raw_pages(self._reader, statement, params, page_size=page_size, wait=wait):
            if page.names != self._columns:
                raise StoreError(
                    "protocol",
                    f"{self._tables[task.table].cql_name} answered with columns {', '.join(page.names)}.",
                    "Was it altered meanwhile? Run it again.",
                )
            yield page
