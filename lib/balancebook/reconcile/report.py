"""What a comparison found: exact counts by kind, bounded samples, and what of it was not read."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from balancebook.reconcile.kinds import FAULTS, SEVERITY, Kind
from balancebook.reconcile.values import Cells, order_key, to_json
from balancebook.store.tokens import TokenRange
from balancebook.verdict import Json, Verdict


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of the view that differs: its key, and the other cells on either side (None: the row is not there)."""

    kind: Kind
    key: Cells
    base: Cells | None
    view: Cells | None
    reason: str = ""


@dataclass(frozen=True)
class ComparisonReport:
    """What a comparison found.

    `counts` holds every kind and is exact; `samples` is bounded, worst first: in the order of Kind, then by key.
    `rows_base` are the rows that the base derives. Not `complete`: something was not compared, and `reasons` say why.
    Ranges are counted over both sides. `gone`: rows among the LAGGING that were gone from both sides when read again.
    `build`: a sentence on the view's build, if it is not at its end; `may_come`: whether the build goes on, as far as
    is known, so that a row that is LOST may still come.
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
    gone: int = 0
    build: str = ""
    may_come: bool = False

    @property
    def message(self) -> str:
        """What it comes to, in a sentence."""
        if self.verdict is Verdict.FAIL:
            return f"{self._counted(sorted(FAULTS))}.{self.beside}{self.of_build}"
        if not self.complete:
            return f"{self.unproved} Not everything was compared: {self.why}.".lstrip()
        if self.verdict is Verdict.UNKNOWN:
            return self.unproved
        if not self.rows_base and not self.rows_view:
            return f"The view has no row, and none belongs in it by the base.{self.in_flight}{self.aside}"
        return (
            f"All {self.rows_view:,} {self.subject} equal the base, cell by cell.{self.in_flight}{self.aside}"
        )

    @property
    def why(self) -> str:
        """The reasons, as a clause."""
        return "; ".join(reason.rstrip(".") for reason in self.reasons)

    @property
    def beside(self) -> str:
        """What a message of faults leaves open, as sentences."""
        unknown = self.counts[Kind.UNKNOWN]
        sentences = (
            (not self.complete, f" Not everything was compared: {self.why}."),
            (unknown, f" {unknown:,} more rows look wrong and were not confirmed."),
        )
        return "".join(sentence for holds, sentence in sentences if holds)

    @property
    def unproved(self) -> str:
        """What was read, looks wrong, and is not proved to be a fault."""
        lost = f"{self._counted([Kind.LOST])}.{self.of_build}" if self.counts[Kind.LOST] else ""
        unknown = self._counted([Kind.UNKNOWN])
        return " ".join(filter(None, [lost, unknown and f"{unknown} could not be confirmed."]))

    @property
    def of_build(self) -> str:
        """What the view's build has to do with what is LOST, as a sentence."""
        return f" {self.build}" if self.build and self.counts[Kind.LOST] else ""

    @property
    def in_flight(self) -> str:
        """What there is to say of rows that differed at first and are no fault, as sentences."""
        in_step = self.counts[Kind.LAGGING] - self.gone
        behind = self.counts[Kind.REPLICA]
        sentences = (
            (in_step, f" {in_step:,} were in flight, and in step when read again."),
            (self.gone, f" {self.gone:,} differed at first and were gone from both sides when read again."),
            (behind, f" {behind:,} are missing, or old, on a replica that is behind: repair it."),
        )
        return "".join(sentence for holds, sentence in sentences if holds)

    @property
    def aside(self) -> str:
        """What else a pass says, as a sentence."""
        return ""

    @property
    def subject(self) -> str:
        """What was compared, as its rows are counted."""
        return "rows of the view"

    @property
    def label(self) -> str:
        """The verdict as people are to see it."""
        return self.verdict.value

    def details(self) -> dict[str, Json]:
        """What else there is to know of how it was compared, as JSON."""
        return {}

    def _counted(self, kinds: Sequence[Kind]) -> str:
        return ", ".join(f"{self.counts[kind]:,} {kind}" for kind in kinds if self.counts[kind])

    @property
    def verdict(self) -> Verdict:
        """fail for any confirmed fault; unknown if it is incomplete or anything is unconfirmed; else pass.

        A row that a build has yet to bring is no fault.
        """
        proved = FAULTS - {Kind.LOST} if self.may_come else FAULTS
        if any(self.counts[kind] for kind in proved):
            return Verdict.FAIL
        open_ = self.counts[Kind.UNKNOWN] or self.counts[Kind.LOST]
        return Verdict.UNKNOWN if open_ or not self.complete else Verdict.PASS

    def named(self, difference: Difference) -> dict[str, Json]:
        """A sample as JSON: kind, key {column: value}, base and view {column: value} or None, reason."""
        return {
            "kind": difference.kind.value,
            "key": _named(self.key_columns, difference.key),
            "base": _named(self.value_columns, difference.base),
            "view": _named(self.value_columns, difference.view),
            "reason": difference.reason,
        }


def counts_disagree(rows_base: int, rows_view: int, only: tuple[int, int]) -> list[str]:
    """Why the numbers of rows contradict the rows that were found on base and view alone; nothing, if they do not.

    Each row of one side is equal to one of the other, or it was found: so the numbers differ by what was found.
    """
    if rows_base - rows_view == only[0] - only[1]:
        return []
    return [
        f"the counts do not agree: base {rows_base:,}, view {rows_view:,}, but {only[0]:,} rows of the base and "
        f"{only[1]:,} of the view were found to differ"
    ]


def _named(columns: tuple[str, ...], cells: Cells | None) -> dict[str, Json] | None:
    return None if cells is None else {name: to_json(cell) for name, cell in zip(columns, cells, strict=True)}


def summed_up(
    differences: Iterable[Difference], samples: int
) -> tuple[dict[Kind, int], tuple[Difference, ...]]:
    """Of differences that come one by one: exact counts, and the worst `samples` of them, worst first."""
    counts: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))

    def counted() -> Iterator[Difference]:
        for difference in differences:
            counts[difference.kind] += 1
            yield difference

    # At least one, since nsmallest does not look at what it is not asked for, and all are to be counted.
    worst = heapq.nsmallest(max(samples, 1), counted(), key=lambda d: (SEVERITY[d.kind], order_key(d.key)))
    return dict(counts), tuple(worst[:samples])
