"""Finding the view that a person named."""

from __future__ import annotations

from balancebook.errors import UsageError
from balancebook.store.names import close_name, did_you_mean
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_keyspaces, read_table_names, read_view, read_view_names


def require_view(reader: Reader, keyspace: str, name: str, remedy: str = "") -> View:
    """The view of that name. Raises UsageError, with a likely name, if there is no such keyspace or view."""
    view = read_view(reader, keyspace, name)
    if view is not None:
        return view
    keyspaces = read_keyspaces(reader)
    if keyspace not in keyspaces:
        raise _missing("keyspace", keyspace, repr(keyspace), keyspaces, remedy)
    views = read_view_names(reader, keyspace)
    if name in read_table_names(reader, keyspace):
        known = ", ".join(views) or "none"
        raise UsageError(
            f"{keyspace}.{name} is a table, not a view; the views of {keyspace}: {known}.",
            remedy or "Name one of its views.",
            parameter="view",
        )
    raise _missing("view", name, f"{keyspace}.{name}", views, remedy)


def _missing(what: str, name: str, shown: str, known: tuple[str, ...], remedy: str) -> UsageError:
    hint = did_you_mean(name, known) or f" Known: {', '.join(known) or 'none'}."
    return UsageError(
        f"There is no {what} {shown}.",
        f"{hint.strip()} {remedy}".strip(),
        parameter=what,
        suggestion=close_name(name, known),
    )
