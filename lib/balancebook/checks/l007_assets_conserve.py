"""L007 assets_conserve."""

from __future__ import annotations

from balancebook.checks.audited import Scope, audited, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L007", "assets_conserve")
def assets_conserve(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Of each asset, do the newest balances of all accounts come to what was deposited less what was withdrawn?

    They are the sum of all entries, over which trades, locks and refunds come to zero; where entries have no type, only
    that they are that sum is asked. It is asked of a whole ledger: what one user buys another has sold.

    The entries of a trade are read at different moments, so trades that are dated within the grace period of the
    reading are left out of that sum. A sum that two readings show as uneven, each time otherwise, is unknown.
    """
    if user_id is not None or sample is not None:
        raise NotAsked("Only over the whole ledger do the sums of each asset come out even.")
    scope = Scope(user_id, sample, assets_from)
    if reason := audited(ctx, scope).no_sums:
        raise NotAsked(f"{reason[0].upper()}{reason[1:]}.")
    return finding(ctx, "L007", "Every asset's balances are what came in less what went out", scope)
