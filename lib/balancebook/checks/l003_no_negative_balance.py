"""L003 no_negative_balance."""

from __future__ import annotations

from balancebook.checks.audited import Scope, finding
from balancebook.checks.base import Finding, check
from balancebook.checks.context import Context


@check("L003", "no_negative_balance")
def no_negative_balance(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Is no balance, available or held, ever below zero?

    Below zero somebody has spent what he did not have, or the same twice.
    """
    return finding(ctx, "L003", "No balance is negative", Scope(user_id, sample, assets_from))
