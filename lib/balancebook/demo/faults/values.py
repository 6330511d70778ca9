"""Other values of the same CQL type: to change a cell, and to make a key that is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from balancebook.store.cql.decoding import Undecoded

INTEGERS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
"""CQL's fixed-width integers and their bits."""

_TYPES: dict[str, Callable[[Any], Any]] = {
    # The lowest bit, so that no value leaves its type's range.
    **dict.fromkeys((*INTEGERS, "varint"), lambda value: value ^ 1),
    **dict.fromkeys(("text", "varchar", "ascii"), lambda value: f"{value}~"),
    **dict.fromkeys(("float", "double"), lambda value: 0.5 if value != 0.5 else 1.5),
    **dict.fromkeys(("uuid", "timeuuid"), lambda value: UUID(int=value.int ^ 1)),
    "boolean": lambda value: not value,
    "decimal": lambda value: Decimal("0.5") if value != Decimal("0.5") else Decimal("1.5"),
    "blob": lambda value: value + b"\x00",
    "timestamp": lambda value: value + timedelta(milliseconds=-1 if value > datetime(2000, 1, 1) else 1),
}


def changed(value: Any, cql_type: str) -> Any:
    """Another value of the type, always the same one; None for null and for types that are left alone."""
    change = _TYPES.get(cql_type)
    return None if change is None or value is None or isinstance(value, Undecoded) else change(value)


def later(value: Any, cql_type: str, steps: int) -> Any:
    """The value `steps` after this one: the next integers, or a text that goes on; None where there is none."""
    if isinstance(value, Undecoded):
        return None
    if cql_type in INTEGERS:
        after = value + steps
        return after if after < 2 ** (INTEGERS[cql_type] - 1) else None
    if cql_type == "varint":
        return value + steps
    if cql_type in ("text", "varchar", "ascii"):
        return f"{value}~{steps}"
    if cql_type == "timestamp":
        return value + timedelta(milliseconds=steps)
    return UUID(int=(value.int + steps) % 2**128) if cql_type == "uuid" else None


def has_later(cql_type: str) -> bool:
    """Whether `later` knows the type."""
    return cql_type in {*INTEGERS, "varint", "text", "varchar", "ascii", "timestamp", "uuid"}
