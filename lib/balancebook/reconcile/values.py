"""Decoded CQL values: ordered, and (see store.cql.values) written as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from balancebook.store.cql.values import cell_json, pairs_of, text_of, to_json

__all__ = ["Cells", "cell_json", "hashable_key", "order_key", "to_json"]

Cells = tuple[Any, ...]


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


def order_key(key: Cells) -> tuple[Any, ...]:
    """What to sort rows' keys by: numbers by value, all else by its text."""
    return tuple(_order_key(value) for value in key)


def _order_key(value: Any) -> tuple[int, Any, str]:
    if isinstance(value, int | Decimal) and value == value:  # noqa: PLR0124 (NaN has no place among numbers)
        return (0, value, "")
    return (1, 0, text_of(value))
