"""One pass over both sides: which ranges of which tables, folded into a sketch of the base less the view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import FoundRows, Sketch
from balancebook.store.pace import Pace
from balancebook.store.ranges import IN_FLIGHT, PAGE_SIZE, Progress, RangeTask, ScanReport
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader


@dataclass(slots=True)
class Counts:
    """Rows of one side: those folded, those without a key, those set aside as newer than the cut-off."""

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


def no_rows() -> tuple[FoundRows, FoundRows]:
    """Of base and view, when nothing is set aside yet."""
    return FoundRows.joined([]), FoundRows.joined([])


def no_counts() -> tuple[Counts, Counts]:
    """Of base and view, when nothing is counted yet."""
    return Counts(), Counts()


@dataclass(frozen=True, slots=True)
class Job:
    """What one pass reads, and what it is folded into. Another process can be given it.

    sides: base, view. cells: of the sketch. budget_rows holds for each side.
    """

    sides: tuple[Side, Side]
    layout: RowLayout
    seed: int
    cells: int
    budget_rows: int | None = None
    in_flight: int = IN_FLIGHT
    page_size: int = PAGE_SIZE

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of either side: the view's columns, its key first."""
        return (*self.sides[VIEW].key, *self.sides[VIEW].values)

    def empty_sketch(self) -> Sketch:
        """What the rows are folded into."""
        return Sketch(self.layout, cells=self.cells, seed=self.seed)


@dataclass(frozen=True, slots=True)
class FoldedPart:
    """Ranges that were read to their end, and the sum of their rows: the base's counted `sign`, the view's -`sign`.

    aside: the rows of base and view that are newer than the cut-off.
    """

    done: Sequence[RangeTask]
    sketch: Sketch
    sign: int
    counts: tuple[Counts, Counts] = field(default_factory=no_counts)
    aside: tuple[FoundRows, FoundRows] = field(default_factory=no_rows)

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

        def gather(_table: int, pages: Iterator[RawPage]) -> tuple[Sketch, Counts, FoundRows]:
            counts, sketch, aside = Counts(), _taken(spare) or job.empty_sketch(), list[FoundRows]()
            for page in pages:
                folded = sketch.fold(page.body, page.start, page.rows)
                if folded.aside:
                    aside.append(folded.aside)
                counts.add(Counts(folded.rows, folded.dropped, page.rows - folded.rows - folded.dropped))
            return sketch, counts, FoundRows.joined(aside)

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
            sketch, counted, aside = part.gathered
            if part.whole:
                counts, rows = list(no_counts()), list(no_rows())
                counts[part.task.table], rows[part.task.table] = counted, aside
                sign = 1 if part.task.table == BASE else -1
                yield FoldedPart([part.task], sketch, sign, (counts[0], counts[1]), (rows[0], rows[1]))
            sketch.clear()
            spare.put(sketch)


def _taken(spare: SimpleQueue[Sketch]) -> Sketch | None:
    try:
        return spare.get_nowait()
    except Empty:
        return None
