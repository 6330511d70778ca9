"""The demo exchanges' tables and views, from the packaged CQL files beside this module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from balancebook.store.names import quote

_HERE = Path(__file__).parent
VIEW_DEFINITION = _HERE / "view.cql"
"""The view as it should be: what a profile's `view_definition` may point at."""

LEDGER, VIEW, TRADES = "balance_ledger", "user_balances_by_user", "settled_trades"
INDEXES = "balance_ledger_event_type", "balance_ledger_ref_id"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A demo exchange: the folder of its CQL files, valid for `keyspace`, and the names in them."""

    folder: Path
    keyspace: str
    ledger: str
    order: str
    view: str
    trades: str
    indexes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, Path]:
        """Its tables, and its view."""
        return self.folder / "schema.cql", self.folder / "view.cql"


TRADING = Exchange(_HERE, "trading", LEDGER, "seq", VIEW, TRADES, INDEXES)
WALLETS = Exchange(_HERE / "wallets", "wallets", "wallet_journal", "entry_no", "wallets_by_owner", "fills")
"""Unlike the first in all that may differ: see its schema.cql."""


def create_schema(
    execute: Callable[[str], object], keyspace: str, *, indexes: bool = True, exchange: Exchange = TRADING
) -> None:
    """Create what is missing of the keyspace (SimpleStrategy, RF 1), its tables, indexes and view.

    `execute` runs one CQL statement. Each statement says IF NOT EXISTS, so a second call changes nothing; a table of
    the same name and another shape stays as it is. Returns before a view over existing rows is built.
    """
    tables, view = exchange.files
    indexes_file = [exchange.folder / "indexes.cql"] if indexes and exchange.indexes else []
    for file in (tables, *indexes_file, view):
        for statement in _statements(file, exchange.keyspace, keyspace):
            execute(statement)


def _statements(file: Path, written: str, keyspace: str) -> Iterator[str]:
    """Its statements, with the keyspace in place of the one that they are written for."""
    code = re.sub(r"--[^\n]*", "", file.read_text(encoding="utf-8"))
    quoted = quote(keyspace)
    for statement in code.split(";"):
        if statement.strip():
            yield re.sub(rf"\b{written}\b", lambda _: quoted, statement.strip())
