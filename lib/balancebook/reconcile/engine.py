"""Comparing a view with its base at the speed of reading them, in memory that grows with the differences alone.

Both sides are folded, as raw bytes, into one sketch, the base added and the view taken away. Equal rows cancel; what is
left is peeled, and each row so named is looked at by its key until the confirmation rule has judged it. A sketch too
small for what differs says so, and about how much differs: then it grows, and where more differs than is looked at by
key, two scans confirm it (confirm.by_scan). Rows newer than the cut-off are set aside and compared with each other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from balancebook.reconcile.aside import Aside, differing_aside
from balancebook.reconcile.confirm.by_key import KeyLooker
from balancebook.reconcile.confirm.by_scan import LACKED_BEFORE, NoRoomError, ScanConfirming
from balancebook.reconcile.confirm.columns import look_columns
from balancebook.reconcile.confirm.resolve import Resolver, Unnamed, name_by_key, only_on, unnamed
from balancebook.reconcile.confirm.rule import GONE, MOST_LOOKS
from balancebook.reconcile.confirm.settle import MOST_FAILED, Settling
from balancebook.reconcile.confirm.suspects import Suspects
from balancebook.reconcile.fold import Counts, Folder, Job, ThreadFolder
from balancebook.reconcile.found import Batch, Listed, RawDifference, Tally
from balancebook.reconcile.full_report import Report
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import FOREVER, Options, layout_of
from balancebook.reconcile.report import counts_disagree
from balancebook.reconcile.sides import BASE, VIEW, base_side, types_of, view_side
from balancebook.reconcile.spool import Spool
from balancebook.reconcile.state import Common, Keeper, Pass, State, digest_of
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import FoundRows, Items, KeyWidthError, Sketch
from balancebook.store.errors import MAY_PASS, StoreError
from balancebook.store.gone import changes_of
from balancebook.store.ranges import RangeTask, ScanReport, tasks_by_turns
from balancebook.store.reader import Reader
from balancebook.store.schema import View

# Peeling works up to 1.22 cells a row; the estimate may be 16 % off at one sigma.
_CELLS_A_ROW = 1.7
_LISTED = 10_000
_MOST_GROWN = 3
# Both sides are not read at the same moment: beside writers, either may have some rows more than the other.
_LITTLE = 1000


def reconcile(reader: Reader, view: View, options: Options, folder: Folder | None = None) -> Report:
    """Reads base and view, and confirms each difference (see Engine).

    Raises StoreError for non-retryable errors, and as Engine does.
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
        self._keeper = Keeper(options.state, self._common(layout))
        self._state = self._resumed() or self._new_state()
        self._layout = self._as_kept(layout)
        self._types = types_of(reader, self._sides)
        self._columns = look_columns(reader, self._sides, self._types)
        looker = KeyLooker(reader, self._sides, self._columns)
        self._settling = Settling(looker, options.grace_s, options.sleep)
        self._tally = Tally(self._types, layout.keys, options.samples)
        self._spool = Spool(options.spool) if options.spool else None
        self._last = ScanReport(ranges_total=0)
        self._reasons: list[str] = []
        self._rows_again: tuple[int, int] | None = None
        self._in_step_since = 0

    def report(self, expected: int = 0, rows: int = 0) -> Report:
        """Do it. expected: how many rows differ at least, by a sample; `rows`: how many both sides have, about.

        If more are expected than are looked at by key, they are confirmed by scans at once, and not counted before.
        """
        if expected > self._options.most_by_key:
            # A run that is killed can be resumed, though it has to begin again.
            self._keeper.keep(self._state, at_once=True)
            self._confirm_by_scan(expected, rows)
        else:
            self._find()
        self._require_same_schema()
        base, view = self._counts
        rows_base, rows_view = self._rows_again or (base.rows + base.newer, view.rows + view.newer)
        return Report(
            rows_base=rows_base,
            rows_view=rows_view,
            in_step_since=self._in_step_since,
            counts=self._tally.all_counts(),
            samples=self._tally.samples(),
            gone=self._tally.gone,
            key_columns=self._sides[VIEW].key,
            value_columns=self._sides[VIEW].values,
            complete=not self._reasons,
            reasons=tuple(self._reasons),
            truncated=self._last.truncated,
            unknown_ranges=tuple(self._last.unknown_ranges),
            ranges_total=self._last.ranges_total,
            ranges_done=self._last.ranges_done,
            passes=self._state.passes,
            newer=(base.newer, view.newer),
            seed=self._state.seed,
            cutoff=self._options.cutoff and replace(self._options.cutoff, latest=self._cutoff()[0]),
            resumed=self._state.resumed,
        )

    def _resumed(self) -> State | None:
        """What an earlier process kept, if it is recent enough."""
        state, limit = self._keeper.resumed(), self._options.resume_within_s
        if state is None or time.time() - state.begun <= limit:
            return state
        self._options.told(
            f"the run to be resumed began more than {limit:,.0f} s ago, and what it has read may have changed since: "
            "starting over"
        )
        return None

    def _new_state(self) -> State:
        options = self._options
        cutoff = (options.cutoff.latest, options.cutoff.horizon) if options.cutoff else None
        return State(secrets.randbits(64), options.ranges, options.cells, time.time(), cutoff)

    def _common(self, layout: RowLayout) -> Common:
        options = self._options
        return Common(
            schema=digest_of(self._sides, layout.widths),
            cutoff=options.cutoff.column if options.cutoff else "none",
            samples=options.samples,
            all_differences=options.spool is not None,
        )

    def _as_kept(self, layout: RowLayout) -> RowLayout:
        """The layout with the cut-off, and the kind of names, of the state."""
        if layout.cutoff:
            layout = replace(layout, cutoff=(layout.cutoff[0], *self._cutoff()))
        return layout.by_tokens() if self._state.by_token else layout

    def _cutoff(self) -> tuple[int, int]:
        return self._state.cutoff or (FOREVER, FOREVER)

    @property
    def _counts(self) -> tuple[Counts, Counts]:
        under_way = self._state.under_way
        return under_way.counts if under_way else (Counts(), Counts())

    def _find(self) -> None:
        """Find and confirm every row that differs; less if a pass could not be completed: then there is a reason."""
        for grown in range(_MOST_GROWN + 1):
            sketch = self._pass()
            if sketch is None:
                return
            self._state.passes += 1
            items = sketch.peel()
            in_sketch = len(items) if items.complete else sketch.estimate()
            aside = differing_aside(*map(FoundRows.joined, self._under_way().aside))
            differences = in_sketch + sum(map(len, aside))
            if differences > self._options.most_by_key or (grown == _MOST_GROWN and not items.complete):
                break
            if items.complete:
                self._confirm(items, aside)
                return
            self._options.told(f"about {differences:,} rows differ: reading again with a larger sketch")
            self._state.ahead = max(self._state.ahead, self._ahead)
            self._state.cells = max(int(in_sketch * _CELLS_A_ROW), 2 * self._state.cells)
            self._state.under_way = None
        base, view = self._counts
        self._confirm_by_scan(differences, base.read + view.read)

    def _pass(self) -> Sketch | None:
        """One reading of both sides: base less view. None, with a reason, if it could not be completed."""
        state = self._state
        try:
            sketch, counts = self._fold(self._job(), self._under_way())
        except KeyWidthError:
            self._layout = self._layout.by_tokens()
            state.by_token, state.under_way = True, None
            return self._pass()
        self._require_really_empty((counts[BASE].read, counts[VIEW].read))
        return None if self._reasons else sketch

    def _job(self) -> Job:
        return Job(self._sides, self._layout, self._state.seed, self._state.cells, self._options.budget_rows)

    def _under_way(self) -> Pass:
        """The pass that was begun, or a new one."""
        state = self._state
        if state.under_way is None:
            state.under_way = Pass(2 * state.ranges)
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
                begun.rows = report.rows
                begun.add(part)
                whole = True
                self._keeper.keep(self._state)
        except KeyboardInterrupt:
            if whole:
                self._keeper.keep(self._state, at_once=True)
            raise
        self._last = report
        self._reasons += report.why_incomplete("base or view", self._options.budget_rows)
        if not self._reasons:
            self._keeper.keep(self._state, at_once=True)
        return total, begun.counts

    def _confirm(self, items: Items, aside: tuple[Aside, Aside]) -> None:
        """Look at each row that the sketch names, and at each of those set aside that differ, by its key."""
        self._note_missing(self._ahead)
        suspects = Suspects(self._columns.identity)
        only = only_on(items)
        if self._layout.keeps_key:
            name_by_key(self._layout, items, suspects)
            self._look_at(suspects, self._add_aside(suspects, aside, only))
            return
        left = [self._resolved(rows, suspects) for rows in unnamed(items)]
        self._look_at(suspects, self._add_aside(suspects, aside, only))
        self._look_once_more(left)

    def _add_aside(
        self, suspects: Suspects, aside: tuple[Aside, Aside], only: tuple[int, int]
    ) -> tuple[int, int]:
        """Note the rows set aside that differ. Returns how many rows base and view have alone in all."""
        for side in (BASE, VIEW):
            for row in aside[side]:
                suspects.note(side, self._columns.raw_key(row))
        return only[BASE] + len(aside[BASE]), only[VIEW] + len(aside[VIEW])

    def _look_at(self, suspects: Suspects, only: tuple[int, int]) -> None:
        base, view = self._counts
        self._reasons += counts_disagree(base.rows + base.newer, view.rows + view.newer, only)
        if len(suspects):
            self._options.told(f"looking at {len(suspects):,} rows by key, until each of them is settled")
        for batch in _listed(self._settling, suspects):
            self._note(batch)

    def _resolved(self, rows: Unnamed, suspects: Suspects) -> Unnamed:
        """Note the rows that are found in their partitions; returns the others."""
        left, reason = self._resolver.name(rows, suspects)
        if reason:
            self._note(Listed([self._nameless(Kind.UNKNOWN, reason)] * len(left)))
            return Unnamed(rows.side)
        return left

    def _look_once_more(self, left: Sequence[Unnamed]) -> None:
        """Look for rows that were gone from their side. Those that are there again are looked at by their keys.

        A row that the view alone had is gone if it still is. One that the base alone had may be lost, and be deleted
        and written again all the time: it is gone only if it is to the last look (see confirm.rule).
        """
        base, view = left
        suspects = Suspects(self._columns.identity)
        self._look_for(view, 1, suspects)
        self._look_for(base, MOST_LOOKS - 1, suspects)
        for batch in _listed(self._settling, suspects):
            self._note(batch)

    def _look_for(self, rows: Unnamed, looks: int, suspects: Suspects) -> None:
        """Look that many times, a grace period apart; note what was not found. As in Settling, two looks may fail."""
        failed = 0
        while len(rows) and looks:
            self._settling.pause()
            rows, reason = self._resolver.name(rows, suspects)
            failed += bool(reason)
            looks -= not reason
            if failed == MOST_FAILED:
                self._note(Listed([self._nameless(Kind.UNKNOWN, reason)] * len(rows)))
                return
        self._note(Listed([self._nameless(Kind.LAGGING, GONE)] * len(rows)))

    @property
    def _resolver(self) -> Resolver:
        return Resolver(self._reader, self._sides, self._layout, self._state.seed)

    def _nameless(self, kind: Kind, reason: str) -> RawDifference:
        return RawDifference.nameless(self._layout.keys, kind, reason)

    def _confirm_by_scan(self, differences: int, rows: int) -> None:
        options, state = self._options, self._state
        options.told("more rows differ than are looked at one by one: confirming them by scans of both sides")
        confirming = ScanConfirming(
            reader=self._reader,
            sides=self._sides,
            columns=self._columns,
            settling=self._settling,
            seed=state.seed,
            ranges=state.ranges,
            beside=options.state,
            pace=options.pace,
            progress=options.progress,
            told=options.told,
        )
        try:
            for batch in confirming.batches(rows):
                self._note(batch)
        except NoRoomError as error:
            self._reasons.append(f"{error}: make room, or rebuild the view")
            return
        seen = confirming.totals
        if not state.passes:
            self._last = seen.report
        if not seen.complete:
            return
        # What is judged are the rows of that scan; the pass before may have been answered by other replicas.
        self._rows_again = seen.base, seen.view
        self._require_really_empty(seen.read)
        if state.passes:
            state.ahead = max(state.ahead, self._ahead)
            missing = self._note_missing(seen.base - seen.view)
            self._in_step_since = max(0, differences - seen.differing - missing)

    @property
    def _ahead(self) -> int:
        """By how many rows the base was ahead of the view when both were read last."""
        base, view = self._counts
        return base.rows + base.newer - view.rows - view.newer

    def _note_missing(self, ahead: int) -> int:
        """Note as UNKNOWN, and return, how many rows the view lacked in an earlier reading and lacks no longer.

        Nobody knows their keys. They may have arrived; or they were deleted from the base, and are missing for good
        when they are written again. ahead: by how many rows the base is ahead of the view now.
        """
        missing = self._state.ahead - ahead
        if missing <= _LITTLE:
            return 0
        self._note(Listed([self._nameless(Kind.UNKNOWN, LACKED_BEFORE)] * missing))
        return missing

    def _require_really_empty(self, read: tuple[int, int]) -> None:
        """A side that sent no row at all is asked once more by the driver's ordinary decoder."""
        for side, rows in zip(self._sides, read, strict=True):
            if rows or self._reasons:
                continue
            try:
                if side.has_rows(self._reader):
                    self._reasons.append(f"{side.table.cql_name} has rows, though the scan saw none")
            except StoreError as error:
                if error.kind not in MAY_PASS:
                    raise
                self._reasons.append(
                    f"whether {side.table.cql_name} is really empty could not be read: {error}"
                )

    def _require_same_schema(self) -> None:
        if not self._reasons:
            self._reasons += changes_of(self._reader, [self._view, self._sides[BASE].table], "compared")

    def _note(self, batch: Batch) -> None:
        self._tally.add(batch)
        if self._spool:
            self._spool.add(batch)


def _listed(settling: Settling, suspects: Suspects) -> Iterator[Listed]:
    """What became of the suspects, some thousands at a time."""
    listed = Listed()
    for found in settling.outcomes(suspects):
        listed.append(found.difference)
        if len(listed) >= _LISTED:
            yield listed
            listed = Listed()
    yield listed


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
