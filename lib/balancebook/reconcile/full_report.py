"""What a comparison of both sides as a whole found, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.reconcile.options import Cutoff
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.verdict import Json


@dataclass(frozen=True, kw_only=True)
class Report(ComparisonReport):
    """What a comparison found, as ComparisonReport says it, and how it went.

    passes: how often both sides were read whole to find what differs; 0 if a sample showed beforehand that it is too
    much to be named by a sketch. newer: rows of base and view beyond the cut-off,
    which were compared with each other. seed: of the hashes. resumed: whether an earlier process began it.
    in_step_since: about how many rows of both sides differed at first, and no longer when both were read again.
    """

    passes: int
    newer: tuple[int, int]
    seed: int
    cutoff: Cutoff | None = None
    resumed: bool = False
    in_step_since: int = 0

    @property
    def aside(self) -> str:
        """What there is to say of rows beyond the cut-off."""
        base, view = self.newer
        sentences = (
            (
                base or view,
                f" {base:,} rows of the base and {view:,} of the view are dated after the start; they were compared "
                "too.",
            ),
            (
                self.in_step_since,
                f" About {self.in_step_since:,} more rows of both sides differed at first, and no longer when read "
                "again.",
            ),
        )
        return "".join(sentence for holds, sentence in sentences if holds)

    def details(self) -> dict[str, Json]:
        """passes; cutoff {column, latest} or null; newer {base, view}: rows beyond it; gone: rows that were gone from
        both sides when read again; seed, as text; resumed."""
        cutoff = self.cutoff
        return {
            "passes": self.passes,
            "cutoff": {"column": cutoff.column, "latest": cutoff.latest} if cutoff else None,
            "newer": {"base": self.newer[BASE], "view": self.newer[VIEW]},
            "gone": self.gone,
            "seed": str(self.seed),
            "resumed": self.resumed,
        }
