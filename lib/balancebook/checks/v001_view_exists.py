"""V001 view_exists."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed
from balancebook.checks.context import Context
from balancebook.store.schema import did_you_mean, read_keyspaces, read_table, read_view_names


@check("V001", "view_exists")
def view_exists(ctx: Context) -> Finding:
    """Does the server know a materialized view of this name?

    Everything else reads the view, so this comes first. A table of the same name is no view, and fails.
    """
    view = ctx.find_view()
    if view is not None:
        return passed(f"{view.keyspace}.{view.name} is a materialized view of {view.base_name}.")
    return failed(_why_not(ctx))


def _why_not(ctx: Context) -> str:
    keyspaces = read_keyspaces(ctx.reader)
    if ctx.keyspace not in keyspaces:
        return f"Keyspace {ctx.keyspace!r} does not exist.{did_you_mean(ctx.keyspace, keyspaces)}"
    name = ctx.profile.view
    views = read_view_names(ctx.reader, ctx.keyspace)
    there = f" Views there: {', '.join(views)}." if views else " The keyspace has no views."
    if read_table(ctx.reader, ctx.keyspace, name):
        return f"{ctx.keyspace}.{name} is a table, not a materialized view.{there}"
    return f"Keyspace {ctx.keyspace!r} has no view {name!r}.{did_you_mean(name, views)}{there}"
