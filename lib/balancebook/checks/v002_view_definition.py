"""V002 view_definition."""

from __future__ import annotations

from balancebook.checks.base import Finding, NotAsked, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.store.definition import definition_of, parse_definition


@check("V002", "view_definition")
def view_definition(ctx: Context) -> Finding:
    """Is the view defined as the file under version control says?

    A column, a filter or a key that differs gives other rows without any error. The file that the profile names is
    parsed and compared part by part; storage options do not count. `balancebook view pin` writes such a file.
    """
    path = ctx.profile.view_definition
    if path is None:
        raise NotAsked("the profile names no view_definition")
    pinned = parse_definition(path.read_text(encoding="utf-8"))
    # Read now: the context's own view may be of a while ago.
    view = ctx.find_view()
    if view is None:
        return unknown(f"View {ctx.keyspace}.{ctx.profile.view} does not exist. See V001.")
    differences = definition_of(view).differences(pinned)
    if not differences:
        return passed(f"{view.name} is defined as {path.name} says.")
    parts = ", ".join(part for part, _, _ in differences)
    samples = [{"part": part, "server": here, "file": there} for part, here, there in differences]
    return failed(f"Not as {path.name} says: {parts}.", counts={"differences": len(samples)}, samples=samples)
