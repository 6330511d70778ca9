"""L002 seq_has_no_gaps."""

from __future__ import annotations

from balancebook.checks.audited import Scope, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L002", "seq_has_no_gaps")
def seq_has_no_gaps(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Do each account's entries follow one another without a gap, from the first on?

    An entry that is missing was lost, or never written: its money moved all the same. Skipped where the profile says
    that entries are not numbered without holes, as by one sequence for all accounts (`gapless = false`).
    """
    if not ctx.ledger.gapless:
        raise NotAsked(
            f"By the profile ([ledger] gapless = false) {ctx.ledger.order} has holes within an account: none of them "
            "says that an entry is missing."
        )
    return finding(ctx, "L002", "No entry is missing", Scope(user_id, sample, assets_from))
