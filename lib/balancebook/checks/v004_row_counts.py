"""V004 row_counts."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed, unknown
from balancebook.checks.comparison import compare, is_whole
from balancebook.checks.context import Context
from balancebook.errors import BalancebookError
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.store.count import count_rows
from balancebook.store.estimate import estimate
from balancebook.store.schema import Table, View, read_table
from balancebook.verdict import Verdict


@check("V004", "row_counts")
def row_counts(ctx: Context) -> Finding:
    """Do base and view have the same number of rows?

    Counts that stay unequal over the grace period are a suspicion: of tables that are written to, two counts see two
    moments. The rows are compared then, and a fault is what they show to be missing or left over. Equal counts prove
    nothing: one row lost and one left over are equal too. A view that filters its rows has fewer of them than the base,
    as it should: there a count proves nothing at all, and it is skipped.
    """
    base, view = _sides(ctx)
    for table in (base, view):
        cost = estimate(ctx.reader, table)
        if cost.rows is not None and cost.rows > ctx.profile.limits.max_rows:
            return unknown(
                f"{table.name} has about {cost.rows:,} rows, beyond the budget of {ctx.profile.limits.max_rows:,}."
            )
    low = high = count_rows(ctx.reader, base, _counted(base, view))
    for attempt in range(2):
        in_view = count_rows(ctx.reader, view)
        if in_view != low:
            # Writers do not wait for a count: any number that the base had meanwhile is right.
            now = count_rows(ctx.reader, base, _counted(base, view))
            low, high = min(low, now), max(high, now)
        if low <= in_view <= high:
            return passed(
                f"{_said(low, high, in_view)}, which alone proves nothing.", counts=_counts(low, in_view)
            )
        if attempt == 0:
            ctx.sleep(ctx.grace_s)
    return _by_rows(compare(ctx), _said(low, high, in_view), _counts(low, in_view))


def _by_rows(report: ComparisonReport, said: str, counts: dict[str, int]) -> Finding:
    if report.counts[Kind.LOST] or report.counts[Kind.ORPHAN]:
        return failed(f"{said}. {report.message}", counts=counts)
    if report.verdict is Verdict.UNKNOWN or not is_whole(report):
        return unknown(f"{said}; which rows that are could not be seen. {report.message}", counts=counts)
    return passed(f"{said} at the time of each count; no row is missing or left over.", counts=counts)


def _said(low: int, high: int, in_view: int) -> str:
    if low == high == in_view:
        return f"Base and view have {in_view:,} rows each"
    base = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"The base has {base} rows, the view {in_view:,}"


def _counts(in_base: int, in_view: int) -> dict[str, int]:
    return {"base": in_base, "view": in_view}


def _sides(ctx: Context) -> tuple[Table, View]:
    view = ctx.view
    base = read_table(ctx.reader, view.keyspace, view.base_name)
    if base is None:
        raise BalancebookError(f"The base table {view.base_name} is gone.", "See V001.")
    return base, view


def _counted(base: Table, view: View) -> str | None:
    """The base column that must not be null for a row to be in the view; None where every row is.

    A partition that holds nothing but static cells shows as a row without clustering key: it is no row of the view.
    """
    keys = [column.name for column in (*view.partition_key, *view.clustering_key)]
    promoted = next((column.name for column in base.regular if column.name in keys), None)
    clustering = next((column.name for column in base.clustering_key), None)
    return promoted or clustering
