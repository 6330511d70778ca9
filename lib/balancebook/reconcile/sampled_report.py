"""What a sample of token ranges showed, and what it says of those that were not drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from balancebook.reconcile.bound import CONFIDENCE, upper_bound
from balancebook.reconcile.confirm.settle import Outcome
from balancebook.reconcile.draws import MOST_ROWS
from balancebook.reconcile.kinds import FAULTS, Kind
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sampler import SideDraws
from balancebook.store.tokens import TokenRange, merge_ranges
from balancebook.verdict import Json, Verdict

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class SideSample:
    """The draws of one side. A range that was drawn twice counts as two draws, but its rows count once.

    ranges: how many of this width the ring has. read: draws that were read and compared. faulty: those of them with a
    confirmed fault. unsettled: those with none, but with a row that could not be confirmed, or with rows beyond the
    first 1,000, which were not compared. unknown: the ranges that could not be read, and reasons why. capped: ranges of
    which only the first 1,000 rows were compared. bound: the share of this side's ranges, 0 to 1, that hold a
    difference is at most this, at 95 % confidence; the unsettled count as faulty. If all ranges were read to their end
    (`whole`) it is no bound but the share itself.
    """

    name: str
    ranges: int
    drawn: int
    read: int
    faulty: int
    unsettled: int
    rows: int
    unknown: tuple[TokenRange, ...]
    reasons: tuple[str, ...]
    capped: tuple[TokenRange, ...]
    whole: bool
    bound: float

    @property
    def claim(self) -> str:
        """The bound in words; the share itself, where all ranges were read."""
        if self.whole:
            return f"{round(self.bound * self.ranges):,} of all {self.ranges:,} ranges of the {self.name}"
        return f"at most {_percent(self.bound)} of the {self.name}'s {self.ranges:,} ranges"


def side_sample(side: SideDraws, settled: Mapping[RawKey, Outcome]) -> SideSample:
    """What the draws of one side come to, given what became of the suspects."""
    known = list(side.known.values())
    unread = [each for each in known if each.unread]
    # What both sides have alike, written in other bytes, never differed, and is not among the settled.
    kinds = {each.tokens: {settled[key].kind for key in each.met if key in settled} for each in known}
    faulty = {tokens for tokens, found in kinds.items() if found & FAULTS}
    in_part = {each.tokens for each in known if each.capped}
    unsettled = ({tokens for tokens, found in kinds.items() if Kind.UNKNOWN in found} | in_part) - faulty
    read = [each.tokens for each in side.drawn if not each.unread]
    n_faulty, n_unsettled = (sum(tokens in some for tokens in read) for some in (faulty, unsettled))
    capped = tuple(sorted(each.tokens for each in known if each.capped))
    whole = side.whole and not unread and not capped
    return SideSample(
        name=side.name,
        ranges=side.grid.cells,
        drawn=len(side.order),
        read=len(read),
        faulty=n_faulty,
        unsettled=n_unsettled,
        rows=sum(each.rows for each in known if not each.unread),
        unknown=tuple(merge_ranges(each.tokens for each in unread)),
        reasons=tuple(dict.fromkeys(each.unread for each in unread)),
        capped=capped,
        whole=whole,
        bound=len(faulty | unsettled) / side.grid.cells
        if whole
        else upper_bound(len(read), n_faulty + n_unsettled),
    )


def why_incomplete(side: SideSample) -> list[str]:
    """The reasons why the draws of a side do not stand for all that was to be drawn, if so."""
    if not side.drawn:
        return [f"there was no time to draw a range of the {side.name}: allow more"]
    if not side.unknown:
        return []
    why = "; ".join(reason.rstrip(".") for reason in side.reasons)
    named = ", ".join(f"({lo}, {hi}]" for lo, hi in side.unknown[:_NAMED])
    more = f" and {len(side.unknown) - _NAMED:,} more" if len(side.unknown) > _NAMED else ""
    return [f"token ranges {named}{more} of the {side.name} could not be read: {why}"]


@dataclass(frozen=True, kw_only=True)
class SampledReport(ComparisonReport):
    """What a sample showed. Counts and samples as ComparisonReport has them, of the rows drawn; one found from both
    sides counts once. rows_base, rows_view: that were read of either and compared. ranges_total: all draws.

    The verdict is that of ComparisonReport; its pass is one of the sample, and to be shown as `label`.
    seed: of the draws. seconds: in all.
    """

    base: SideSample
    view: SideSample
    seed: int
    seconds: float

    @property
    def label(self) -> str:
        """The verdict as people are to see it."""
        return "pass (sampled)" if self.verdict is Verdict.PASS else self.verdict.value

    @property
    def message(self) -> str:
        """What it comes to, in plain words."""
        return " ".join(
            sentence for sentence in (self._found(), self._left_open(), self._aside()) if sentence
        )

    def details(self) -> dict[str, Json]:
        """seed, as text; confidence in per cent; of base and view: ranges, drawn, read, faulty, capped, and bound, the
        share of ranges as text."""
        sides: dict[str, Json] = {
            side: {
                "ranges": found.ranges,
                "drawn": found.drawn,
                "read": found.read,
                "faulty": found.faulty,
                "capped": len(found.capped),
                "bound": str(found.bound),
            }
            for side, found in (("base", self.base), ("view", self.view))
        }
        return {"seed": str(self.seed), "confidence": round(CONFIDENCE * 100), **sides}

    def _found(self) -> str:
        base, view = self.base, self.view
        if self.verdict is Verdict.FAIL:
            return (
                f"{self._counted(sorted(FAULTS))} in what was sampled: {base.faulty:,} of {base.read:,} ranges "
                f"of the base and {view.faulty:,} of {view.read:,} of the view hold a fault.{self.of_build}"
            )
        if not self.complete:
            return f"{self.unproved} Not everything that was drawn could be compared: {self.why}.".lstrip()
        if self.verdict is Verdict.UNKNOWN:
            return self.unproved
        return (
            f"No difference in {base.read:,} ranges of the base ({base.rows:,} rows) and {view.read:,} of the view "
            f"({view.rows:,} rows), drawn at random."
        )

    def _left_open(self) -> str:
        sides = [side for side in (self.base, self.view) if side.read]
        bounds, shares = ([side.claim for side in sides if side.whole is whole] for whole in (False, True))
        each = " each" if len(bounds) > 1 else ""
        at = f"At {CONFIDENCE * 100:.0f} % confidence{each}, "
        said = [(at, bounds), ("By all that was read, ", shares)]
        return " ".join(f"{how}{' and '.join(claims)} hold a difference." for how, claims in said if claims)

    def _aside(self) -> str:
        capped = len(self.base.capped) + len(self.view.capped)
        beside = self.beside if self.verdict is Verdict.FAIL else ""
        in_part = (
            f" Of {capped:,} large ranges only the first {MOST_ROWS:,} rows were compared." if capped else ""
        )
        return f"{beside}{in_part}{self.in_flight}".strip()


def _percent(share: float) -> str:
    """In per cent, two digits, rounded up: it stays a bound."""
    if share in (0.0, 1.0):
        return f"{share * 100:.0f} %"
    digits = max(0, 1 - math.floor(math.log10(share * 100)))
    return f"{math.ceil(share * 100 * 10**digits) / 10**digits:.{digits}f} %"
