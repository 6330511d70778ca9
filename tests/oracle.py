"""The plain way to compare a view with its base: both in memory, one dictionary each, keyed by the view's key.

Nothing is confirmed, so only what nobody writes to can be compared so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport, Difference, summed_up
from balancebook.reconcile.sides import Side, base_side, view_side
from balancebook.reconcile.values import Cells, hashable_key
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import View

Rows = dict[Cells, Cells]


def compare(base_rows: Rows, view_rows: Rows, *, samples: int = 1000) -> ComparisonReport:
    """The differences between two sides, each a dictionary from the view's primary key to its other cells.

    Cells are compared exactly, so decimal 1.0 is not 1.00; keys as CQL does, so it is there.
    """
    counts, worst = summed_up(_differing(base_rows, view_rows), samples)
    return ComparisonReport(len(base_rows), len(view_rows), counts, worst)


def _differing(base_rows: Rows, view_rows: Rows) -> Iterator[Difference]:
    for key, cells in base_rows.items():
        other = view_rows.get(key)
        if kind := _kind_of(cells, other):
            yield Difference(kind, key, cells, other)
    for key, cells in view_rows.items():
        if key not in base_rows:
            yield Difference(Kind.ORPHAN, key, None, cells)


def _kind_of(base: Cells, view: Cells | None) -> Kind | None:
    if view is None:
        return Kind.LOST
    # Their text tells decimal 1.0 from 1.00 and -0.0 from 0.0, where Python's == does not.
    return None if repr(base) == repr(view) else Kind.MISMATCH


def read_and_compare(reader: Reader, view: View, *, samples: int = 1000) -> ComparisonReport:
    """Reads base and view whole, each row decoded by the driver."""
    sides = base_side(reader, view), view_side(view)
    plain = compare(*(_rows(reader, side) for side in sides), samples=samples)
    return replace(plain, key_columns=sides[1].key, value_columns=sides[1].values)


def _rows(reader: Reader, side: Side) -> Rows:
    selected = scan(
        reader, side.table, (*side.key, *side.values), budget_rows=1_000_000, where=side.selected.where
    )
    keys = len(side.key)
    # A row with a null in its key is no row of the view.
    found = (row for page in selected for row in page if None not in row[:keys])
    rows = {hashable_key(row[:keys]): row[keys:] for row in found}
    assert selected.report.complete
    return rows
