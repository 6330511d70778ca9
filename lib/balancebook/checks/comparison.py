"""The comparison of a view with its base, row by row, for the checks that rest on it."""

from __future__ import annotations

from balancebook.checks.base import SAMPLE_LIMIT
from balancebook.checks.context import Context
from balancebook.progress import Display
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.run import Request, Telling, run


def compare(ctx: Context) -> ComparisonReport:
    """All rows of both sides, or a sample beyond the profile's max_rows. Raises StoreError, BalancebookError."""
    with Display() as display:
        request = Request(samples=SAMPLE_LIMIT, budget_rows=ctx.profile.limits.max_rows)
        done = run(ctx.reader, ctx.view, request, Telling(step=display), grace_s=ctx.grace_s, sleep=ctx.sleep)
    return done.report
