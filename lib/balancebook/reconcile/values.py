"""Decoded CQL values: exactly compared, ordered, and (see store.cql.values) written as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from balancebook.store.cql.values import cell_json, pairs_of, text_of, to_json

__all__ = ["Cells", "canonical", "cell_json", "hashable_key", "order_key", "same_cells", "to_json"]

Cells = tuple[Any, ...]


def same_cells(one: Cells, other: Cells) -> bool:
    """Whether the values are the same exactly: decimal 1.0 is not 1.00, -0.0 is not 0.0, and NaN is NaN.

    Their text tells these apart, where Python's == does not, and it is much the same speed as a walk over types.
    """
    try:
        return repr(one) == repr(other)
    except ValueError:
        # A varint of more digits than Python writes.
        return [text_of(cell) for cell in one] == [text_of(cell) for cell in other]


def hashable_key(key: Cells) -> Cells:
    """A row's key as a dictionary takes it: frozen collections become tuples, all else stays."""
    try:
        hash(key)
    except TypeError:
        return tuple(_hashable(value) for value in key)
    return key


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        value = pairs_of(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
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
    return (1, 0, text_of(value))
