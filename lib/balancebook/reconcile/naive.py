"""The plain way to compare a view with its base: both in memory, one dictionary each, keyed by the view's key.

It is exact and bounded by its budget of rows. Beyond the budget, or with any token range unread, it compares nothing
and its verdict is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from balancebook.reconcile.confirm import (
    BY_KEY_CONSISTENCY,
    SCAN_CONSISTENCY,
    Confirmation,
    Seen,
    confirm_by_key,
    confirm_by_scan,
    kind_of,
)
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport, Difference, summed_up
from balancebook.reconcile.sides import Rows, Side, base_side, view_side
from balancebook.reconcile.values import Cells
from balancebook.store.ranges import Progress, ScanReport
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.store.tokens import merge_ranges

# Above this many candidates, reading everything again is faster than reading each one by its key.
_MOST_BY_KEY = 10_000


def compare(base_rows: Rows, view_rows: Rows, *, samples: int = 1000) -> ComparisonReport:
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


def read_and_compare(
    reader: Reader,
    view: View,
    *,
    grace_s: float,
    budget_rows: int = 1_000_000,
    samples: int = 1000,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
) -> ComparisonReport:
    """Reads base and view whole, and confirms each difference by two reads of both sides `grace_s` seconds apart.

    Only what both confirming reads show with the same cells is a fault; what healed or changed is LAGGING. Candidates
    are read by key at LOCAL_QUORUM (which may cause a read repair), more than 10,000 of them by a second scan of both
    sides at LOCAL_ONE. REPLICA is not told from LAGGING here. `budget_rows` holds for each side.
    Raises StoreError for what no retry mends, BalancebookError for a view that filters by what cannot be compared.
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


def _incomplete(base: Side, view: Side, base_scan: ScanReport, view_scan: ScanReport) -> ComparisonReport:
    scans = ((base, base_scan), (view, view_scan))
    return ComparisonReport(
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
