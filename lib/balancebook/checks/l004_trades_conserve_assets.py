"""L004 trades_conserve_assets."""

from __future__ import annotations

from balancebook.checks.audited import Scope, audited, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L004", "trades_conserve_assets")
def trades_conserve_assets(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Has every settled trade exactly its four entries, and every entry of a trade its trade?

    What the buyer gets the seller gives, to the last unit: over its entries each asset of a trade sums to zero. Trades
    and entries are compared as multisets, since they lie in different partitions. A trade or an entry that lacks a cell
    fails by itself: a null is not zero.
    """
    scope = Scope(user_id, sample, assets_from)
    if reason := audited(ctx, scope).no_trades:
        raise NotAsked(f"{reason[0].upper()}{reason[1:]}.")
    return finding(ctx, "L004", "Every trade has its entries and every such entry its trade", scope)
