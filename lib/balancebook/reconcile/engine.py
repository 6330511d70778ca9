"""Comparing a view with its base at the speed of reading them, in memory that grows with the differences alone.

Both sides are folded, as raw bytes, into one sketch, the base added and the view taken away. Equal rows cancel; what is
left is peeled, and each row so named is read again and judged as the naive comparison judges it (reconcile.confirm). A
sketch too small for what differs says so, and about how much differs: then it grows, and past a bound the rows are
compared bucket by bucket, a pass over both sides for each.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from queue import Empty, SimpleQueue
from typing import Any

from balancebook.errors import BalancebookError
from balancebook.reconcile.candidates import Candidates
from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY, SCAN_CONSISTENCY
from balancebook.reconcile.naive import Difference, NaiveReport, summed_up
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.sides import Side, base_side, view_side
from balancebook.sketch.layout import RowLayout, fixed_width
from balancebook.sketch.sketch import KeyWidthError, PageError, Sketch
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import RawScan
from balancebook.store.reader import Reader
from balancebook.store.scan import Progress, ScanReport
from balancebook.store.schema import View, read_table, read_view

BASE, VIEW = 0, 1
# 0.7 MB: folding stays within the processor's caches, and 5,000 rows that differ are named in one pass.
_CELLS = 3 * 2048
# 13 MB a sketch, of which there is one for each range in flight and two more; 120,000 rows that differ at a time.
_MOST_CELLS = 3 * 2**16
# Peeling works up to 1.22 cells a row; the estimate may be 16 % off at one sigma.
_CELLS_A_ROW = 1.7
_MOST_BUCKETS = 4096
# Their bytes are signed numbers.
_ORDERED = ("tinyint", "smallint", "int", "bigint", "timestamp")


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Rows whose column (tinyint to bigint, or timestamp in ms) is beyond `latest` are left out on both sides."""

    column: str
    latest: int


@dataclass(frozen=True, kw_only=True)
class Report(NaiveReport):
    """What a comparison found, as NaiveReport says it, and how it went.

    passes: how often both sides were read whole to find what differs. newer: rows of base and view beyond the cut-off,
    which are counted but were not compared. seed: of the hashes.
    """

    passes: int
    newer: tuple[int, int]
    seed: int


def reconcile(  # noqa: PLR0913 (keywords with defaults, each of them used)
    reader: Reader,
    view: View,
    *,
    grace_s: float,
    cutoff: Cutoff | None = None,
    budget_rows: int | None = None,
    samples: int = 1000,
    cells: int = _CELLS,
    most_cells: int = _MOST_CELLS,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
) -> Report:
    """Reads base and view, and confirms each difference by two reads of both sides `grace_s` seconds apart.

    Kinds, counts and samples are those of naive.read_and_compare; `budget_rows` holds for each side in each pass. It
    begins with `cells` cells, and takes up to `most_cells` before it goes bucket by bucket. `progress` is called after
    each range of a pass. Raises StoreError for what no retry mends, BalancebookError for a view that filters by more
    than IS NOT NULL, or a cut-off that is no number in the view.
    """
    return _Engine(reader, view, grace_s, cutoff, budget_rows, sleep, progress).report(
        samples, cells, max(cells, most_cells)
    )


@dataclass
class _Counts:
    """Rows of one side in one pass: those that are the view's (or would be), those without a key, those too new."""

    rows: int = 0
    dropped: int = 0
    newer: int = 0

    def add(self, other: _Counts) -> None:
        self.rows += other.rows
        self.dropped += other.dropped
        self.newer += other.newer


@dataclass(frozen=True, slots=True)
class _Bucket:
    number: int
    of: int
    cells: int


class _Engine:
    def __init__(
        self,
        reader: Reader,
        view: View,
        grace_s: float,
        cutoff: Cutoff | None,
        budget_rows: int | None,
        sleep: Callable[[float], None],
        progress: Progress | None,
    ) -> None:
        self._reader, self._view, self._grace_s = reader, view, grace_s
        self._budget_rows, self._sleep, self._progress = budget_rows, sleep, progress
        self._sides = base_side(reader, view), view_side(view)
        self._layout = layout_of(self._sides, cutoff)
        self._seed = secrets.randbits(64)
        self._passes = 0
        self._counts = _Counts(), _Counts()
        self._types: tuple[Any, ...] = ()
        self._last = ScanReport(ranges_total=0)
        self._reasons: list[str] = []
        self._confirmed_at = BY_KEY_CONSISTENCY

    def report(self, samples: int, cells: int, most_cells: int) -> Report:
        found = summed_up(self._differences(cells, most_cells), 0, 0, samples)
        self._require_same_schema()
        first = {field.name: getattr(found, field.name) for field in fields(NaiveReport)}
        base, view = self._counts
        return Report(
            **first
            | {
                "rows_base": base.rows + base.newer,
                "rows_view": view.rows + view.newer,
                "key_columns": self._sides[VIEW].key,
                "value_columns": self._sides[VIEW].values,
                "complete": not self._reasons,
                "reasons": tuple(self._reasons),
                "truncated": self._last.truncated,
                "unknown_ranges": tuple(self._last.unknown_ranges),
                "ranges_total": self._last.ranges_total,
                "ranges_done": self._last.ranges_done,
                "confirmed_at": self._confirmed_at,
            },
            passes=self._passes,
            newer=(base.newer, view.newer),
            seed=self._seed,
        )

    def _differences(self, cells: int, most_cells: int) -> Iterator[Difference]:
        """Every row that differs, confirmed; less if a pass could not be completed: then there is a reason."""
        waiting = [_Bucket(0, 1, cells)]
        while waiting and not self._reasons:
            bucket = waiting.pop()
            sketch = self._pass(bucket)
            if sketch is None:
                return
            items = sketch.peel()
            if items.complete:
                yield from self._confirmed(items)
            else:
                waiting += self._smaller(bucket, sketch.estimate(), most_cells)

    def _smaller(self, bucket: _Bucket, differences: int, most_cells: int) -> list[_Bucket]:
        """What to do in place of a bucket that did not peel: the same with more cells, or several with the most."""
        wanted = int(differences * _CELLS_A_ROW)
        if wanted <= most_cells and bucket.cells < most_cells:
            return [_Bucket(bucket.number, bucket.of, min(most_cells, max(wanted, 2 * bucket.cells)))]
        parts = max(2, -(-wanted // most_cells))
        if bucket.of * parts > _MOST_BUCKETS:
            self._reasons.append(f"about {differences:,} rows differ, too many to name; rebuild the view")
            return []
        return [_Bucket(bucket.number * parts + n, bucket.of * parts, most_cells) for n in range(parts)]

    def _pass(self, bucket: _Bucket) -> Sketch | None:
        """One reading of both sides: base less view. None, with a reason, if it could not be completed."""
        try:
            sketch, counts = self._fold(bucket)
        except KeyWidthError:
            self._layout = self._layout.by_tokens()
            return self._pass(bucket)
        except PageError as error:
            raise StoreError("protocol", f"A page cannot be read: {error}", "Run it again.") from error
        if self._passes == 0 or self._reasons:
            self._counts = counts
        self._passes += 1
        self._require_really_empty(counts)
        return None if self._reasons else sketch

    def _fold(self, bucket: _Bucket) -> tuple[Sketch, tuple[_Counts, _Counts]]:
        total = Sketch(
            self._layout, cells=bucket.cells, seed=self._seed, bucket=bucket.number, buckets=bucket.of
        )
        spare: SimpleQueue[Sketch] = SimpleQueue()

        def gather(_table: int, pages: Iterator[RawPage]) -> tuple[Sketch, _Counts]:
            counts, part = _Counts(), _taken(spare) or total.like()
            for page in pages:
                folded = part.fold(page.body, page.start, page.rows)
                counts.add(_Counts(folded.rows, folded.dropped, folded.newer))
                self._types = page.types
            return part, counts

        scan = RawScan(
            self._reader,
            [side.table for side in self._sides],
            (*self._sides[VIEW].key, *self._sides[VIEW].values),
            gather,
            budget_rows=self._budget_rows,
            progress=self._progress,
        )
        counts = _Counts(), _Counts()
        for table, (part, counted) in scan:
            (total.merge if table == BASE else total.subtract)(part)
            counts[table].add(counted)
            part.clear()
            spare.put(part)
        self._last = scan.report
        self._reasons += _why_incomplete(scan.report, self._budget_rows)
        return total, counts

    def _require_really_empty(self, counts: tuple[_Counts, _Counts]) -> None:
        """A side that sent no row at all is asked once more by the driver's ordinary decoder."""
        for side, counted in zip(self._sides, counts, strict=True):
            if counted == _Counts() and not self._reasons:
                key = quote(side.address[0])
                if self._reader.rows(f"SELECT {key} FROM {side.table.cql_name} LIMIT 1"):
                    self._reasons.append(f"{side.table.cql_name} has rows, though the scan saw none")

    def _require_same_schema(self) -> None:
        if self._reasons:
            return
        view, base = self._view, self._sides[BASE].table
        now = (
            read_view(self._reader, view.keyspace, view.name),
            read_table(self._reader, base.keyspace, base.name),
        )
        if now != (view, base):
            self._reasons.append(f"{view.cql_name} or its base was altered while it was read")

    def _confirmed(self, items: Any) -> Iterator[Difference]:
        rereader = Rereader(self._reader, self._sides, self._layout, self._seed)
        candidates = Candidates(rereader, self._types, self._grace_s, self._sleep)
        yield from candidates.confirm(items)
        if candidates.by_scan:
            self._confirmed_at = SCAN_CONSISTENCY


def _taken(spare: SimpleQueue[Sketch]) -> Sketch | None:
    try:
        return spare.get_nowait()
    except Empty:
        return None


def _why_incomplete(report: ScanReport, budget_rows: int | None) -> list[str]:
    if report.truncated:
        return [f"one side has more rows than the budget of {budget_rows}"]
    if report.complete:
        return []
    left = report.ranges_total - report.ranges_done
    return [f"{left} of {report.ranges_total} token ranges could not be read: {'; '.join(report.reasons)}"]


def layout_of(sides: tuple[Side, Side], cutoff: Cutoff | None) -> RowLayout:
    """How the rows of both sides lie. Raises BalancebookError for a cut-off that is no number in the view."""
    base, view = sides
    types = {column.name: column.cql_type for column in view.table.columns}
    names = (*view.key, *view.values)
    if cutoff and types.get(cutoff.column) not in _ORDERED:
        raise BalancebookError(
            f"{cutoff.column!r} is no column of {view.table.cql_name} that can be the cut-off.",
            f"Name one of its columns of type {', '.join(_ORDERED)}.",
        )
    return RowLayout(
        widths=tuple(fixed_width(types[name]) for name in names),
        keys=len(view.key),
        base_partition=tuple(names.index(column.name) for column in base.table.partition_key),
        view_partition=tuple(names.index(column.name) for column in view.table.partition_key),
        cutoff=(names.index(cutoff.column), cutoff.latest) if cutoff else None,
    )
