"""One reconciliation of a view with its base, at the depth that was asked for or that the budget allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypedDict

from balancebook.core.short_text import enumerated
from balancebook.errors import BalancebookError, UsageError
from balancebook.moment import DAY_MS
from balancebook.progress import Step
from balancebook.reconcile.definition import definition
from balancebook.reconcile.document import Reconciliation
from balancebook.reconcile.engine import Engine
from balancebook.reconcile.executors import dask, processes
from balancebook.reconcile.fold import Folder, ThreadFolder
from balancebook.reconcile.full_report import Report
from balancebook.reconcile.keys_file import read_keys
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import RESUME_WITHIN_S, Cutoff, Options, can_cut_off
from balancebook.reconcile.partitions import compare_partitions
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sampled import quick, sampled
from balancebook.reconcile.sides import base_side, view_side
from balancebook.reconcile.writetimes import Written, read_write_times, why_unread
from balancebook.store.errors import StoreError
from balancebook.store.estimate import Cost, estimate
from balancebook.store.gone import changes_of, naming_what_is_gone
from balancebook.store.health import ViewHealth, view_health
from balancebook.store.pace import Pace, PaceReport, pace_of
from balancebook.store.ranges import RANGES, ScanReport
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_table

Depth = Literal["definition", "sampled", "full"]
# A range is what is lost when a read fails, and what a kept state goes on from.
_ROWS_A_RANGE = 100_000
_MOST_RANGES = 2**16
# Raw pages of both sides, client and server on the same two cores: 2.2 M rows a side in 5 s.
_ROWS_PER_S = 800_000
_GLANCED = 12
# Of fewer rows a first glance would tell nothing sooner.
_WORTH_A_GLANCE = 100_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be compared, how deep and how gently.

    keys: a CSV file of partitions, instead of a depth. within_s: a time box, for the depth sampled. cutoff: the column
    whose new rows are left out; "auto" is the ledger's time, if base and view have it, "none" none. budget_rows: of a
    side; beyond it a full comparison becomes a sampled one. rate: rows/s. paced: whether a canary holds it back; None:
    on every target but the embedded one. workers: processes, if more than one. spool, state: files for all differences
    and for the progress, where it is to be kept.
    """

    depth: Depth = "full"
    keys: Path | None = None
    within_s: float | None = None
    samples: int = 1000
    cutoff: str = "auto"
    budget_rows: int
    rate: int | None = None
    paced: bool | None = None
    workers: int = 1
    scheduler: str | None = None
    spool: Path | None = None
    state: Path | None = None
    resume_within_s: float = RESUME_WITHIN_S


@dataclass(frozen=True, kw_only=True)
class Telling:
    """Where news go while it runs: each step, and a sentence at each turn of events."""

    step: Callable[[Step], None] = field(default=lambda _: None)
    told: Callable[[str], None] = field(default=lambda _: None)


def run(
    reader: Reader,
    view: View,
    request: Request,
    telling: Telling | None = None,
    *,
    grace_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Reconciliation:
    """Compare a view with its base, and confirm each difference by repeated looks at both sides, `grace_s` apart.

    Raises StoreError for non-retryable errors, UsageError for a request that cannot be met, BalancebookError for a view
    that cannot be compared.
    """
    with naming_what_is_gone(reader, view, doing="compared"):
        return _Run(reader, view, request, telling or Telling(), grace_s, sleep).done()


@dataclass
class _Run:
    reader: Reader
    view: View
    request: Request
    telling: Telling
    grace_s: float
    sleep: Callable[[float], None]

    def done(self) -> Reconciliation:
        began = time.monotonic()
        depth, report = self._compared()
        written, not_written = self._written(report)
        return Reconciliation(
            view=self.view,
            depth=depth,
            report=report,
            written=written,
            not_written=not_written,
            seconds=time.monotonic() - began,
        )

    def _compared(self) -> tuple[str, ComparisonReport]:
        if self.request.depth == "definition" and not self.request.keys:
            return "definition", definition(self.reader, self.view)
        began = time.monotonic()
        before = self._health(ask_tasks=False)
        base = base_side(self.reader, self.view).table
        pace = pace_of(self.reader, self.view, self.request.rate, paced=self._paced)
        with pace or nullcontext():
            depth, report = self._read(pace)
        if pace:
            self._tell_of(pace.report())
        if depth != "full" and report.complete:
            # The engine has asked that itself.
            changes = changes_of(self.reader, [self.view, base], "compared")
            report = replace(report, complete=not changes, reasons=(*report.reasons, *changes))
        if report.counts[Kind.LOST]:
            now = self._health()
            report = replace(report, **of_build(before, now, time.monotonic() - began))
        return depth, report

    def _health(self, *, ask_tasks: bool = True) -> ViewHealth:
        return view_health(self.reader, self.view.keyspace, self.view.name, ask_tasks=ask_tasks)

    def _read(self, pace: Pace | None) -> tuple[str, ComparisonReport]:
        request = self.request
        if request.keys:
            return "keys", self._keys(request.keys, pace)
        cutoff = self._cutoff()
        if request.depth == "sampled" or request.within_s is not None:
            return "sampled", self._sampled(pace)
        base = base_side(self.reader, self.view).table
        costs = [estimate(self.reader, table) for table in (base, self.view)]
        rows = max(cost.rows or 0 for cost in costs)
        if rows > request.budget_rows:
            self.telling.told(f"beyond the budget of {request.budget_rows:,} rows a side: only sampled")
            return "sampled", self._sampled(pace)
        report = self._full(costs, rows, cutoff, pace)
        if report.truncated:
            # The server had no estimate, or one that is too low: then nothing was confirmed.
            self.telling.told(f"more rows a side than the budget of {request.budget_rows:,}: only sampled")
            return "sampled", self._sampled(pace)
        return "full", report

    def _keys(self, path: Path, pace: Pace | None) -> ComparisonReport:
        base = read_table(self.reader, self.view.keyspace, self.view.base_name)
        if base is None:
            raise BalancebookError(f"The base {self.view.base_name} does not exist.", "Run it again.")
        return compare_partitions(
            self.reader,
            self.view,
            read_keys(path, self.view, base),
            grace_s=self.grace_s,
            budget_rows=self.request.budget_rows,
            samples=self.request.samples,
            sleep=self.sleep,
            progress=self.telling.step,
            pace=pace,
        )

    def _sampled(self, pace: Pace | None) -> ComparisonReport:
        return sampled(
            self.reader,
            self.view,
            grace_s=self.grace_s,
            deadline_s=self.request.within_s,
            samples=self.request.samples,
            sleep=self.sleep,
            pace=pace,
        )

    def _full(self, costs: list[Cost], rows: int, cutoff: Cutoff | None, pace: Pace | None) -> Report:
        request = self.request
        ranges = max(RANGES, min(_MOST_RANGES, rows // _ROWS_A_RANGE))
        resumed = request.state is not None and request.state.exists()
        with ExitStack() as opened:
            folder = self._folder(opened, pace)
            engine = Engine(self.reader, self.view, self._options(ranges, cutoff, pace), folder)
            # Whatever was asked can be done: now there is something to tell.
            if all(cost.rows for cost in costs):
                self.telling.told(_cost_in_words(costs, request.rate))
            expected, known = 0, [cost.rows or 0 for cost in costs]
            if rows >= _WORTH_A_GLANCE and not resumed:
                glance = quick(self.reader, self.view, ranges=_GLANCED, pace=pace)
                self.telling.told(glance.message)
                expected = glance.expected(known)
            # Of so few ranges it may be half as much.
            return engine.report(expected // 2, sum(known))

    def _options(self, ranges: int, cutoff: Cutoff | None, pace: Pace | None) -> Options:
        request = self.request
        return Options(
            grace_s=self.grace_s,
            cutoff=cutoff,
            budget_rows=request.budget_rows,
            samples=request.samples,
            ranges=ranges,
            state=request.state,
            resume_within_s=request.resume_within_s,
            spool=request.spool,
            sleep=self.sleep,
            pace=pace,
            progress=_Passes(self.telling.step),
            told=self.telling.told,
        )

    def _tell_of(self, held_back: PaceReport) -> None:
        for sentence in held_back.sentences():
            self.telling.told(sentence)

    def _folder(self, opened: ExitStack, pace: Pace | None) -> Folder:
        request, profile = self.request, self.reader.profile
        if request.scheduler:
            return opened.enter_context(dask(request.scheduler, profile, request.rate, paced=self._paced))
        if request.workers > 1:
            return opened.enter_context(processes(request.workers, profile, request.rate, paced=self._paced))
        return ThreadFolder(self.reader, pace)

    @property
    def _paced(self) -> bool:
        asked = self.request.paced
        return asked if asked is not None else not self.reader.profile.embedded

    def _cutoff(self) -> Cutoff | None:
        """By the clock of this machine, in milliseconds."""
        column = self.request.cutoff
        if column == "none":
            return None
        if column == "auto":
            time_column = self.reader.profile.ledger.time
            if time_column is None or not can_cut_off(self.view, time_column):
                return None
            column = time_column
        elif not can_cut_off(self.view, column):
            fitting = [each.name for each in self.view.columns if can_cut_off(self.view, each.name)]
            raise UsageError(
                f"{column!r} is no column of {self.view.cql_name} that can be the cut-off.",
                f"Name a column of times in milliseconds, of these: {enumerated(fitting)}."
                if fitting
                else "It has no column of times in milliseconds: leave --cutoff out.",
                parameter="cutoff",
            )
        now = int(time.time() * 1000)
        return Cutoff(column, now - int(self.grace_s * 1000), now + DAY_MS)

    def _written(self, report: ComparisonReport) -> tuple[tuple[Written, ...], str]:
        if not report.samples:
            return (), ""
        try:
            sides = base_side(self.reader, self.view), view_side(self.view)
            written = tuple(read_write_times(self.reader, sides, report))
            return written, why_unread(written)
        except StoreError as error:
            # The differences stand without them.
            return (), f"Write times could not be read: {error}"


class _OfBuild(TypedDict):
    """What the view's build says of rows that are LOST, as ComparisonReport has it."""

    build: str
    may_come: bool


def of_build(before: ViewHealth, now: ViewHealth, seconds: float) -> _OfBuild:
    """What the build says of rows LOST by a comparison that took so long, by its state at the beginning and at the
    end. Only of a build that had stopped before is it known that no row may come."""
    if now.state == "building":
        if now.stopped(seconds):
            return _OfBuild(build=f"The view's build has stopped. {now.note}".rstrip(), may_come=False)
        so_far = "" if now.percent is None else f", {int(now.percent)} % so far"
        rows = "rows that it lacks may still come. Run it again when it is built."
        return _OfBuild(build=f"The view is being built{so_far}: {rows} {now.note}".rstrip(), may_come=True)
    if before.state == "building":
        return _OfBuild(
            build="The view was being built when the comparison began, and is built now: run it again.",
            may_come=True,
        )
    if "unknown" in (before.state, now.state):
        note = now.note if now.state == "unknown" else before.note
        return _OfBuild(build=f"Whether the view is built could not be read. {note}".rstrip(), may_come=False)
    return _OfBuild(build="", may_come=False)


@dataclass
class _Passes:
    """Steps out of scan reports: each pass has a report of its own."""

    step: Callable[[Step], None]
    report: ScanReport | None = None
    number: int = 0

    def __call__(self, report: ScanReport) -> None:
        self.number += report is not self.report
        self.report = report
        self.step(Step(report.ranges_done, report.ranges_total, report.rows, self.number))


def _cost_in_words(costs: list[Cost], rate: int | None) -> str:
    rows, size = sum(cost.rows or 0 for cost in costs), sum(cost.bytes or 0 for cost in costs)
    seconds = rows / min(rate or _ROWS_PER_S, _ROWS_PER_S)
    return f"about {rows:,} rows of base and view to read, {size / 2**20:,.0f} MiB, {seconds:,.0f} s or more"
