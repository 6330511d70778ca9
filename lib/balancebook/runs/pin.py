"""Writing a view's definition, as the server has it now, into the file that V002 compares with."""

from __future__ import annotations

import json
from pathlib import Path

from balancebook.core.files import require_writable_file
from balancebook.errors import UsageError
from balancebook.record import write_whole
from balancebook.runs.views import require_view
from balancebook.settings import load_profile
from balancebook.store.definition import ViewDefinition, definition_of, parse_definition, to_cql
from balancebook.store.reader import open_reader
from balancebook.store.schema import View


def pin_view(profile_name: str | None, path: Path | None, *, force: bool = False) -> str:
    """The CQL of the profile's view; with a path, what was done to that file, in a line.

    A file that defines the same view stays as it is. Raises UsageError for a view that is not there, for a file that
    says something else (unless `force`), and for one that cannot be written; StoreError if the database cannot be read.
    """
    if path is not None:
        require_writable_file(path, "to")
    view = _read(profile_name)
    if path is None:
        return to_cql(view).rstrip("\n")
    if path.exists() and not force:
        difference = _difference(definition_of(view), path)
        if not difference:
            return f"{path} says so already."
        raise UsageError(
            f"{path} says something else: {difference}.",
            "See which is right. --force overwrites the file.",
            parameter="to",
        )
    try:
        write_whole(path, to_cql(view))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Name another file with --to.", parameter="to"
        ) from error
    named = json.dumps(str(path.absolute()), ensure_ascii=False)
    return f"Wrote {path}. Name it in the profile, if it is not yet: view_definition = {named}"


def _read(profile_name: str | None) -> View:
    # The file that the profile names may be the one to be written.
    profile = load_profile(profile_name, without_definition=True)
    with open_reader(profile) as reader:
        return require_view(
            reader, profile.keyspace, profile.view, "Correct keyspace and view in the profile."
        )


def _difference(now: ViewDefinition, path: Path) -> str:
    """Which parts differ; empty if none does."""
    try:
        pinned = parse_definition(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UsageError):
        return "it is no definition of a view"
    return ", ".join(part for part, _, _ in now.differences(pinned))
