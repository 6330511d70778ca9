"""The depth `sampled`: token ranges drawn at random on both sides, each of their rows looked up on the other side.

Rows of one range are no independent draws, ranges are: what is claimed is a share of ranges. Ranges are drawn with
replacement, so that the count of faulty ones is binomial, and the bound exact (see reconcile.bound).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balancebook.errors import UsageError
from balancebook.reconcile.confirm.by_key import KeyLooker
from balancebook.reconcile.confirm.columns import look_columns
from balancebook.reconcile.confirm.rule import GONE
from balancebook.reconcile.confirm.settle import Outcome, Settling
from balancebook.reconcile.draws import Met, Seen
from balancebook.reconcile.found import decoded_key
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.report import Difference, summed_up
from balancebook.reconcile.sampled_report import SampledReport, side_sample, why_incomplete
from balancebook.reconcile.sampler import Progress, Sampler
from balancebook.reconcile.sides import VIEW, Side, base_side, types_of, view_side
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
    samples: int = 1000,
    seed: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> SampledReport:
    """Compares `ranges` ranges a side, drawn at random; or as many as `deadline_s` seconds allow, whatever `ranges`.

    Ranges hold about 32 rows; they are read at LOCAL_ONE, and what looks wrong is confirmed by looks at LOCAL_QUORUM,
    at least `grace_s` seconds apart: at most 1,000 rows, of as many ranges as can be. Drawing, and what is looked up
    for it, waits for the `pace`. `deadline_s` holds for everything, the grace included, and is overrun by one request
    timeout at most. `seed` gives the same ranges
    again while the grid is the same. Raises StoreError for non-retryable errors and if the schema cannot be read;
    BalancebookError for a view that cannot be compared; UsageError for a deadline within the grace.
    """
    began = time.monotonic()
    until, drawing_ends = _times(began, deadline_s, grace_s)
    sides = base_side(reader, view), view_side(view)
    types = types_of(reader, sides)
    columns = look_columns(reader, sides, types)
    seed = secrets.randbits(64) if seed is None else seed
    sampler = Sampler(reader, sides, columns, seed, pace)
    sampler.draw(ranges if deadline_s is None else None, drawing_ends, progress)
    settling = Settling(KeyLooker(reader, sides, columns), grace_s, sleep)
    settled = _settled(settling, sampler.met(), until)
    differences = (
        _difference(
            types,
            columns.keys,
            found.suspect.spelled(VIEW),
            found.kind,
            (found.base, found.view),
            found.reason,
        )
        for found in settled.values()
    )
    base, of_view = (side_sample(side, settled) for side in sampler.sides)
    counts, worst = summed_up(differences, samples)
    reasons = (*why_incomplete(base), *why_incomplete(of_view), *_nothing_met(reader, sides, sampler))
    return SampledReport(
        rows_base=base.rows,
        rows_view=of_view.rows,
        counts=counts,
        samples=worst,
        gone=sum(found.reason == GONE for found in settled.values()),
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
    rows that look wrong. rows, wrong: of base and view, the rows that were compared, and those of them that look wrong.
    differences: these rows, as first seen. unread: ranges that could not be read."""

    drawn: tuple[int, int]
    suspicious: tuple[int, int]
    rows: tuple[int, int]
    wrong: tuple[int, int]
    unread: int
    differences: tuple[Difference, ...]
    seed: int
    seconds: float

    def expected(self, rows: Sequence[int]) -> int:
        """About how many rows of both sides differ, if all are like these. `rows`: of base and view."""
        sides = zip(rows, self.rows, self.wrong, strict=True)
        return sum(there * wrong // compared for there, compared, wrong in sides if compared)

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
    seed: int | None = None,
    pace: Pace | None = None,
) -> Glance:
    """What `ranges` ranges a side look like at LOCAL_ONE, without confirming anything: before a whole comparison.

    Raises as `sampled` does.
    """
    began = time.monotonic()
    sides = base_side(reader, view), view_side(view)
    seed = secrets.randbits(64) if seed is None else seed
    types = types_of(reader, sides)
    columns = look_columns(reader, sides, types)
    sampler = Sampler(reader, sides, columns, seed, pace)
    sampler.draw(ranges, math.inf)
    base, of_view = (side.drawn for side in sampler.sides)
    return Glance(
        drawn=(len(base), len(of_view)),
        rows=(sum(each.rows for each in base), sum(each.rows for each in of_view)),
        wrong=(sum(len(each.met) for each in base), sum(len(each.met) for each in of_view)),
        suspicious=(sum(bool(each.met) for each in base), sum(bool(each.met) for each in of_view)),
        unread=sum(bool(each.unread) for each in (*base, *of_view)),
        differences=tuple(
            _difference(types, columns.keys, met.suspect.spelled(VIEW), met.kind, met.seen)
            for met in sampler.met().values()
        ),
        seed=seed,
        seconds=time.monotonic() - began,
    )


def _settled(settling: Settling, met: Mapping[RawKey, Met], until: float) -> dict[RawKey, Outcome]:
    """What became of the rows that look wrong: of the first 1,000; the others are UNKNOWN."""
    asked = [each.suspect for each in met.values()][:_MOST_CONFIRMED]
    settled = {found.suspect.key: found for found in settling.outcomes(asked, until)}
    beyond = f"more than {_MOST_CONFIRMED:,} rows look wrong: the others were not read again"
    for each in list(met.values())[_MOST_CONFIRMED:]:
        settled[each.suspect.key] = Outcome(each.suspect, Kind.UNKNOWN, beyond, *each.seen)
    return settled


def _nothing_met(reader: Reader, sides: tuple[Side, Side], sampler: Sampler) -> list[str]:
    """Why the sample says nothing, if it met no row although there are some."""
    if any(each.rows or each.unread for side in sampler.sides for each in side.drawn):
        return []
    return [
        f"no row was met in the ranges drawn, though {side.table.cql_name} has some"
        for side in sides
        if side.has_rows(reader)
    ]


def _difference(
    types: Sequence[Any], keys: int, key: RawKey, kind: Kind, seen: Seen, reason: str = ""
) -> Difference:
    base, view = (None if cells is None else decode(types[keys:], cells) for cells in seen)
    return Difference(kind, decoded_key(types[:keys], key), base, view, reason)


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
