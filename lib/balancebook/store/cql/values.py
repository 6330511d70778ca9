"""CQL values as JSON and as text, whatever their types: the one place where a value becomes something to read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cassandra.util import Date, OrderedMap

from balancebook.verdict import Json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The driver decodes timestamps as floating-point seconds: by the year 9999 it is 16 us off, for 4 % of all it is short.
_SHORT_US = 20
# Python refuses to write longer integers (sys.set_int_max_str_digits), Decimal does not.
_MOST_BITS = 14_000
_BYTES = (bytes, bytearray, memoryview)


def to_json(value: Any) -> Json:
    """A value as JSON.

    Integers, booleans and text as they are; blobs and cells that could not be decoded as "0x..."; lists, sets, tuples,
    vectors and user types as lists, maps as lists of pairs; everything else (decimal, float, uuid, inet, times) as its
    text. A varint of some thousand digits is text too.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MOST_BITS else str(Decimal(value))
    if isinstance(value, Mapping):
        value = pairs_of(value)
    if isinstance(value, Iterable) and not isinstance(value, _BYTES):
        return [to_json(item) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, _BYTES):
        return f"0x{value.hex()}"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, datetime):
        return _timestamp_text(value)
    return _date_text(value) if isinstance(value, Date) else str(value)


def cell_json(value: Any, cql_type: str) -> Json:
    """A cell as JSON by its declared type: as `to_json`, but a varint, whose size has no bound, is text.

    The driver decodes varint and int alike, so in a collection that holds a varint all integers become text.
    """
    return _as_text(to_json(value)) if "varint" in cql_type else to_json(value)


def _as_text(value: Json) -> Json:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def text_of(value: Any) -> str:
    """A value as text for people: as `to_json`; null, true and false as CQL writes them."""
    return json_text(to_json(value))


def json_text(value: Json) -> str:
    """The same of a value that is JSON already."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pairs_of(value: Any) -> list[tuple[Any, Any]]:
    """The keys and values of a map: of pairs, of a mapping, or of the driver's, which does not find all of its keys."""
    if isinstance(value, OrderedMap):
        return list(value._items)
    return list(value.items()) if isinstance(value, Mapping) else list(value)


def milliseconds(value: datetime) -> int:
    """The milliseconds since 1970 of a timestamp (UTC if it has no zone), exact if the driver decoded it.

    What is finer is cut off.
    """
    when = value if value.tzinfo else value.replace(tzinfo=UTC)
    return ((when - _EPOCH) // _MICROSECOND + _SHORT_US) // 1000


def _timestamp_text(value: datetime) -> str:
    exact = _EPOCH + timedelta(milliseconds=milliseconds(value))
    return f"{exact.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _float_text(value: float) -> str:
    """As CQL writes it: NaN, Infinity."""
    if math.isfinite(value):
        return str(float(value))
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def _date_text(value: Date) -> str:
    """Beyond the years 1 to 9999 by its days, as the driver has it, with their unit."""
    text = str(value)
    return text if text.count("-") > 1 else f"{text} days since 1970-01-01"
