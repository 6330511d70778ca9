"""The comparison of a view with its base, row by row, for the checks that rest on it."""

from __future__ import annotations

from balancebook.checks.base import SAMPLE_LIMIT
from balancebook.checks.context import Context
from balancebook.progress import Display
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.run import Request, Telling, run
from balancebook.reconcile.sampled_report import SampledReport


def compare(ctx: Context) -> ComparisonReport:
    """All rows of both sides, or a sample beyond the profile's max_rows. Raises StoreError, BalancebookError."""
    with Display() as display:
        request = Request(samples=SAMPLE_LIMIT, budget_rows=ctx.profile.limits.max_rows)
        done = run(ctx.reader, ctx.view, request, Telling(step=display), grace_s=ctx.grace_s, sleep=ctx.sleep)
    return done.report


def is_whole(report: ComparisonReport) -> bool:
    """Whether all rows were compared: a sample in which nothing is missing does not say that nothing is."""
    return report.complete and not isinstance(report, SampledReport)
