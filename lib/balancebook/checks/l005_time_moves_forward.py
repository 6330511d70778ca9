"""L005 time_moves_forward."""

from __future__ import annotations

from balancebook.checks.audited import Scope, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L005", "time_moves_forward")
def time_moves_forward(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Is no entry of an account older than the one before it?

    Time that goes back means clocks that disagree or entries written late: what a balance was at a time is then not
    well defined.
    """
    if not ctx.ledger.time:
        raise NotAsked("The ledger has no column for the time of an entry.")
    return finding(ctx, "L005", "Time never goes back", Scope(user_id, sample, assets_from))
