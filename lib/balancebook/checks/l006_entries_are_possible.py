"""L006 entries_are_possible."""

from __future__ import annotations

from balancebook.checks.audited import Scope, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L006", "entries_are_possible")
def entries_are_possible(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Does every entry move the balances as its type does, and give back only what was locked, and once?

    A deposit that takes, an unlock without a lock, a refund twice: each is money out of nothing, though it adds up.
    """
    for role in ("type", "delta_available"):
        if not getattr(ctx.ledger, role):
            raise NotAsked(f"The ledger has no column of the role {role}.")
    return finding(ctx, "L006", "Every entry moves what its type moves", Scope(user_id, sample, assets_from))
