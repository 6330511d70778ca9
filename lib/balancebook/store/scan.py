"""Reading a whole table once: by token range, a few at a time, within a budget, and saying what was not read.

Figures behind the defaults (2.2 M rows, Cassandra 5.0.6): 64 ranges, 4 in flight and pages of 5,000 read fastest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import pairwise

from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.estimate import Cost, estimate
from balancebook.store.names import quote
from balancebook.store.reader import Reader, Row
from balancebook.store.schema import Table

__all__ = [
    "Cost",
    "Scan",
    "ScanReport",
    "estimate",
    "filtered",
    "merge_ranges",
    "range_clause",
    "scan",
    "split_range",
    "split_ring",
]

LOWEST = -(2**63)
HIGHEST = 2**63 - 1
MURMUR3 = "org.apache.cassandra.dht.Murmur3Partitioner"
SPLIT = 4
NARROW = 10
_STRIDE = 8
MAY_PASS = ("timeout", "unavailable", "unreachable")

TokenRange = tuple[int, int]
Progress = Callable[["ScanReport"], None]


@dataclass
class ScanReport:
    """What a scan has read so far. It covers the table only if `complete`.

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


def split_ring(count: int) -> list[TokenRange]:
    """`count` ranges (lo, hi] of nearly equal size from -2^63 to 2^63-1, in order, that meet without gap or overlap."""
    if count < 1:
        raise ValueError(f"{count} ranges: at least one is needed")
    return split_range((LOWEST, HIGHEST), count)


def split_range(whole: TokenRange, count: int) -> list[TokenRange]:
    """(lo, hi] in at most `count` parts, none of them empty."""
    lo, hi = whole
    count = max(1, min(count, hi - lo))
    cuts = [lo + (hi - lo) * part // count for part in range(count + 1)]
    return list(pairwise(cuts))


def merge_ranges(ranges: Iterable[TokenRange]) -> list[TokenRange]:
    """The same tokens in as few ranges as can be, in order."""
    merged: list[TokenRange] = []
    for lo, hi in sorted(ranges):
        if merged and merged[-1][1] == lo:
            merged[-1] = (merged[-1][0], hi)
        else:
            merged.append((lo, hi))
    return merged


def scattered(ranges: Sequence[TokenRange]) -> list[TokenRange]:
    """The ranges with neighbours far apart, so that one dead node's ranges do not come all in a row."""
    return [tokens for start in range(_STRIDE) for tokens in ranges[start::_STRIDE]]


def range_clause(table: Table, tokens: TokenRange) -> tuple[str, tuple[int, ...]]:
    """The WHERE of a range and its parameters; empty for the whole ring.

    -2^63 is never sent: to the server it means no bound at all, and it is the token of an empty partition key, so the
    first range has only an upper bound and so holds it. The last has only a lower one.
    """
    token = f"token({', '.join(quote(column.name) for column in table.partition_key)})"
    lo, hi = tokens
    bounds = [(f"{token} > ?", lo)] if lo > LOWEST else []
    bounds += [(f"{token} <= ?", hi)] if hi < HIGHEST else []
    where = " AND ".join(clause for clause, _ in bounds)
    return (f" WHERE {where}" if where else ""), tuple(value for _, value in bounds)


def filtered(clause: str, where: str) -> str:
    """A WHERE, or nothing, and conditions besides (see store.view_filter), which the server checks row by row."""
    if not where:
        return clause
    return f"{clause} {'AND' if clause else 'WHERE'} {where} ALLOW FILTERING"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one range: its rows, the parts that could not be read, and whether it was left before its end."""

    rows: list[Row]
    unknown: list[TokenRange]
    reasons: list[str]
    cut: bool


@dataclass(kw_only=True)
class Scan:
    """One scan: iterate over it once, for lists of rows in no particular order; `report` grows as it goes.

    A range's rows come together, when it was read to its end, so that a retry never counts a row twice. (Only the
    budget cuts a range short.) A range that cannot be read is tried again in smaller parts with smaller pages, and
    the parts that still fail are named in the report. When twice as many attempts in a row as are in flight have had no
    answer, the server is taken for gone and all that is left is unknown: a paused server ends a scan in seconds.
    """

    reader: Reader
    table: Table
    columns: Sequence[str]
    budget_rows: int
    ranges: int
    in_flight: int
    page_size: int
    distinct: bool
    progress: Progress | None
    where: str

    def __post_init__(self) -> None:
        selected = ", ".join(quote(name) for name in self.columns)
        distinct = "DISTINCT " if self.distinct else ""
        self._select = f"SELECT {distinct}{selected} FROM {self.table.cql_name}"
        self._suffix = dialect_of(self.reader.server, self.reader.profile).scan_suffix
        self._lock = threading.Lock()
        self._fetched = 0
        self._failures_in_a_row = 0
        self._stop = threading.Event()
        self.report = ScanReport(ranges_total=self.ranges)

    def __iter__(self) -> Iterator[list[Row]]:
        waiting = deque(scattered(split_ring(self.ranges)))
        running: set[Future[_Outcome]] = set()
        pool = ThreadPoolExecutor(self.in_flight, thread_name_prefix="scan")
        try:
            while running or (waiting and not self.report.truncated):
                while waiting and len(running) < self.in_flight:
                    running.add(pool.submit(self._read_range, waiting.popleft()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    rows = self._settle(future.result())
                    if rows:
                        yield rows
        finally:
            # A consumer that leaves early does not wait for ranges it no longer wants.
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _settle(self, outcome: _Outcome) -> list[Row]:
        report = self.report
        rows = outcome.rows[: self.budget_rows - report.rows]
        report.rows += len(rows)
        report.truncated |= outcome.cut
        report.unknown_ranges = merge_ranges([*report.unknown_ranges, *outcome.unknown])
        report.reasons = list(dict.fromkeys([*report.reasons, *outcome.reasons]))
        if not outcome.cut and not outcome.unknown:
            report.ranges_done += 1
        if self.progress:
            self.progress(report)
        return rows

    def _read_range(self, tokens: TokenRange) -> _Outcome:
        outcome = self._attempt(tokens, self.page_size)
        if not outcome.unknown or outcome.cut:
            return outcome
        parts = [self._attempt(part, max(1, self.page_size // NARROW)) for part in split_range(tokens, SPLIT)]
        return _Outcome(
            rows=[row for part in parts for row in part.rows],
            unknown=[tokens for part in parts for tokens in part.unknown],
            reasons=[*outcome.reasons, *(reason for part in parts for reason in part.reasons)],
            cut=any(part.cut for part in parts),
        )

    def _attempt(self, tokens: TokenRange, page_size: int) -> _Outcome:
        """Read one range. What may pass (time, load, network) makes it unknown; anything else is raised."""
        if self._stop.is_set():
            return _Outcome([], [], [], cut=True)
        if self._failures_in_a_row >= 2 * self.in_flight:
            return _Outcome([], [tokens], [], cut=False)
        rows: list[Row] = []
        clause, params = range_clause(self.table, tokens)
        statement = self._select + filtered(clause, self.where) + self._suffix
        try:
            for page in self.reader.pages(statement, params, page_size=page_size):
                rows += page
                if self._count(len(page)):
                    return _Outcome(rows, [], [], cut=True)
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            with self._lock:
                self._fetched -= len(rows)
                # Too few replicas of one range says nothing of the others, and costs no time.
                self._failures_in_a_row += error.kind != "unavailable"
            return _Outcome([], [tokens], [str(error)], cut=False)
        self._failures_in_a_row = 0
        return _Outcome(rows, [], [], cut=False)

    def _count(self, rows: int) -> bool:
        """Add to what was fetched. True if reading is over, since there is more than the budget allows."""
        with self._lock:
            self._fetched += rows
            if self._fetched > self.budget_rows:
                self._stop.set()
        return self._stop.is_set()


def scan(  # noqa: PLR0913  (keywords with defaults, each of them used)
    reader: Reader,
    table: Table,
    columns: Sequence[str],
    *,
    budget_rows: int,
    ranges: int = 64,
    in_flight: int = 4,
    page_size: int = 5000,
    distinct: bool = False,
    progress: Progress | None = None,
    where: str = "",
) -> Scan:
    """A scan of `columns` of a whole table or view, at LOCAL_ONE; nothing is read before it is iterated over.

    At the most `budget_rows` rows are given; if there are more, the report says truncated. `distinct` reads each
    partition key once (columns: those of the partition key). `progress` is called with the report after every range.
    `where`: conditions in CQL that the rows must satisfy (see store.view_filter).
    Raises StoreError at once for what no retry can mend (permission, missing table); what may pass becomes an unknown
    range in the report.
    """
    if budget_rows < 1:
        raise ValueError(f"budget_rows is {budget_rows}: at least one row must be allowed")
    if reader.server.partitioner != MURMUR3:
        raise StoreError(
            "protocol",
            f"The cluster's partitioner is {reader.server.partitioner}; scans need {MURMUR3}.",
            "Nothing here can read such a ring by token.",
        )
    return Scan(
        reader=reader,
        table=table,
        columns=columns,
        budget_rows=budget_rows,
        ranges=ranges,
        in_flight=in_flight,
        page_size=page_size,
        distinct=distinct,
        progress=progress,
        where=where,
    )
