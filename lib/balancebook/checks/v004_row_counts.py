"""V004 row_counts."""

from __future__ import annotations

from balancebook.checks.base import Finding, NotAsked, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.errors import BalancebookError
from balancebook.store.count import count_rows
from balancebook.store.definition import definition_of
from balancebook.store.estimate import estimate
from balancebook.store.schema import Table, View, read_table


@check("V004", "row_counts")
def row_counts(ctx: Context) -> Finding:
    """Do base and view have the same number of rows?

    Unequal counts, twice and at least the grace period apart, prove that rows are missing or left over. Equal counts
    prove nothing: one row lost and one left over are equal too. What is in step is V005's to say. A view that filters
    its rows has fewer of them than the base, as it should: there a count proves nothing at all, and it is skipped.
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
    return failed(f"{_said(low, high, in_view)}.", counts=_counts(low, in_view))


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
    keys = {f'"{column.name}" IS NOT NULL' for column in (*view.partition_key, *view.clustering_key)}
    if definition_of(view).where - keys:
        raise NotAsked(
            f"{view.name} filters its rows, so its row count proves nothing; V005 compares row by row"
        )
    return base, view


def _counted(base: Table, view: View) -> str | None:
    """The base column that must not be null for a row to be in the view; None where every row is.

    A partition that holds nothing but static cells shows as a row without clustering key: it is no row of the view.
    """
    keys = [column.name for column in (*view.partition_key, *view.clustering_key)]
    promoted = next((column.name for column in base.regular if column.name in keys), None)
    clustering = next((column.name for column in base.clustering_key), None)
    return promoted or clustering
