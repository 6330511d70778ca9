"""The plain way to compare a view with its base: both in memory, one dictionary each, keyed by the view's key.

It is exact and bounded by its budget of rows. Beyond the budget, or with any token range unread, it compares nothing
and its verdict is unknown.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from balancebook.reconcile.confirm import (
    BY_KEY_CONSISTENCY,
    SCAN_CONSISTENCY,
    Confirmation,
    Seen,
    confirm_by_key,
    confirm_by_scan,
    kind_of,
)
from balancebook.reconcile.kinds import FAULTS, SEVERITY, Kind
from balancebook.reconcile.sides import Rows, Side, base_side, view_side
from balancebook.reconcile.values import Cells, order_key, to_json
from balancebook.store.reader import Reader
from balancebook.store.scan import Progress, ScanReport, TokenRange, merge_ranges
from balancebook.store.schema import View
from balancebook.verdict import Json, Verdict

# Above this many candidates, reading everything again is faster than reading each one by its key.
_MOST_BY_KEY = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of the view that differs: its key, and the other cells on either side (None: the row is not there)."""

    kind: Kind
    key: Cells
    base: Cells | None
    view: Cells | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NaiveReport:
    """What a comparison found.

    `counts` holds every kind and is exact; `samples` is bounded, worst first: in the order of Kind, then by key.
    `rows_base` are the rows that the base derives. Not `complete`: nothing was compared, and `reasons` say why. Ranges
    are counted over both sides. `confirmed_at` is the consistency of the confirming reads.
    """

    rows_base: int
    rows_view: int
    counts: Mapping[Kind, int]
    samples: tuple[Difference, ...]
    key_columns: tuple[str, ...] = ()
    value_columns: tuple[str, ...] = ()
    complete: bool = True
    reasons: tuple[str, ...] = ()
    truncated: bool = False
    unknown_ranges: tuple[TokenRange, ...] = ()
    ranges_total: int = 0
    ranges_done: int = 0
    confirmed_at: str = BY_KEY_CONSISTENCY

    @property
    def message(self) -> str:
        """What it comes to, in a sentence."""
        if self.verdict is Verdict.FAIL:
            return f"{self._counted(sorted(FAULTS))}."
        if not self.complete:
            return f"Not everything was compared: {'; '.join(self.reasons)}."
        if self.verdict is Verdict.UNKNOWN:
            return f"{self._counted([Kind.UNKNOWN])} could not be confirmed."
        lagging = self.counts[Kind.LAGGING]
        also = f" {lagging} were lagging and have caught up." if lagging else ""
        return f"All {self.rows_view:,} {self.subject} equal the base, cell by cell.{also}"

    @property
    def subject(self) -> str:
        """What was compared, as its rows are counted."""
        return "rows of the view"

    def _counted(self, kinds: Sequence[Kind]) -> str:
        return ", ".join(f"{self.counts[kind]:,} {kind}" for kind in kinds if self.counts[kind])

    @property
    def verdict(self) -> Verdict:
        """fail for any confirmed fault; unknown if it is incomplete or anything is unconfirmed; else pass."""
        if any(self.counts[kind] for kind in FAULTS):
            return Verdict.FAIL
        return Verdict.UNKNOWN if not self.complete or self.counts[Kind.UNKNOWN] else Verdict.PASS

    def named(self, difference: Difference) -> dict[str, Json]:
        """A sample as JSON: kind, key {column: value}, base and view {column: value} or None, reason."""
        return {
            "kind": difference.kind.value,
            "key": _named(self.key_columns, difference.key),
            "base": _named(self.value_columns, difference.base),
            "view": _named(self.value_columns, difference.view),
            "reason": difference.reason,
        }


def _named(columns: tuple[str, ...], cells: Cells | None) -> dict[str, Json] | None:
    return None if cells is None else {name: to_json(cell) for name, cell in zip(columns, cells, strict=True)}


def compare(base_rows: Rows, view_rows: Rows, *, samples: int = 1000) -> NaiveReport:
    """The differences between two sides, each a dictionary from the view's primary key to its other cells.

    Cells are compared exactly, so decimal 1.0 is not 1.00; keys as CQL does, so it is there. Nothing is confirmed.
    """
    differences = (Difference(kind, key, *seen) for key, kind, seen in _differing(base_rows, view_rows))
    return summed_up(differences, len(base_rows), len(view_rows), samples)


def _differing(base_rows: Rows, view_rows: Rows) -> Iterator[tuple[Cells, Kind, Seen]]:
    for key, cells in base_rows.items():
        seen = (cells, view_rows.get(key))
        if kind := kind_of(seen):
            yield key, kind, seen
    for key, cells in view_rows.items():
        if key not in base_rows:
            yield key, Kind.ORPHAN, (None, cells)


def summed_up(differences: Iterator[Difference], base: int, view: int, samples: int) -> NaiveReport:
    """The report of differences that come one by one: exact counts, the worst `samples` of them; base and view are
    the numbers of rows."""
    counts: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))

    def counted() -> Iterator[Difference]:
        for difference in differences:
            counts[difference.kind] += 1
            yield difference

    # At least one, since nsmallest does not look at what it is not asked for, and all are to be counted.
    worst = heapq.nsmallest(max(samples, 1), counted(), key=lambda d: (SEVERITY[d.kind], order_key(d.key)))
    return NaiveReport(base, view, dict(counts), tuple(worst[:samples]))


def read_and_compare(
    reader: Reader,
    view: View,
    *,
    grace_s: float,
    budget_rows: int = 1_000_000,
    samples: int = 1000,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
) -> NaiveReport:
    """Reads base and view whole, and confirms each difference by two reads of both sides `grace_s` seconds apart.

    Only what both confirming reads show with the same cells is a fault; what healed or changed is LAGGING. Candidates
    are read by key at LOCAL_QUORUM (which may cause a read repair), more than 10,000 of them by a second scan of both
    sides at LOCAL_ONE. REPLICA is not told from LAGGING here. `budget_rows` holds for each side.
    Raises StoreError for what no retry mends, BalancebookError for a view that filters by more than IS NOT NULL.
    """
    base, derived = base_side(reader, view), view_side(view)
    base_rows, base_scan = base.read(reader, budget_rows, progress)
    view_rows, view_scan = derived.read(reader, budget_rows, progress)
    if not (base_scan.complete and view_scan.complete):
        return _incomplete(base, derived, base_scan, view_scan)
    seen = {key: seen for key, _, seen in _differing(base_rows, view_rows)}
    rows = len(base_rows), len(view_rows)
    del base_rows, view_rows
    sides = base, derived
    if len(seen) <= _MOST_BY_KEY:
        confirmed = confirm_by_key(reader, sides, seen, grace_s, sleep)
    else:
        confirmed = confirm_by_scan(reader, sides, seen, grace_s, sleep, budget_rows)
    report = summed_up((_difference(key, found) for key, found in confirmed), *rows, samples)
    return replace(
        report,
        key_columns=derived.key,
        value_columns=derived.values,
        ranges_total=base_scan.ranges_total + view_scan.ranges_total,
        ranges_done=base_scan.ranges_done + view_scan.ranges_done,
        confirmed_at=BY_KEY_CONSISTENCY if len(seen) <= _MOST_BY_KEY else SCAN_CONSISTENCY,
    )


def _difference(key: Cells, found: Confirmation) -> Difference:
    return Difference(found.kind, key, *found.seen, found.reason)


def _incomplete(base: Side, view: Side, base_scan: ScanReport, view_scan: ScanReport) -> NaiveReport:
    scans = ((base, base_scan), (view, view_scan))
    return NaiveReport(
        rows_base=base_scan.rows,
        rows_view=view_scan.rows,
        counts=dict.fromkeys(Kind, 0),
        samples=(),
        key_columns=view.key,
        value_columns=view.values,
        complete=False,
        reasons=tuple(_why(side, scan) for side, scan in scans if not scan.complete),
        truncated=base_scan.truncated or view_scan.truncated,
        unknown_ranges=tuple(merge_ranges([*base_scan.unknown_ranges, *view_scan.unknown_ranges])),
        ranges_total=base_scan.ranges_total + view_scan.ranges_total,
        ranges_done=base_scan.ranges_done + view_scan.ranges_done,
    )


def _why(side: Side, scan: ScanReport) -> str:
    if scan.truncated:
        return f"{side.table.cql_name} has more rows than the budget of {scan.rows}"
    ranges = f"{scan.ranges_total - scan.ranges_done} of {scan.ranges_total} token ranges"
    return f"{ranges} of {side.table.cql_name} could not be read: {'; '.join(scan.reasons)}"
