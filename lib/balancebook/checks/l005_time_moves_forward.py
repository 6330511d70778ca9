"""L005 time_moves_forward."""

from __future__ import annotations

from balancebook.checks.audited import finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L005", "time_moves_forward")
def time_moves_forward(ctx: Context) -> Finding:
    """Is no entry of an account older than the one before it?

    Time that goes back means clocks that disagree or entries written late: what a balance was at a time is then not
    well defined.
    """
    if not ctx.ledger.time:
        raise NotAsked("The ledger has no column for the time of an entry.")
    return finding(ctx, "L005", "Time never goes back")
