"""Confirming what differs between two whole sides when it is too much to be named by a sketch and looked at by key.

Both sides are read whole with their write times, the view before the base, and kept as records on disk; after a grace
period what differs is read so again. Two such scans settle the rows that nobody wrote in between (confirm.scan_rule);
all others are looked at by their keys. The records of two million rows a side take 200 MB, and the base's rows are kept
with them; the files are removed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

import numpy as np

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY, SCAN_CONSISTENCY, scan_rule
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.record_files import PARTS, RecordFiles, needed_bytes
from balancebook.reconcile.confirm.rule import GONE
from balancebook.reconcile.confirm.scan_rows import KeptRows, ScanBatch, among, hash_of, record_layout
from balancebook.reconcile.confirm.scan_rule import OPEN, Flags, Scan, Units
from balancebook.reconcile.confirm.settle import BEHIND, Settling
from balancebook.reconcile.confirm.suspects import Suspects
from balancebook.reconcile.found import Batch, Listed, RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.sketch.layout import Page, Words
from balancebook.sketch.records import (
    ADDRESS,
    DERIVED,
    KEY,
    RecordReader,
    flagged,
    gathered,
    joined,
)
from balancebook.sketch.sketch import cells_of
from balancebook.store.pace import Pace
from balancebook.store.ranges import Progress, RangeTask, ScanReport, tasks_by_turns
from balancebook.store.raw import RawCells, RawPage, raw_pages
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import Reader
from balancebook.store.tokens import range_clause

NOT_READ = "the confirming scan was not complete"
LACKED_BEFORE = (
    "at first the view lacked so many more rows than when it was read again: they were late, on another replica, or "
    "deleted from the base since, and which is not known; run it again while fewer rows are written"
)
_PROBED_ROWS = 200
_FIRST = "first"


@dataclass(slots=True)
class Totals:
    """What the first scan had, if it was complete: the rows that the base derives, those of the view, and how many of
    both differed. report: of both sides together; read: rows of base and view."""

    base: int = 0
    view: int = 0
    differing: int = 0
    complete: bool = False
    read: tuple[int, int] = (0, 0)
    report: ScanReport = field(default_factory=lambda: ScanReport(ranges_total=0))

    def add(self, side: int, report: ScanReport) -> None:
        """Note how one side was read."""
        base, view = self.read
        self.read = (report.rows, view) if side == BASE else (base, report.rows)
        self.report.ranges_total += report.ranges_total
        self.report.ranges_done += report.ranges_done
        self.report.rows += report.rows
        self.report.leave(report.unknown_ranges, report.reasons)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Of some rows: their mean size, as they are sent to a look; whether a cell of them expires; whether each has a
    write time that both sides have, so that no other column is needed to show that it stood still."""

    row_bytes: int
    expiring: bool
    timed: bool


class NoRoomError(Exception):
    """The disk has less room than the comparison needs; its text says how much."""


@dataclass(frozen=True, kw_only=True)
class ScanConfirming:
    """Confirms by scans. `columns` are those of the looks by key, which `settling` does for what scans leave open.

    ranges: in how many a side is read. beside: a file of this run alone; the records go into a folder next to it, by
    default among the system's temporary files.
    """

    reader: Reader
    sides: tuple[Side, Side]
    columns: LookColumns
    settling: Settling
    seed: int
    ranges: int
    beside: Path | None = None
    pace: Pace | None = None
    progress: Progress | None = None
    told: Callable[[str], None] = lambda _: None
    totals: Totals = field(default_factory=Totals)

    def batches(self, rows: int) -> Iterator[Batch]:
        """What became of each row that differs, one batch after another; `totals` are known then. `rows`: of both
        sides, about.

        Raises NoRoomError before anything is read, StoreError for non-retryable errors, OSError.
        """
        if self.beside:
            remove_records(self.beside)
        prefix = _prefix(self.beside or Path("reconcile"))
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.beside and self.beside.parent) as folder:
            sample = self._sample()
            self._require_room(Path(folder), rows, sample.row_bytes)
            columns = self.columns.without_unselected() if sample.timed else self.columns
            by_key = sample.expiring or columns.shares_rows
            yield from _Scans(self, Path(folder), columns, by_key=by_key).batches()

    def _require_room(self, folder: Path, rows: int, row_bytes: int) -> None:
        needed = needed_bytes(rows, row_bytes, replicated=self.settling.looker.replicated)
        free = shutil.disk_usage(folder).free
        self.told(f"comparing by records on disk: up to {needed / 2**20:,.0f} MiB in {folder.parent}")
        if needed > free:
            raise NoRoomError(
                f"naming what differs takes up to {needed / 2**20:,.0f} MiB in {folder.parent}, which has "
                f"{free / 2**20:,.0f} MiB free"
            )

    def _sample(self) -> _Sample:
        """Some rows of both sides, as looks by key select them."""
        total = count = 0
        expiring, timed = False, True
        for side in (BASE, VIEW):
            for page in self._first_pages(side):
                total, count = total + len(page.body) - page.start, count + page.rows
                for row in page.cells():
                    expiring |= self.columns.expires(row, side)
                    timed &= self.columns.is_timed(row)
        return _Sample(-(-total // count) if count else 0, expiring=expiring, timed=timed)

    def _first_pages(self, side: int) -> Iterator[RawPage]:
        """The first rows of a side, read range by range as the scans do: where many rows were deleted, the server
        refuses to look for one among all of them."""
        table, rows = self.sides[side].table, 0
        selected = ", ".join(self.columns.expressions(side))
        for task in tasks_by_turns(self.ranges, 1):
            clause, params = range_clause(table, task.tokens)
            cql = f"SELECT {selected} FROM {table.cql_name}{clause} LIMIT {_PROBED_ROWS - rows}"
            for page in raw_pages(self.reader, cql, params):
                rows += page.rows
                yield page
            if rows >= _PROBED_ROWS:
                return


def _prefix(beside: Path) -> str:
    return f"{beside.name}.records-"


def remove_records(beside: Path) -> None:
    """Remove the records that a killed process has left beside a file of its run. Raises OSError."""
    for left in beside.parent.glob(f"{escape(_prefix(beside))}*"):
        shutil.rmtree(left)


@dataclass
class _Scans:
    """The scans of one confirmation, and what they left in `folder`.

    columns: what they read. by_key: whether scans settle nothing, since they see less than looks by key. unnamed:
    address and key of each row that the view had in the first scan, and neither side in the second.
    """

    how: ScanConfirming
    folder: Path
    columns: LookColumns
    by_key: bool = False
    suspects: Suspects = field(init=False)
    unnamed: set[tuple[int, int]] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.suspects = Suspects(self.columns.identity)

    def batches(self) -> Iterator[Batch]:
        replicated = self.how.settling.looker.replicated
        first = _FIRST
        # What the view lacks or has wrong may be deleted until the next scan: it is looked at by the key that it had.
        if not self._scan(first, SCAN_CONSISTENCY, keep=(BASE,)):
            yield self._unread(first)
            return
        ended = time.monotonic()
        wanted = self._differing(first)
        if replicated:
            # Before anything is read at a quorum, which may repair the replica.
            self.how.settling.pause(ended)
            if not (
                self._scan("again", SCAN_CONSISTENCY, wanted)
                and self._scan("quorum", CONFIRM_CONSISTENCY, wanted, keep=(BASE, VIEW))
            ):
                yield self._unread(first)
                return
            ended = time.monotonic()
            for part in range(PARTS):
                yield from self._at_quorum(part, first, "again", "quorum")
            first = "quorum"
        self.how.settling.pause(ended)
        if not self._scan("second", CONFIRM_CONSISTENCY, wanted, keep=(BASE, VIEW)):
            yield self._unread(first)
            return
        for part in range(PARTS):
            yield self._settled(part, first)
        yield from self._by_key()

    def _scan(
        self, name: str, consistency: str, wanted: Words | None = None, *, keep: Sequence[int] = ()
    ) -> bool:
        """Read both sides, the view before the base, and keep the records of the wanted addresses (None: of all), of
        the sides in `keep` their rows too. Whether all was read."""
        for side in (VIEW, BASE):
            files = RecordFiles(self.folder, f"{name}.{side}")
            report = self._read(side, files, consistency, wanted, keep=side in keep)
            if name == _FIRST:
                self.how.totals.add(side, report)
            if not report.complete:
                self.reasons += report.reasons
                return False
        return True

    def _read(
        self, side: int, files: RecordFiles, consistency: str, wanted: Words | None, *, keep: bool
    ) -> ScanReport:
        how, layout = self.how, record_layout(self.columns, side)

        def gather(_table: int, pages: Iterator[RawPage]) -> tuple[Words, Page]:
            reader, found, rows = RecordReader(layout, how.seed), list[Words](), list[Page]()
            for page in pages:
                records, bounds = reader.read(page.body, page.start, page.rows)
                if self._respelled:
                    self._name_by_value(records, page, bounds.tolist())
                chosen = np.arange(len(records)) if wanted is None else np.flatnonzero(among(records, wanted))
                found.append(records[chosen])
                if keep:
                    rows.append(gathered(page.body, bounds, chosen))
            return joined(found), np.concatenate([np.empty(0, np.uint8), *rows])

        tasks = [RangeTask(0, task.tokens) for task in tasks_by_turns(how.ranges, 1)]
        scan = raw_scan(
            how.reader,
            [how.sides[side].table],
            self.columns.names,
            gather,
            tasks,
            wheres=[how.sides[side].selected.where],
            times=self.columns.times(side),
            consistency=consistency,
            progress=how.progress,
            pace=how.pace,
        )
        with files.opened() as write:
            for part in scan:
                records, rows = part.gathered
                write(records, rows if keep else None)
        return scan.report

    @property
    def _respelled(self) -> bool:
        return self.columns.identity.respelled or self.columns.base_identity.respelled

    def _name_by_value(self, records: Words, page: RawPage, bounds: Sequence[tuple[int, int]]) -> None:
        """Where one key can have different bytes, hash what they mean."""
        columns = self.columns
        for number, (begin, end) in enumerate(bounds):
            key = cells_of(page.body[begin:end].tobytes())[: columns.keys]
            records[number, ADDRESS] = hash_of(columns.base_key(key))
            if None not in key:
                records[number, KEY] = hash_of(columns.identity.of(key))

    def _part(self, name: str, part: int) -> Scan:
        base, view = (RecordFiles(self.folder, f"{name}.{side}").records(part) for side in (BASE, VIEW))
        # A row of the view with a null in its key cannot be; one is left to nobody.
        return Scan(base, view[flagged(view, DERIVED)])

    def _differing(self, name: str) -> Words:
        """The addresses of what differs in the first scan, sorted; counts its rows too."""
        found, totals = [], self.how.totals
        totals.complete = True
        for part in range(PARTS):
            scan = self._part(name, part)
            units = scan_rule.differing(scan)
            found.append(units.addresses)
            totals.base += int(np.count_nonzero(flagged(scan.base, DERIVED)))
            totals.view += len(scan.view)
            totals.differing += int(np.count_nonzero(units.base >= 0) + np.count_nonzero(units.view >= 0))
        return np.sort(np.concatenate(found))

    def _settled(self, part: int, name: str) -> Batch:
        columns = self.columns
        first, second = self._part(name, part), self._part("second", part)
        units = scan_rule.differing(first)
        codes = scan_rule.settled(
            units, first, second, all_timed=columns.all_timed, moving=bool(columns.moving)
        )
        if self.by_key:
            codes[:] = OPEN
        shown = self._shown("second", part)
        self._leave_open(units, codes == OPEN, self._shown(name, part), second, shown)
        return ScanBatch(units, codes, np.flatnonzero(codes != OPEN), shown)

    def _shown(self, name: str, part: int) -> KeptRows:
        columns = self.columns
        return KeptRows(self.folder, name, part, columns.keys, len(columns.names))

    def _leave_open(
        self, units: Units, chosen: Flags, before: KeptRows, later: Scan, shown: KeptRows
    ) -> None:
        """Note units to be looked at by their keys. before: the rows of the scan of which they are; shown: of the later
        one.

        What the view lacked or had wrong, and is now gone from both sides, is looked at by the key that it had. If it
        is gone for good, there is nothing to compare; but one that is deleted and written again all the time is in step
        whenever it is deleted.
        """
        gone = scan_rule.derived_and_gone(units, later)
        for unit in np.flatnonzero(chosen).tolist():
            name = int(units.addresses[unit]), int(units.keys[unit])
            rows = (before.base(*name), None) if gone[unit] else shown.of(*name)
            if rows == (None, None):
                self.unnamed.add(name)
            self._note(rows)

    def _note(self, rows: tuple[RawCells | None, RawCells | None]) -> None:
        for side, row in zip((BASE, VIEW), rows, strict=True):
            if row is not None:
                self.suspects.note(side, self.columns.raw_key(row))

    def _by_key(self) -> Iterator[Batch]:
        if self.unnamed:
            yield self._looked_for_again()
        if len(self.suspects):
            self.how.told(
                f"{len(self.suspects):,} rows are not settled by two scans (written meanwhile, or without write "
                "times): looking at them by key"
            )
        listed = Listed()
        listed.extend(outcome.difference for outcome in self.how.settling.outcomes(self.suspects))
        yield listed

    def _looked_for_again(self) -> Batch:
        """Rows that were on neither side in the second scan: deleted, or deleted and written again all the time."""
        self.how.settling.pause()
        wanted = np.unique(np.array([address for address, _ in self.unnamed], np.uint64))
        complete = self._scan("third", CONFIRM_CONSISTENCY, wanted, keep=(BASE, VIEW))
        found: set[tuple[int, int]] = set()
        for part in range(PARTS):
            for unit, rows in self._shown("third", part).all():
                found.add(unit)
                self._note(rows)
        # A base row that is back under another key of the view is looked at there; this one is gone.
        kind, reason = (Kind.LAGGING, GONE) if complete else (Kind.UNKNOWN, self._not_read)
        return Listed([self._nameless(kind, reason)] * len(self.unnamed - found))

    def _nameless(self, kind: Kind, reason: str) -> RawDifference:
        return RawDifference.nameless(self.columns.keys, kind, reason)

    def _at_quorum(self, part: int, first: str, again: str, quorum: str) -> Iterator[Batch]:
        """What single replicas showed as wrong, and a quorum does not.

        Twice wrong, a grace period apart, while the base was not written in all that time: a replica is behind. Of the
        others those are settled that are in step or gone; equal values alone say nothing.
        """
        scans = [self._part(name, part) for name in (first, again, quorum)]
        shown = self._shown(quorum, part)
        units = scan_rule.differing(scans[1])
        behind, listed = scan_rule.behind(units, *scans), Listed()
        for unit in np.flatnonzero(behind).tolist():
            address, key = int(units.addresses[unit]), int(units.keys[unit])
            listed.append(shown.difference(address, key, Kind.REPLICA, BEHIND))
        yield listed
        left = scan_rule.differing(scans[0])
        known = scan_rule.same_rows(left, units, behind) | scan_rule.same_rows(
            left, scan_rule.differing(scans[2])
        )
        codes = scan_rule.settled(left, scans[0], scans[2], all_timed=False, moving=False)
        open_ = (codes == OPEN) | self.by_key
        self._leave_open(left, open_ & ~known, self._shown(first, part), scans[2], shown)
        yield ScanBatch(left, codes, np.flatnonzero(~open_ & ~known), shown)

    def _unread(self, name: str) -> Batch:
        """All that differed in that scan, of which nothing is known; at least one, should it have been cut off too."""
        count = 0
        for part in range(PARTS):
            count += len(scan_rule.differing(self._part(name, part)))
        return Listed([self._nameless(Kind.UNKNOWN, self._not_read)] * max(count, 1))

    @property
    def _not_read(self) -> str:
        return ": ".join([NOT_READ, *self.reasons])
