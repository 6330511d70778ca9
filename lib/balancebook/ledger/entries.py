"""Ledger entries as columns, by role: what the audit reads, and how it lies in a raw page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from balancebook.errors import BalancebookError
from balancebook.profile import LedgerSchema
from balancebook.sketch.columns import ColumnReader, Columns, is_number
from balancebook.store.cql_types import EXACT_AMOUNTS
from balancebook.store.raw import RawPage, decode
from balancebook.store.schema import Table

Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Money: TypeAlias = npt.NDArray[Any]
"""int64, or objects: int of varint, Decimal of decimal. A cell without an amount (null, empty, or a decimal too large
to be added exactly) counts as 0, and is flagged missing."""

KEYS = ("account", "asset", "order")
MONEY = ("available", "held", "delta_available", "delta_held")
SUMS = (("available", "delta_available"), ("held", "delta_held"))
"""Each balance and what moves it."""
OTHERS = ("type", "reference", "time")
# A decimal's cell is a few bytes whatever its exponent, which goes to 2^31; sums of those within are exact (EXACT).
_MOST_DIGITS = 40_000


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column of the base plays which role. columns: what is read, the keys first; types: their CQL types.

    descending: whether a partition's entries come newest first. at: role -> its place among the columns.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    at: dict[str, int]
    descending: bool

    def has(self, *roles: str) -> bool:
        """Whether the ledger has columns for all of them."""
        return all(role in self.at for role in roles)


def roles_of(base: Table, ledger: LedgerSchema) -> Roles:
    """The roles of a base. Raises BalancebookError if it is no ledger whose entries can be followed one by one."""
    named = {role: getattr(ledger, role) for role in (*KEYS, *MONEY, *OTHERS)}
    cql_types = {column.name: column.cql_type for column in base.columns}
    for role, column in named.items():
        if column is not None and column not in cql_types:
            raise BalancebookError(
                f"{base.cql_name} has no column {column} ({role}).",
                f"Name the right one under [ledger] in the profile; it has {', '.join(sorted(cql_types))}.",
            )
    there = {role: column for role, column in named.items() if column is not None}
    _require_ledger(base, there, cql_types)
    order = next(column for column in base.clustering_key if column.name == there["order"])
    return Roles(
        columns=tuple(there.values()),
        types=tuple(cql_types[column] for column in there.values()),
        at={role: place for place, role in enumerate(there)},
        descending=order.clustering_order == "desc",
    )


def _require_ledger(base: Table, there: dict[str, str], cql_types: dict[str, str]) -> None:
    partition = {column.name for column in base.partition_key}
    clustering = [column.name for column in base.clustering_key]
    if partition != {there["account"], there["asset"]} or clustering != [there["order"]]:
        raise BalancebookError(
            f"{base.cql_name} is no ledger with one partition for each account and asset, ordered by entry: its key is "
            f"({', '.join(sorted(partition))}), {', '.join(clustering)}.",
            "The audit follows entries within such a partition; set the roles under [ledger] in the profile.",
        )
    if not is_number(cql_types[there["order"]]):
        raise BalancebookError(
            f"The order {there['order']} is {cql_types[there['order']]}: entries are not numbered by it.",
            "The audit needs whole numbers in the column of the role order.",
        )
    for role in MONEY:
        if role in there and cql_types[there[role]] not in EXACT_AMOUNTS:
            raise BalancebookError(
                f"{there[role]} ({role}) is {cql_types[there[role]]}, which holds no exact amounts.",
                f"Amounts are of one of the types {', '.join(EXACT_AMOUNTS)}.",
            )
    if "time" in there and not is_number(cql_types[there["time"]]):
        raise BalancebookError(
            f"{there['time']} (time) is {cql_types[there['time']]}.",
            "The time of an entry is a bigint or a timestamp, in milliseconds.",
        )


# Not frozen, which is only a habit: some ten are made of each page, and frozen ones take three times as long.
@dataclass(slots=True)
class Entries:
    """Some entries, one partition after another, in the order in which they come.

    account, asset, type, reference: int64, the number, or what stands for a value of another type. missing: by role of
    money, and of type, reference, time: whether the cell is null. A role that the ledger lacks has no column.
    source: the columns of the page and the row in it, for each entry, to decode its key.
    """

    account: Numbers
    asset: Numbers
    order: Numbers
    money: dict[str, Money]
    other: dict[str, Numbers]
    missing: dict[str, Flags]
    pages: tuple[Columns, ...]
    page: Numbers
    row: Numbers

    def __len__(self) -> int:
        return len(self.order)

    def take(self, places: Numbers | slice) -> Entries:
        """Some of them, in that order."""
        return Entries(
            account=self.account[places],
            asset=self.asset[places],
            order=self.order[places],
            money={role: cells[places] for role, cells in self.money.items()},
            other={role: cells[places] for role, cells in self.other.items()},
            missing={role: flags[places] for role, flags in self.missing.items()},
            pages=self.pages,
            page=self.page[places],
            row=self.row[places],
        )

    def after(self, earlier: Entries) -> Entries:
        """Those that came before, and then these."""
        join = np.concatenate
        shift = len(earlier.pages)
        return Entries(
            account=join([earlier.account, self.account]),
            asset=join([earlier.asset, self.asset]),
            order=join([earlier.order, self.order]),
            money={role: join([earlier.money[role], cells]) for role, cells in self.money.items()},
            other={role: join([earlier.other[role], cells]) for role, cells in self.other.items()},
            missing={role: join([earlier.missing[role], flags]) for role, flags in self.missing.items()},
            pages=(*earlier.pages, *self.pages),
            page=join([earlier.page, self.page + shift]),
            row=join([earlier.row, self.row]),
        )

    def only(self, money: Sequence[str], other: Sequence[str]) -> Entries:
        """The same with these columns alone, of those that it has."""
        kept = (*money, *other)
        return replace(
            self,
            money={role: cells for role, cells in self.money.items() if role in kept},
            other={role: cells for role, cells in self.other.items() if role in kept},
            missing={role: flags for role, flags in self.missing.items() if role in kept},
        )

    def trimmed(self) -> Entries:
        """The same, holding on to no page before its first entry's or after its last one's."""
        if not len(self):
            return replace(self, pages=())
        first, last = int(self.page[0]), int(self.page[-1])
        return replace(self, pages=self.pages[first : last + 1], page=self.page - first)

    def raw(self, place: int, column: int) -> bytes | None:
        """The bytes of a cell as the server sent them."""
        return self.pages[int(self.page[place])].cell(int(self.row[place]), column)


class EntryReader:
    """Makes entries of raw pages whose columns are those of the roles. `types`: the driver's."""

    def __init__(self, roles: Roles, types: Sequence[Any]) -> None:
        self.roles, self.types = roles, types
        self._columns = ColumnReader(roles.types)

    def read(self, page: RawPage) -> Entries:
        """The entries of a page. A partition that holds a static cell alone has a row without an order, and no entry.

        Raises PageError.
        """
        columns = self._columns.read(page.body, page.start, page.rows)
        at = self.roles.at
        money = {role: self._money(columns, at[role]) for role in MONEY if role in at}
        entries = Entries(
            account=columns.values[:, at["account"]],
            asset=columns.values[:, at["asset"]],
            order=columns.values[:, at["order"]],
            money={role: amounts for role, (amounts, _) in money.items()},
            other={role: columns.values[:, at[role]] for role in OTHERS if role in at},
            missing={role: missing for role, (_, missing) in money.items()}
            | {role: ~columns.there[:, at[role]] for role in OTHERS if role in at},
            pages=(columns,),
            page=np.zeros(len(columns), np.int64),
            row=np.arange(len(columns)),
        )
        there = columns.there[:, at["order"]]
        return entries if there.all() else entries.take(np.flatnonzero(there))

    def key(self, entries: Entries, place: int) -> tuple[Any, Any, int]:
        """(account, asset, order) of an entry, as the driver decodes them."""
        account, asset = decode(
            [self.types[self.roles.at[role]] for role in ("account", "asset")],
            [entries.raw(place, self.roles.at[role]) for role in ("account", "asset")],
        )
        return account, asset, int(entries.order[place])

    def time(self, entries: Entries, place: int) -> int | None:
        """When an entry was made, in milliseconds, if it says."""
        if "time" not in entries.other or entries.missing["time"][place]:
            return None
        return int(entries.other["time"][place])

    def decoded(self, entries: Entries, place: int, role: str) -> Any:
        """An entry's cell, as the driver decodes it; None for null."""
        at = self.roles.at[role]
        return decode([self.types[at]], [entries.raw(place, at)])[0]

    def _money(self, columns: Columns, at: int) -> tuple[Money, Flags]:
        return money_of(columns, at, self.roles.types[at], self.types[at])


def is_one_of(column: Numbers, codes: Numbers) -> Flags:
    """Which cells are one of a few codes."""
    found = np.zeros(len(column), bool)
    for code in codes.tolist():
        found |= column == code
    return found


def plain(value: Any) -> Any:
    """A number of an array as Python has it."""
    return int(value) if isinstance(value, np.integer) else value


def money_of(columns: Columns, at: int, cql_type: str, driver_type: Any) -> tuple[Money, Flags]:
    """The amounts of one column, and which cells have none: their amount is 0."""
    if is_number(cql_type):
        return columns.values[:, at], ~columns.there[:, at]
    zero: Any = Decimal(0) if cql_type == "decimal" else 0
    cells = [columns.cell(row, at) for row in range(len(columns))]
    amounts = [decode([driver_type], [cell])[0] if cell else None for cell in cells]
    missing = np.array([not _is_amount(amount) for amount in amounts], bool)
    found = np.empty(len(columns), object)
    found[:] = [zero if gone else amount for amount, gone in zip(amounts, missing, strict=True)]
    return found, missing


def _is_amount(value: Any) -> bool:
    if not isinstance(value, Decimal):
        return isinstance(value, int)
    return (
        value.is_finite()
        and -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS
        and _digits(value) < _MOST_DIGITS
    )


def _digits(value: Decimal) -> int:
    """How many digits it has down to its last place, which may lie far behind the point."""
    return max(len(value.as_tuple().digits), -int(value.as_tuple().exponent))
