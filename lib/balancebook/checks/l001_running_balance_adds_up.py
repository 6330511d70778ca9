"""L001 running_balance_adds_up."""

from __future__ import annotations

from balancebook.checks.audited import Scope, audited, finding
from balancebook.checks.base import Finding, NotAsked, check
from balancebook.checks.context import Context


@check("L001", "running_balance_adds_up")
def running_balance_adds_up(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Is every balance the one before it plus what the entry moved, available and held alike?

    A ledger that does not add up cannot be explained to anybody: somewhere money came or went without an entry. A sum
    beyond what the column holds is an overflow, even if the wrapped value is what stands there.
    """
    scope = Scope(user_id, sample, assets_from)
    if reason := audited(ctx, scope).no_sums:
        raise NotAsked(f"{reason[0].upper()}{reason[1:]}.")
    return finding(ctx, "L001", "Every balance is the one before it plus its entry", scope)
