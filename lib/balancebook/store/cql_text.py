"""A CQL value from its text, strictly: what is not plainly of the type is refused, and nothing is rounded.

Literals: https://cassandra.apache.org/doc/latest/cassandra/developing/cql/types.html. A value comes back as the driver
would decode it, so that it equals, and is written as, what is read.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from cassandra import cqltypes
from cassandra.util import Date, Time

from balancebook.store.cql.decoding import decode, encode

# Values are encoded alike in all versions that are spoken here.
VALUE_PROTOCOL = 5
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?")
_BLOB = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*")
_FLOATS = ("NaN", "Infinity", "-Infinity")
# Python refuses to read longer integers (sys.set_int_max_str_digits).
_MOST_DIGITS = 4000
# A decimal's scale is an int32.
_MOST_EXPONENT = 2**31 - 1


def parse_value(text: str, cql_type: str) -> Any:
    """The value that a cell of text means in a column of that type. Raises ValueError, whose text ends a sentence that
    names the cell ("is no bigint: ..."), also for a type that has no plain text (collections, tuples, user types)."""
    if cql_type not in _TYPES:
        raise ValueError(f"cannot be read: a {cql_type} has no plain text")
    parse, driver_type, form = _TYPES[cql_type]
    try:
        raw = driver_type.to_binary(parse(text), VALUE_PROTOCOL)
        (value,) = decode([driver_type], [raw], VALUE_PROTOCOL)
        exact = encode(driver_type, value, VALUE_PROTOCOL) == raw
    except (ValueError, ArithmeticError, struct.error) as error:
        raise ValueError(f"is no {cql_type}: {form}") from error
    if not exact:
        raise ValueError(f"is a {cql_type} that the driver cannot carry exactly")
    return value


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if not found:
        raise ValueError(text)
    return found


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS or text == "-0":
        raise ValueError(text)
    return int(_matched(_INTEGER, text)[0])


def _decimal(text: str) -> Decimal:
    number = Decimal(_matched(_NUMBER, text)[0])
    if not number.is_finite() or abs(int(number.as_tuple().exponent)) > _MOST_EXPONENT:
        raise ValueError(text)
    return number


def _float(text: str) -> float:
    number = float(text if text in _FLOATS else _matched(_NUMBER, text)[0])
    if abs(number) == float("inf") and text not in _FLOATS:
        raise ValueError(text)
    return number


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no(text)


def _no(text: str) -> Any:
    raise ValueError(text)


def _uuid(text: str) -> UUID:
    return UUID(_matched(_UUID, text)[0])


def _time_uuid(text: str) -> UUID:
    value = _uuid(text)
    return value if value.version == 1 else _no(text)


def _timestamp(text: str) -> int:
    """Milliseconds since 1970."""
    if _INTEGER.fullmatch(text):
        return _integer(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.microsecond % 1000:
        raise ValueError(text)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _date(text: str) -> Date:
    return Date(date.fromisoformat(_matched(_DATE, text)[0]))


def _time(text: str) -> Time:
    hours, minutes, seconds, fraction = _matched(_TIME, text).groups(default="0")
    if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 59:
        raise ValueError(text)
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return Time(whole * 10**9 + int(fraction.ljust(9, "0")))


def _inet(text: str) -> str:
    address = ipaddress.ip_address(text)
    return text if "%" not in text else _no(str(address))


def _blob(text: str) -> bytes:
    return bytes.fromhex(_matched(_BLOB, text)[0][2:])


_Parse = Callable[[str], Any]
_WHOLE = "write a whole number{} without leading zeros"
# type -> its parser, the driver's type, and what to write.
_TYPES: dict[str, tuple[_Parse, Any, str]] = {
    "tinyint": (_integer, cqltypes.ByteType, _WHOLE.format(" of -128..127")),
    "smallint": (_integer, cqltypes.ShortType, _WHOLE.format(" of -32768..32767")),
    "int": (_integer, cqltypes.Int32Type, _WHOLE.format(" of -2147483648..2147483647")),
    "bigint": (
        _integer,
        cqltypes.LongType,
        _WHOLE.format(" of -9223372036854775808..9223372036854775807"),
    ),
    "varint": (_integer, cqltypes.IntegerType, _WHOLE.format("")),
    "decimal": (_decimal, cqltypes.DecimalType, "write a decimal number such as -12.50"),
    "float": (_float, cqltypes.FloatType, "write a number such as -12.5"),
    "double": (_float, cqltypes.DoubleType, "write a number such as -12.5"),
    "boolean": (_boolean, cqltypes.BooleanType, "write true or false"),
    "text": (str, cqltypes.UTF8Type, "write UTF-8 text"),
    "ascii": (str, cqltypes.AsciiType, "write ASCII characters only"),
    "uuid": (_uuid, cqltypes.UUIDType, "write it as 8-4-4-4-12 hexadecimal digits"),
    "timeuuid": (_time_uuid, cqltypes.TimeUUIDType, "write a version 1 UUID"),
    "timestamp": (
        _timestamp,
        cqltypes.DateType,
        "write milliseconds since 1970, or ISO 8601 with an offset and at most 3 decimals, "
        "2025-01-31T12:00:00.000Z, of the years 1 to 9999",
    ),
    "date": (_date, cqltypes.SimpleDateType, "write it as 2025-01-31"),
    "time": (_time, cqltypes.TimeType, "write it as 12:34:56.123456789, before 24:00:00"),
    "inet": (_inet, cqltypes.InetAddressType, "write an IPv4 or IPv6 address"),
    "blob": (_blob, cqltypes.BytesType, "write 0x and pairs of hexadecimal digits"),
}
