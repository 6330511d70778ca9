"""L002 seq_has_no_gaps."""

from __future__ import annotations

from balancebook.checks.audited import Scope, finding
from balancebook.checks.base import Finding, check
from balancebook.checks.context import Context


@check("L002", "seq_has_no_gaps")
def seq_has_no_gaps(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> Finding:
    """Do each account's entries follow one another without a gap, from the first on?

    An entry that is missing was lost, or never written: its money moved all the same.
    """
    return finding(ctx, "L002", "No entry is missing", Scope(user_id, sample, assets_from))
