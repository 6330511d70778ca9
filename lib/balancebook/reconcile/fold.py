"""One pass over both sides: which ranges of which tables, folded into a sketch of the base less the view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import Sketch
from balancebook.store.pace import Pace
from balancebook.store.ranges import IN_FLIGHT, PAGE_SIZE, Progress, RangeTask, ScanReport
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows whose key's hash has this number, of so many; and how many cells the sketch of them has."""

    number: int
    of: int
    cells: int


@dataclass(slots=True)
class Counts:
    """Rows of one side: those folded (or of other buckets), those without a key, those left out by the cut-off."""

    rows: int = 0
    dropped: int = 0
    newer: int = 0

    def add(self, other: Counts) -> None:
        """Add the other's numbers."""
        self.rows += other.rows
        self.dropped += other.dropped
        self.newer += other.newer

    @property
    def read(self) -> int:
        """All rows that came."""
        return self.rows + self.dropped + self.newer


def no_counts() -> tuple[Counts, Counts]:
    """Of base and view, when nothing is counted yet."""
    return Counts(), Counts()


@dataclass(frozen=True, slots=True)
class Job:
    """What one pass reads, and what it is folded into. Another process can be given it.

    sides: base, view. budget_rows holds for each of them.
    """

    sides: tuple[Side, Side]
    layout: RowLayout
    seed: int
    bucket: Bucket
    budget_rows: int | None = None
    in_flight: int = IN_FLIGHT
    page_size: int = PAGE_SIZE

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of either side: the view's columns, its key first."""
        return (*self.sides[VIEW].key, *self.sides[VIEW].values)

    def empty_sketch(self) -> Sketch:
        """What the rows are folded into."""
        bucket = self.bucket
        return Sketch(
            self.layout, cells=bucket.cells, seed=self.seed, bucket=bucket.number, buckets=bucket.of
        )


@dataclass(frozen=True, slots=True)
class FoldedPart:
    """Ranges that were read to their end, and the sum of their rows: the base's counted `sign`, the view's -`sign`."""

    done: Sequence[RangeTask]
    sketch: Sketch
    sign: int
    counts: tuple[Counts, Counts] = field(default_factory=no_counts)

    def add_to(self, total: Sketch) -> None:
        """Add it to the base less the view."""
        (total.merge if self.sign > 0 else total.subtract)(self.sketch)


class Folder(Protocol):
    """Whoever does the reading and folding: threads here, other processes, other machines."""

    def fold(
        self, job: Job, tasks: Sequence[RangeTask], report: ScanReport, progress: Progress | None
    ) -> Iterator[FoldedPart]:
        """The tasks' parts, in any order; a part's sketch is the caller's until it asks for the next. The report
        goes on as ranges are done; what is not in a part by the end is unknown in it. Raises StoreError for what no
        retry mends, KeyWidthError."""
        ...


@dataclass(frozen=True, slots=True)
class ThreadFolder:
    """Reads in threads of this process."""

    reader: Reader
    pace: Pace | None = None

    def fold(
        self, job: Job, tasks: Sequence[RangeTask], report: ScanReport, progress: Progress | None
    ) -> Iterator[FoldedPart]:
        """See Folder."""
        spare: SimpleQueue[Sketch] = SimpleQueue()

        def gather(_table: int, pages: Iterator[RawPage]) -> tuple[Sketch, Counts]:
            counts, sketch = Counts(), _taken(spare) or job.empty_sketch()
            for page in pages:
                folded = sketch.fold(page.body, page.start, page.rows)
                counts.add(Counts(folded.rows, folded.dropped, folded.newer))
            return sketch, counts

        scan = raw_scan(
            self.reader,
            [side.table for side in job.sides],
            job.columns,
            gather,
            tasks,
            in_flight=job.in_flight,
            page_size=job.page_size,
            budget_rows=job.budget_rows,
            progress=progress,
            report=report,
            wheres=[side.selected.where for side in job.sides],
            pace=self.pace,
        )
        for part in scan:
            sketch, counted = part.gathered
            if part.whole:
                counts = (counted, Counts()) if part.task.table == BASE else (Counts(), counted)
                yield FoldedPart([part.task], sketch, 1 if part.task.table == BASE else -1, counts)
            sketch.clear()
            spare.put(sketch)


def _taken(spare: SimpleQueue[Sketch]) -> Sketch | None:
    try:
        return spare.get_nowait()
    except Empty:
        return None
