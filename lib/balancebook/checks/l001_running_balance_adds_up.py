"""L001 running_balance_adds_up."""

from __future__ import annotations

from balancebook.checks.audited import finding
from balancebook.checks.base import Finding, check
from balancebook.checks.context import Context


@check("L001", "running_balance_adds_up")
def running_balance_adds_up(ctx: Context) -> Finding:
    """Is every balance the one before it plus what the entry moved, available and held alike?

    A ledger that does not add up cannot be explained to anybody: somewhere money came or went without an entry. A sum
    beyond what the column holds is an overflow, even if the wrapped value is what stands there.
    """
    return finding(ctx, "L001", "Every balance is the one before it plus its entry")
