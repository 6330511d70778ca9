"""How two sides are compared: what may be told to the engine, and how their rows lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balancebook.errors import BalancebookError
from balancebook.reconcile.sides import Side
from balancebook.sketch.layout import RowLayout, fixed_width
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES, Progress
from balancebook.store.schema import Table

# 0.7 MB: folding stays within the processor's caches, and 5,000 rows that differ are named in one pass.
_CELLS = 3 * 2048
# Named by a sketch and looked at by key; more are confirmed by scans.
MOST_BY_KEY = 10_000
# They can hold milliseconds since 1970, as signed numbers.
_TIMES = ("bigint", "timestamp")
FOREVER = 2**63 - 1
# What was read longer ago says too little about the rows of today.
RESUME_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Rows whose column (bigint or timestamp, in ms) is beyond `latest` are set aside on both sides, and
    compared with each other: writers at work would fill the sketch with them.

    But not what is beyond `horizon` too, a time that no clock can have shown yet: it is compared as all others are.
    """

    column: str
    latest: int
    horizon: int = FOREVER


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to compare.

    grace_s: seconds between two looks at a row. budget_rows: for each side in each pass. samples: how many differences
    are kept. cells: of the sketch at first. most_by_key: how many differences are looked at by key; more are confirmed
    by scans. ranges: how many token ranges a side is read in. state: a file to keep the progress in, and to resume
    from, unless what it kept is older than `resume_within_s`; records of confirming scans go beside it. spool: a file
    for all differences. pace: of the confirming scans. progress: called after each range of a pass; told: with a
    sentence at each turn of events.
    """

    grace_s: float
    cutoff: Cutoff | None = None
    budget_rows: int | None = None
    samples: int = 1000
    cells: int = _CELLS
    most_by_key: int = MOST_BY_KEY
    ranges: int = RANGES
    state: Path | None = None
    resume_within_s: float = RESUME_WITHIN_S
    spool: Path | None = None
    sleep: Callable[[float], None] = time.sleep
    pace: Pace | None = None
    progress: Progress | None = None
    told: Callable[[str], None] = lambda _: None


def can_cut_off(view: Table, column: str) -> bool:
    """Whether the view has that column, of a type that can be compared with the clock."""
    return any(each.name == column and each.cql_type in _TIMES for each in view.columns)


def layout_of(sides: tuple[Side, Side], cutoff: Cutoff | None) -> RowLayout:
    base, view = sides
    types = {column.name: column.cql_type for column in view.table.columns}
    names = (*view.key, *view.values)
    if cutoff and not can_cut_off(view.table, cutoff.column):
        raise BalancebookError(
            f"{cutoff.column!r} is no column of {view.table.cql_name} that can be the cut-off.",
            f"Name one of its columns of type {' or '.join(_TIMES)}, in milliseconds.",
        )
    return RowLayout(
        widths=tuple(fixed_width(types[name]) for name in names),
        keys=len(view.key),
        base_partition=tuple(names.index(column.name) for column in base.table.partition_key),
        view_partition=tuple(names.index(column.name) for column in view.table.partition_key),
        cutoff=(names.index(cutoff.column), cutoff.latest, cutoff.horizon) if cutoff else None,
    )
