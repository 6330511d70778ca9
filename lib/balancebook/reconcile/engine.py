"""Comparing a view with its base at the speed of reading them, in memory that grows with the differences alone.

Both sides are folded, as raw bytes, into one sketch, the base added and the view taken away. Equal rows cancel; what is
left is peeled, and each row so named is read again and judged over two reads (reconcile.confirm). A
sketch too small for what differs says so, and about how much differs: then it grows, and past a bound the rows are
compared bucket by bucket, a pass over both sides for each.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from balancebook.reconcile import candidates as by_key
from balancebook.reconcile.candidates import Confirming
from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY, SCAN_CONSISTENCY
from balancebook.reconcile.fold import Bucket, Counts, Folder, Job, ThreadFolder
from balancebook.reconcile.found import Batch
from balancebook.reconcile.one_sided import OneSided
from balancebook.reconcile.options import FOREVER, Cutoff, Options, layout_of
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sides import BASE, VIEW, base_side, types_of, view_side
from balancebook.reconcile.spool import Spool
from balancebook.reconcile.state import Keeper, Pass, State, digest_of, tally_of
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import Items, KeyWidthError, Sketch
from balancebook.store.errors import StoreError
from balancebook.store.ranges import MAY_PASS, RangeTask, ScanReport, tasks_by_turns
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_table, read_view
from balancebook.verdict import Json

# Peeling works up to 1.22 cells a row; the estimate may be 16 % off at one sigma.
_CELLS_A_ROW = 1.7
_MOST_BUCKETS = 4096


@dataclass(frozen=True, kw_only=True)
class Report(ComparisonReport):
    """What a comparison found, as ComparisonReport says it, and how it went.

    passes: how often both sides were read whole to find what differs. newer: rows of base and view beyond the cut-off,
    which are counted but were not compared. seed: of the hashes. resumed: whether an earlier process began it.
    """

    passes: int
    newer: tuple[int, int]
    seed: int
    cutoff: Cutoff | None = None
    resumed: bool = False

    @property
    def subject(self) -> str:
        left_out = f" (less {self.newer[1]:,} newer ones)" if self.newer[1] else ""
        return f"rows of the view{left_out}"

    def details(self) -> dict[str, Json]:
        """passes; cutoff {column, latest} or null; newer {base, view}: rows left out by it; seed, as text; resumed."""
        cutoff = self.cutoff
        return {
            "passes": self.passes,
            "cutoff": {"column": cutoff.column, "latest": cutoff.latest} if cutoff else None,
            "newer": {"base": self.newer[BASE], "view": self.newer[VIEW]},
            "seed": str(self.seed),
            "resumed": self.resumed,
        }


def reconcile(reader: Reader, view: View, options: Options, folder: Folder | None = None) -> Report:
    """Reads base and view, and confirms each difference by two reads of both sides a grace apart (see Engine).

    Raises StoreError for what no retry mends, and as Engine does.
    """
    return Engine(reader, view, options, folder).report()


class Engine:
    """One comparison, row by row and cell by cell.

    `folder` reads and folds, by default threads of this process. To make one reads the schema alone; it raises
    BalancebookError for a view that cannot be compared, or a cut-off that is no number in the view, UsageError for a
    state that is of another comparison, and StoreError.
    """

    def __init__(self, reader: Reader, view: View, options: Options, folder: Folder | None = None) -> None:
        self._reader, self._view, self._options = reader, view, options
        self._folder = folder or ThreadFolder(reader, options.pace)
        self._sides = base_side(reader, view), view_side(view)
        layout = layout_of(self._sides, options.cutoff)
        self._keeper = Keeper(options.state, self._digest(layout))
        self._state = self._keeper.resumed() or self._new_state()
        self._layout = self._as_kept(layout)
        self._types = types_of(reader, self._sides)
        self._tally = tally_of(self._state, self._types, layout.keys, options.samples)
        self._spool = Spool(options.spool, self._state.spooled) if options.spool else None
        self._last = ScanReport(ranges_total=0)
        self._reasons: list[str] = []
        self._confirmed_at = BY_KEY_CONSISTENCY

    def report(self) -> Report:
        """Do it."""
        self._find()
        self._require_same_schema()
        base, view = self._state.counts
        return Report(
            rows_base=base.rows + base.newer,
            rows_view=view.rows + view.newer,
            counts=self._tally.all_counts(),
            samples=self._tally.samples(),
            key_columns=self._sides[VIEW].key,
            value_columns=self._sides[VIEW].values,
            complete=not self._reasons,
            reasons=tuple(self._reasons),
            truncated=self._last.truncated,
            unknown_ranges=tuple(self._last.unknown_ranges),
            ranges_total=self._last.ranges_total,
            ranges_done=self._last.ranges_done,
            confirmed_at=self._confirmed_at,
            passes=self._state.passes,
            newer=(base.newer, view.newer),
            seed=self._state.seed,
            cutoff=self._options.cutoff and replace(self._options.cutoff, latest=self._cutoff()[0]),
            resumed=self._state.resumed,
        )

    def _new_state(self) -> State:
        options = self._options
        cutoff = (options.cutoff.latest, options.cutoff.horizon) if options.cutoff else None
        return State(secrets.randbits(64), options.ranges, [Bucket(0, 1, options.cells)], cutoff)

    def _digest(self, layout: RowLayout) -> str:
        options = self._options
        cutoff = options.cutoff and options.cutoff.column
        return digest_of(self._sides, layout.widths, cutoff, options.samples, options.spool is None)

    def _as_kept(self, layout: RowLayout) -> RowLayout:
        """The layout with the cut-off, and the kind of names, of the state."""
        if layout.cutoff:
            layout = replace(layout, cutoff=(layout.cutoff[0], *self._cutoff()))
        return layout.by_tokens() if self._state.by_token else layout

    def _cutoff(self) -> tuple[int, int]:
        return self._state.cutoff or (FOREVER, FOREVER)

    def _find(self) -> None:
        """Find and confirm every row that differs; less if a pass could not be completed: then there is a reason."""
        state = self._state
        while state.waiting and not self._reasons:
            bucket = state.waiting[-1]
            sketch = self._pass(bucket)
            if sketch is None:
                return
            if self._took_one_side(bucket, sketch):
                state.passes += 1
                return
            items = sketch.peel()
            state.passes += 1
            state.waiting.pop()
            if items.complete:
                self._note(self._confirmed(items))
            else:
                state.waiting += self._smaller(bucket, sketch.estimate())
            state.under_way = None
            self._keeper.keep(state, at_once=bool(state.waiting))

    def _smaller(self, bucket: Bucket, differences: int) -> list[Bucket]:
        """What to do in place of a bucket that did not peel: the same with more cells, or several with the most."""
        most = max(self._options.cells, self._options.most_cells)
        wanted = int(differences * _CELLS_A_ROW)
        if wanted <= most and bucket.cells < most:
            cells = min(most, max(wanted, 2 * bucket.cells))
            self._options.told(f"about {differences:,} rows differ: reading again with a larger sketch")
            return [Bucket(bucket.number, bucket.of, cells)]
        parts = max(2, -(-wanted // most))
        self._options.told(
            f"about {differences:,} rows differ: {parts:,} passes, and as many to confirm what each one finds"
        )
        if bucket.of * parts > _MOST_BUCKETS:
            self._reasons.append(f"about {differences:,} rows differ, too many to name; rebuild the view")
            return []
        return [Bucket(bucket.number * parts + n, bucket.of * parts, most) for n in reversed(range(parts))]

    def _pass(self, bucket: Bucket) -> Sketch | None:
        """One reading of both sides: base less view. None, with a reason, if it could not be completed."""
        state = self._state
        try:
            sketch, counts = self._fold(self._job(bucket), self._under_way(bucket))
        except KeyWidthError:
            self._layout = self._layout.by_tokens()
            state.by_token, state.under_way = True, None
            return self._pass(bucket)
        if state.passes == 0 or self._reasons:
            state.counts = counts
        self._require_really_empty(counts)
        return None if self._reasons else sketch

    def _job(self, bucket: Bucket) -> Job:
        return Job(self._sides, self._layout, self._state.seed, bucket, self._options.budget_rows)

    def _under_way(self, bucket: Bucket) -> Pass:
        """The pass that was begun over this bucket, or a new one."""
        state = self._state
        if state.under_way is None:
            state.under_way = Pass(bucket, 2 * state.ranges)
        return state.under_way

    def _fold(self, job: Job, begun: Pass) -> tuple[Sketch, tuple[Counts, Counts]]:
        total = job.empty_sketch()
        if begun.cells is not None:
            total.cells[:] = begun.cells
        begun.cells = total.cells
        left = _left_of(tasks_by_turns(self._state.ranges, 2), begun.done)
        # Of a range that was begun in parts, each part that is left counts as one.
        total_ranges = max(begun.total, len(left))
        report = ScanReport(total_ranges, rows=begun.rows, ranges_done=total_ranges - len(left))
        whole = True
        try:
            for part in self._folder.fold(job, left, report, self._options.progress):
                # What is kept between these is counted twice, or not at all, by whoever goes on from it.
                whole = False
                part.add_to(total)
                begun.done += part.done
                begun.rows = report.rows
                for counted, more in zip(begun.counts, part.counts, strict=True):
                    counted.add(more)
                whole = True
                self._keeper.keep(self._state)
        except KeyboardInterrupt:
            if whole:
                self._keeper.keep(self._state, at_once=True)
            raise
        self._last = report
        self._reasons += report.why_incomplete("base or view", self._options.budget_rows)
        return total, begun.counts

    def _took_one_side(self, bucket: Bucket, sketch: Sketch) -> bool:
        """An emptied view, or base, is told by counting: all of the other side's rows that stay are lost, or orphans.

        Not if each difference is to be listed.
        """
        rows = [counted.rows for counted in self._state.counts]
        empty = min(counted.read for counted in self._state.counts) == 0
        if bucket.of > 1 or self._spool or not empty or max(rows) <= by_key.MOST_BY_KEY:
            return False
        self._options.told("one side has no row at all: reading once more to confirm it")
        self._options.sleep(self._options.grace_s)
        again, counts = self._fold(self._job(bucket), Pass(bucket, 2 * self._state.ranges))
        if self._reasons:
            return True
        self._confirmed_at = SCAN_CONSISTENCY
        found = OneSided(self._rereader(), (rows[BASE], rows[VIEW]), (counts[BASE].rows, counts[VIEW].rows))
        return found.into(self._tally, sketch.copy().subtract(again))

    def _require_really_empty(self, counts: tuple[Counts, Counts]) -> None:
        """A side that sent no row at all is asked once more by the driver's ordinary decoder."""
        for side, counted in zip(self._sides, counts, strict=True):
            if counted.read == 0 and not self._reasons and side.has_rows(self._reader):
                self._reasons.append(f"{side.table.cql_name} has rows, though the scan saw none")

    def _require_same_schema(self) -> None:
        if self._reasons:
            return
        view, base = self._view, self._sides[BASE].table
        try:
            now = (
                read_view(self._reader, view.keyspace, view.name),
                read_table(self._reader, base.keyspace, base.name),
            )
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            self._reasons.append(f"whether {view.cql_name} was altered meanwhile could not be read: {error}")
            return
        if now != (view, base):
            self._reasons.append(f"{view.cql_name} or its base was altered while it was read")

    def _rereader(self) -> Rereader:
        state, pace = self._state, self._options.pace
        return Rereader(self._reader, self._sides, self._layout, self._types, state.seed, state.ranges, pace)

    def _confirmed(self, items: Items) -> list[Batch]:
        if len(items) > by_key.MOST_BY_KEY:
            self._confirmed_at = SCAN_CONSISTENCY
        if len(items):
            self._options.told(f"confirming {len(items):,} rows that one side alone has")
        return Confirming(self._rereader(), self._options.grace_s, self._options.sleep).confirm(items)

    def _note(self, batches: list[Batch]) -> None:
        state = self._state
        for batch in batches:
            self._tally.add(batch)
            if self._spool:
                self._spool.add(batch)
                state.spooled = self._spool.size
        state.kinds, state.worst = self._tally.counts, self._tally.worst


def _left_of(tasks: list[RangeTask], done: list[RangeTask]) -> list[RangeTask]:
    """The tasks, or what is left of them: of a range that was read in parts some may be done."""
    finished: dict[int, list[tuple[int, int]]] = {}
    for task in done:
        finished.setdefault(task.table, []).append(task.tokens)
    left = []
    for task in tasks:
        lo, hi = task.tokens
        inside = sorted(t for t in finished.get(task.table, []) if lo <= t[0] and t[1] <= hi)
        for start, end in [*inside, (hi, hi)]:
            if lo < start:
                left.append(RangeTask(task.table, (lo, start)))
            lo = end
    return left
