"""The depth `sampled`: token ranges drawn at random on both sides, each of their rows looked up on the other side.

Rows of one range are no independent draws, ranges are: what is claimed is a share of ranges. Ranges are drawn with
replacement, so that the count of faulty ones is binomial, and the bound exact (see reconcile.bound).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from balancebook.errors import UsageError
from balancebook.reconcile.confirm import Seen
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Cutoff, layout_of
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.report import Difference, summed_up
from balancebook.reconcile.sampled_report import SampledReport, side_sample, why_incomplete
from balancebook.reconcile.sampler import Progress, Sampler
from balancebook.reconcile.settling import Settling
from balancebook.reconcile.sides import VIEW, base_side, types_of, view_side
from balancebook.reconcile.values import Cells
from balancebook.store.pace import Pace
from balancebook.store.raw import decode
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.store.tokens import merge_ranges

RANGES = 128
_MOST_CONFIRMED = 1000
# Of the time that is left beside the grace: for the two confirming readings.
_FOR_CONFIRMING = 0.25


def sampled(  # noqa: PLR0913 (keywords with defaults, each of them used)
    reader: Reader,
    view: View,
    *,
    grace_s: float,
    ranges: int = RANGES,
    deadline_s: float | None = None,
    cutoff: Cutoff | None = None,
    samples: int = 1000,
    seed: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> SampledReport:
    """Compares `ranges` ranges a side, drawn at random; or as many as `deadline_s` seconds allow, whatever `ranges`.

    Ranges hold about 32 rows; they are read at LOCAL_ONE, and what looks wrong is confirmed by two reads of both sides
    at LOCAL_QUORUM `grace_s` seconds apart, in at most 1,000 rows, of as many ranges as can be. Drawing, and what is
    looked up for it, waits for the `pace`. `deadline_s` holds for
    everything, the grace included, and is overrun by one request timeout at the most. `seed` gives the same ranges
    again while the grid is the same. Raises StoreError for what no retry mends and if the schema cannot be read;
    BalancebookError for a view or a cut-off that cannot be compared; UsageError for a deadline within the grace.
    """
    began = time.monotonic()
    until, drawing_ends = _times(began, deadline_s, grace_s)
    sides = base_side(reader, view), view_side(view)
    layout, types = layout_of(sides, cutoff), types_of(reader, sides)
    seed = secrets.randbits(64) if seed is None else seed
    sampler = Sampler(reader, sides, layout, types, seed, pace)
    sampler.draw(ranges if deadline_s is None else None, drawing_ends, progress)
    suspects = sampler.suspects()
    settling = Settling(Rereader(reader, sides, layout, types, seed), grace_s, sleep, sampler.gone)
    settled = settling.confirmed(suspects, _MOST_CONFIRMED, until)
    differences = (
        _difference(types, layout.keys, key, found.kind, found.seen, found.reason)
        for key, found in settled.items()
    )
    base, of_view = (side_sample(side, settled) for side in sampler.sides)
    counts, worst = summed_up(differences, samples)
    reasons = (*why_incomplete(base), *why_incomplete(of_view))
    return SampledReport(
        rows_base=base.rows,
        rows_view=of_view.rows,
        counts=counts,
        samples=worst,
        key_columns=sides[VIEW].key,
        value_columns=sides[VIEW].values,
        complete=not reasons,
        reasons=reasons,
        unknown_ranges=tuple(merge_ranges([*base.unknown, *of_view.unknown])),
        ranges_total=base.drawn + of_view.drawn,
        ranges_done=base.read + of_view.read,
        base=base,
        view=of_view,
        seed=seed,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, kw_only=True)
class Glance:
    """A first look, of which nothing is confirmed. drawn, suspicious: ranges of base and view, and those of them with
    rows that look wrong. differences: those rows, as first seen. unread: ranges that could not be read."""

    drawn: tuple[int, int]
    suspicious: tuple[int, int]
    unread: int
    differences: tuple[Difference, ...]
    seed: int
    seconds: float

    @property
    def message(self) -> str:
        """What it comes to, as a line of progress."""
        wrong = [
            f"{number} of {drawn} ranges of the {name} hold rows that look wrong"
            for number, drawn, name in zip(self.suspicious, self.drawn, ("base", "view"), strict=True)
            if number
        ]
        base, view = self.drawn
        none = f"no row looks wrong in {base} ranges of the base and {view} of the view"
        unread = f"; {self.unread} ranges could not be read" if self.unread else ""
        return f"sampled phase: {', '.join(wrong) or none}{unread}"


def quick(
    reader: Reader,
    view: View,
    *,
    ranges: int = 64,
    cutoff: Cutoff | None = None,
    seed: int | None = None,
    pace: Pace | None = None,
) -> Glance:
    """What `ranges` ranges a side look like at LOCAL_ONE, without confirming anything: before a whole comparison.

    Raises as `sampled` does.
    """
    began = time.monotonic()
    sides = base_side(reader, view), view_side(view)
    seed = secrets.randbits(64) if seed is None else seed
    layout, types = layout_of(sides, cutoff), types_of(reader, sides)
    sampler = Sampler(reader, sides, layout, types, seed, pace)
    sampler.draw(ranges, math.inf)
    base, of_view = (side.drawn for side in sampler.sides)
    return Glance(
        drawn=(len(base), len(of_view)),
        suspicious=(sum(bool(each.suspects) for each in base), sum(bool(each.suspects) for each in of_view)),
        unread=sum(bool(each.unread) for each in (*base, *of_view)),
        differences=tuple(
            _difference(types, layout.keys, key, suspect.kind, suspect.seen)
            for key, suspect in sampler.suspects().items()
        ),
        seed=seed,
        seconds=time.monotonic() - began,
    )


def _difference(
    types: Sequence[Any], keys: int, key: Cells, kind: Kind, seen: Seen, reason: str = ""
) -> Difference:
    base, view = (None if cells is None else decode(types[keys:], cells) for cells in seen)
    return Difference(kind, key, base, view, reason)


def _times(began: float, deadline_s: float | None, grace_s: float) -> tuple[float, float]:
    """When all must be over, and when drawing must."""
    if deadline_s is None:
        return math.inf, math.inf
    if deadline_s <= grace_s:
        raise UsageError(
            f"Within {deadline_s:g} s nothing can be confirmed: the grace period alone is {grace_s:g} s.",
            f"Allow more than {grace_s:g} s, or set a shorter grace_s in the profile.",
            parameter="within",
        )
    beside = deadline_s - grace_s
    return began + deadline_s, began + beside * (1 - _FOR_CONFIRMING)
