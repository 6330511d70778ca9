"""Where a ledger and its trades are read from: the tables, their columns by role, and what those have for types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from balancebook.errors import BalancebookError
from balancebook.ledger.entries import SUMS, Roles, roles_of
from balancebook.profile import Profile, TradesSchema
from balancebook.sketch.columns import is_number
from balancebook.store.cql_types import EXACT_AMOUNTS
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.reader import Reader
from balancebook.store.schema import Table, read_table

_TRADE = ("id", "buyer", "seller", "base_asset", "quote_asset", "quantity", "quote_amount")
_MONEY = ("quantity", "quote_amount")


@dataclass(frozen=True, slots=True)
class TradeTable:
    """The table of settled trades: its columns in the order of the roles id, buyer, seller, base_asset, quote_asset,
    quantity, quote_amount, and their types."""

    table: Table
    columns: tuple[str, ...]
    cql_types: tuple[str, ...]
    types: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A ledger. trades: None if they cannot be compared with it, and then `no_trades` says why: nothing to compare; or
    `trades_error`, if they are there and not as the profile says.

    kinds: what the ledger calls a kind of entry -> what it is (rules.MOVEMENTS). by_text: whether amounts of entries
    and trades are of different types, and so compared by their text.
    """

    reader: Reader
    base: Table
    roles: Roles
    types: tuple[Any, ...]
    kinds: dict[str, str]
    trades: TradeTable | None
    no_trades: str
    trades_error: str
    by_text: bool

    @property
    def no_sums(self) -> str:
        """Why nothing can be summed by asset, if so."""
        if any(self.roles.has(*pair) for pair in SUMS):
            return ""
        return "the ledger has no column of a balance and of what moves it"


def open_source(reader: Reader, base_name: str, profile: Profile) -> Source:
    """The ledger of the profile's roles in that table. Only the schema is read.

    Raises StoreError if the table is not there, BalancebookError if it is not a ledger that can be followed.
    """
    base = read_table(reader, profile.keyspace, base_name)
    if base is None:
        raise StoreError("missing", f"{profile.keyspace}.{base_name} does not exist.", "See V001.")
    roles = roles_of(base, profile.ledger)
    kinds: dict[str, str] = dict(profile.ledger.types)
    _require_kinds(roles, kinds)
    error = ""
    try:
        trades, why = _trades(reader, base, roles, profile.trades)
    except BalancebookError as wrong:
        # It is of the one check that compares trades; all others need none.
        trades, why, error = None, "", str(wrong)
    money = [roles.types[roles.at[role]] for role in ("delta_available", "delta_held") if roles.has(role)]
    money += trades.cql_types[5:] if trades else ()
    return Source(
        reader=reader,
        base=base,
        roles=roles,
        types=_types(reader, base, roles.columns),
        kinds=kinds,
        trades=trades,
        no_trades=why,
        trades_error=error,
        by_text=not all(map(is_number, money)),
    )


def _require_kinds(roles: Roles, kinds: dict[str, str]) -> None:
    if not roles.has("type") or not is_number(roles.types[roles.at["type"]]):
        return
    for name in kinds:
        try:
            int(name)
        except ValueError:
            column, cql_type = roles.columns[roles.at["type"]], roles.types[roles.at["type"]]
            raise BalancebookError(
                f"{column} (type) is {cql_type}, and {name!r} under [ledger.types] is not a number.",
                'Name each kind by its number there, for example 3 = "deposit".',
            ) from None


def _types(reader: Reader, table: Table, columns: Sequence[str]) -> tuple[Any, ...]:
    return reader.column_types(f"SELECT {', '.join(map(quote, columns))} FROM {table.cql_name}")


def _trades(reader: Reader, base: Table, roles: Roles, schema: TradesSchema) -> tuple[TradeTable | None, str]:
    """The table of trades, or why they are not held against the entries."""
    needed = ("type", "reference", "delta_available")
    if not roles.has(*needed):
        lacking = ", ".join(role for role in needed if not roles.has(role))
        return None, f"the ledger has no column for {lacking}"
    table = read_table(reader, base.keyspace, schema.table)
    if table is None:
        return None, f"there is no table of trades {base.keyspace}.{schema.table}"
    named = {role: getattr(schema, role) for role in _TRADE}
    cql_types = {column.name: column.cql_type for column in table.columns}
    for role, column in named.items():
        if column not in cql_types:
            raise BalancebookError(
                f"{table.cql_name} has no column {column} ({role}).",
                f"Name the right one under [trades] in the profile; it has {', '.join(sorted(cql_types))}.",
            )
    found = tuple(cql_types[column] for column in named.values())
    for role in _MONEY:
        if cql_types[named[role]] not in EXACT_AMOUNTS:
            raise BalancebookError(
                f"{table.cql_name}: {named[role]} ({role}) is {cql_types[named[role]]}, which holds no exact amounts.",
                f"Amounts are of one of the types {', '.join(EXACT_AMOUNTS)}.",
            )
    pairs = (("reference", 0), ("account", 1), ("account", 2), ("asset", 3), ("asset", 4))
    for role, place in pairs:
        mine, theirs = roles.types[roles.at[role]], found[place]
        if mine != theirs and not (is_number(mine) and is_number(theirs)):
            raise BalancebookError(
                f"{table.cql_name}: {tuple(named.values())[place]} is {theirs}, the ledger's {role} {mine}.",
                "Trades and entries are matched by equal values: both must have one type.",
            )
    columns = tuple(named.values())
    return TradeTable(table, columns, found, _types(reader, table, columns)), ""
