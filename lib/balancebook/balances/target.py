"""What balances are read from: a view, its base, and which columns play which role."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar
from weakref import WeakKeyDictionary

from balancebook.errors import BalancebookError
from balancebook.settings import LedgerSchema
from balancebook.store.cql_types import EXACT_AMOUNTS
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader
from balancebook.store.schema import Table, did_you_mean, quote, read_table, read_view

T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Target:
    """A view with its base table; names as stored (no quotes, case matters)."""

    keyspace: str
    view: str
    base: str
    ledger: LedgerSchema

    @property
    def view_name(self) -> str:
        """The view as a statement takes it."""
        return f"{quote(self.keyspace)}.{quote(self.view)}"

    @property
    def base_name(self) -> str:
        """The base table as a statement takes it."""
        return f"{quote(self.keyspace)}.{quote(self.base)}"

    @property
    def selected(self) -> tuple[str, ...]:
        """The columns that a balance query selects: asset, order, available, and held and time where they are."""
        ledger = self.ledger
        optional = (column for column in (ledger.held, ledger.time) if column)
        return (ledger.asset, ledger.order, ledger.available, *optional)


@dataclass(frozen=True)
class Shape:
    """What the server says of the target: the base table, and how view and base are read newest row first.

    `view_order`, `base_order`: the ORDER BY for it, "" where they lie so. `assets_descend`: how the view's assets come
    in that order. `base_by_asset`: whether the base can be asked for the newest entry of one account and asset.
    `view_by_account`: whether the view can be asked for one account's rows, asset after asset.
    """

    base: Table
    view: Table
    base_by_asset: bool
    view_by_account: bool
    assets_descend: bool
    view_order: str
    base_order: str

    def types(self, columns: Iterable[str]) -> list[str]:
        """The CQL types of columns of the base."""
        of = {column.name: column.cql_type for column in self.base.columns}
        return [of[column] for column in columns]


_shapes: WeakKeyDictionary[Reader, dict[Target, Shape]] = WeakKeyDictionary()
_lock = Lock()


def shape_of(reader: Reader, target: Target) -> Shape:
    """The target as the server describes it, read once per reader.

    Raises StoreError (missing) if it is not there, BalancebookError if its amounts are not exact (a double).
    """
    with _lock:
        known = _shapes.get(reader, {}).get(target)
    if known is None:
        known = _read_shape(reader, target)
        with _lock:
            _shapes.setdefault(reader, {})[target] = known
    return known


def _read_shape(reader: Reader, target: Target) -> Shape:
    base = _there(read_table(reader, target.keyspace, target.base), f"Table {target.base_name}")
    view = _there(read_view(reader, target.keyspace, target.view), f"View {target.view_name}")
    _require((target.ledger.account, *target.selected), base)
    _require_exact((target.ledger.available, target.ledger.held), base)
    asset, order = quote(target.ledger.asset), quote(target.ledger.order)
    descend = target.ledger.asset in _descending(view)
    # A clustering turns as a whole, so the assets turn with the entries of each.
    turned = target.ledger.order not in _descending(view)
    view_order = f"ORDER BY {asset} {'ASC' if descend else 'DESC'}, {order} DESC" if turned else ""
    base_order = "" if target.ledger.order in _descending(base) else f"ORDER BY {order} DESC"
    by_asset, by_account = _base_by_asset(base, target.ledger), _view_by_account(view, target.ledger)
    return Shape(base, view, by_asset, by_account, descend != turned, view_order, base_order)


def key_text(table: Table) -> str:
    """The primary key as CREATE TABLE has it: ((user_id, asset_id), seq)."""
    partition = ", ".join(column.name for column in table.partition_key)
    return f"({', '.join([f'({partition})', *(column.name for column in table.clustering_key)])})"


def require_by_asset(reader: Reader, target: Target) -> None:
    """Raises BalancebookError unless the base can be asked for the newest entry of one account and asset."""
    shape, ledger = shape_of(reader, target), target.ledger
    if not shape.base_by_asset:
        raise BalancebookError(
            f"{target.base_name} cannot be asked for the newest entry of one account and asset: its primary key is "
            f"{key_text(shape.base)}.",
            f"It must begin with {ledger.account} and {ledger.asset}, in the partition key or right after it, and then "
            f"{ledger.order}; name the columns under [ledger] in the profile if these are not the right ones.",
        )


def _base_by_asset(base: Table, ledger: LedgerSchema) -> bool:
    partition = {column.name for column in base.partition_key}
    clustering = [column.name for column in base.clustering_key]
    left = {ledger.account, ledger.asset} - partition
    there = partition <= {ledger.account, ledger.asset} and set(clustering[: len(left)]) == left
    return there and clustering[len(left) : len(left) + 1] == [ledger.order]


def _view_by_account(view: Table, ledger: LedgerSchema) -> bool:
    partition = [column.name for column in view.partition_key]
    clustering = [column.name for column in view.clustering_key]
    return partition == [ledger.account] and clustering[:2] == [ledger.asset, ledger.order]


def _descending(table: Table) -> set[str]:
    return {column.name for column in table.clustering_key if column.clustering_order == "desc"}


def _there(table: T | None, what: str) -> T:
    if table is None:
        raise StoreError("missing", f"{what} does not exist.", "Check keyspace and view in the profile.")
    return table


def _require(columns: Iterable[str], table: Table) -> None:
    there = [column.name for column in table.columns]
    for column in columns:
        if column not in there:
            raise StoreError(
                "missing",
                f"{table.cql_name} has no column {column}; it has {', '.join(sorted(there))}.",
                f"Name the right column under [ledger] in the profile.{did_you_mean(column, there)}",
            )


def _require_exact(money: Iterable[str | None], table: Table) -> None:
    for column in table.columns:
        if column.name in money and column.cql_type not in EXACT_AMOUNTS:
            raise BalancebookError(
                f"{table.cql_name}.{column.name} is {column.cql_type}, which holds no exact amounts.",
                f"Amounts are of one of the types {', '.join(EXACT_AMOUNTS)}.",
            )
