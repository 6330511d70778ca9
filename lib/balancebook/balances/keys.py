"""Accounts and assets as a person writes them, made values of their columns, whatever CQL type these have."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from balancebook.assets import Asset
from balancebook.balances.target import Target, shape_of
from balancebook.errors import BalancebookError, UsageError
from balancebook.store.cql_text import parse_value
from balancebook.store.reader import Reader

_EXAMPLES = {
    "uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "timeuuid": "8d8ac610-566d-11ef-9a35-325096b39f47",
    "inet": "10.0.0.7",
    "blob": "0xcafe",
    "text": "alice",
    "ascii": "alice",
    "decimal": "10.5",
    "timestamp": "2025-01-31T12:00:00.000Z",
    "date": "2025-01-31",
    "tinyint": "101",
}
_SHOWN = 60


class AccountRefused(UsageError):
    """An account that its column cannot hold: a mistake in what was asked, not a database that cannot be read."""


def account_of(reader: Reader, target: Target, given: object, parameter: str = "user_id") -> Any:
    """The value of the base's account column that `given` means: a number or text as a person writes it, in its only
    spelling ("007" is no bigint), or such a value itself.

    A number for a text column is its decimal text. Raises AccountRefused, which names the parameter, the column, its
    type and an example; StoreError if the target is not there.
    """
    column = target.ledger.account
    (cql_type,) = shape_of(reader, target).types([column])
    example = _EXAMPLES.get(cql_type, "1001")
    if isinstance(given, UUID | bytes | Decimal) and type(given) is type(parse_value(example, cql_type)):
        return given
    try:
        if type(given) not in (int, str):
            raise ValueError(f"is no {cql_type}: write a number or text")
        return parse_value(str(given), cql_type)
    except ValueError as error:
        shown = ascii(given) if isinstance(given, str) else repr(given)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        what, _, form = str(error).partition(": ")
        raise AccountRefused(
            f"{parameter} is {shown}, which {what}: {target.base}.{column} is {cql_type}.",
            f"{form[:1].upper()}{form[1:]}, for example {example}.",
            parameter=parameter,
        ) from error


def asset_of(reader: Reader, target: Target, asset: Asset) -> Any:
    """The value of the base's asset column that a registered asset's id means. Raises BalancebookError if none."""
    column = target.ledger.asset
    (cql_type,) = shape_of(reader, target).types([column])
    try:
        return parse_value(str(asset.id), cql_type)
    except ValueError as error:
        raise BalancebookError(
            f"The registry's id of {asset.symbol}, {asset.id!r}, {error}; {target.base}.{column} is {cql_type}.",
            "Write ids in the registry as that column has them.",
        ) from error
