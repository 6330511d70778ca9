"""L003 no_negative_balance."""

from __future__ import annotations

from balancebook.checks.audited import finding
from balancebook.checks.base import Finding, check
from balancebook.checks.context import Context


@check("L003", "no_negative_balance")
def no_negative_balance(ctx: Context) -> Finding:
    """Is no balance, available or held, ever below zero?

    Below zero somebody has spent what he did not have, or the same twice.
    """
    return finding(ctx, "L003", "No balance is negative")
