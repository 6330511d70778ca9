"""Decoded CQL values: exactly compared, ordered, and written as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from datetime import datetime
from decimal import Decimal
from typing import Any

from balancebook.verdict import Json

Cells = tuple[Any, ...]


def same_cells(one: Cells, other: Cells) -> bool:
    """Whether the values are the same exactly: decimal 1.0 is not 1.00, -0.0 is not 0.0, and NaN is NaN.

    Their text tells these apart, where Python's == does not, and it is much the same speed as a walk over types.
    """
    return repr(one) == repr(other)


def hashable_key(key: Cells) -> Cells:
    """A row's key as a dictionary takes it: frozen collections become tuples, all else stays."""
    try:
        hash(key)
    except TypeError:
        return tuple(_hashable(value) for value in key)
    return key


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((_hashable(key), _hashable(item)) for key, item in value.items())
    if isinstance(value, Set) or (isinstance(value, Sequence) and not isinstance(value, str | bytes)):
        return tuple(_hashable(item) for item in value)
    return value if isinstance(value, Hashable) else repr(value)


def canonical(value: Any) -> Any:
    """A key's decoded value in one spelling: decimal 1.00 as 1, in tuples too."""
    if isinstance(value, tuple):
        return tuple(canonical(each) for each in value)
    return value.normalize() if isinstance(value, Decimal) and value.is_finite() else value


def order_key(key: Cells) -> tuple[Any, ...]:
    """What to sort rows' keys by: numbers by value, all else by its text."""
    return tuple(_order_key(value) for value in key)


def _order_key(value: Any) -> tuple[int, Any, str]:
    if isinstance(value, int | Decimal) and value == value:  # noqa: PLR0124 (NaN has no place among numbers)
        return (0, value, "")
    return (1, 0, str(value))


def to_json(value: Any) -> Json:
    """A value as JSON: integers, booleans and text as they are; blobs as "0x..."; collections as lists, maps as
    lists of pairs; everything else (decimal, float, uuid, inet, times) as its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, Mapping):
        return [[to_json(key), to_json(item)] for key, item in value.items()]
    if isinstance(value, Sequence | Set):
        return [to_json(item) for item in value]
    return str(value)


def cell_json(value: Any, cql_type: str) -> Json:
    """A cell as JSON by its declared type: as `to_json`, but a varint, whose size has no bound, is text.

    The driver decodes varint and int alike, so in a collection that holds a varint all integers become text.
    """
    return _as_text(to_json(value)) if "varint" in cql_type else to_json(value)


def _as_text(value: Json) -> Json:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
