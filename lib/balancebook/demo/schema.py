"""The demo exchange's tables and view, from the packaged CQL files beside this module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from balancebook.store.names import quote

_HERE = Path(__file__).parent
VIEW_DEFINITION = _HERE / "view.cql"
"""The view as it should be: what a profile's `view_definition` may point at."""

LEDGER, VIEW, TRADES = "balance_ledger", "user_balances_by_user", "settled_trades"
INDEXES = "balance_ledger_event_type", "balance_ledger_ref_id"

# The files are valid CQL for the keyspace `trading`; any other keyspace is written in its place.
_KEYSPACE = re.compile(r"\btrading\b")


def create_schema(execute: Callable[[str], object], keyspace: str, *, indexes: bool = True) -> None:
    """Create what is missing of the keyspace (SimpleStrategy, RF 1), its tables, indexes and view.

    `execute` runs one CQL statement. Each statement says IF NOT EXISTS, so a second call changes nothing; a table of
    the same name and another shape stays as it is. Returns before a view over existing rows is built.
    """
    indexes_file = [_HERE / "indexes.cql"] if indexes else []
    for file in (_HERE / "schema.cql", *indexes_file, VIEW_DEFINITION):
        for statement in _statements(file, keyspace):
            execute(statement)


def _statements(file: Path, keyspace: str) -> Iterator[str]:
    code = re.sub(r"--[^\n]*", "", file.read_text(encoding="utf-8"))
    quoted = quote(keyspace)
    for statement in code.split(";"):
        if statement.strip():
            yield _KEYSPACE.sub(lambda _: quoted, statement.strip())
