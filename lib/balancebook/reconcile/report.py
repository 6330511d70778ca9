"""What a comparison found: exact counts by kind, bounded samples, and what of it was not read."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY
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
        behind = self.counts[Kind.REPLICA]
        also += f" {behind} are missing, or old, on a replica that is behind: repair it." if behind else ""
        return f"All {self.rows_view:,} {self.subject} equal the base, cell by cell.{also}"

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
