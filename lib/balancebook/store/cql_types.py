"""What the text of a CQL type says: https://cassandra.apache.org/doc/latest/cassandra/developing/cql/types.html."""

from __future__ import annotations

import re

_COLLECTIONS = ("list", "set", "map")
_NATIVE = {
    *(
        "ascii",
        "bigint",
        "blob",
        "boolean",
        "counter",
        "date",
        "decimal",
        "double",
        "duration",
        "empty",
        "float",
    ),
    *(
        "inet",
        "int",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timeuuid",
        "tinyint",
        "uuid",
        "varchar",
        "varint",
    ),
    *("frozen", "tuple", "vector", *_COLLECTIONS),
}
EXACT_AMOUNTS = ("bigint", "int", "smallint", "tinyint", "counter", "varint", "decimal")
"""The types in which money is exact: floats are none."""
_NAME = re.compile(r'"(?:[^"]|"")+"|[A-Za-z_]\w*')


def has_user_type(cql_type: str) -> bool:
    """Whether the type is, or holds, one that CREATE TYPE made."""
    return any(name not in _NATIVE for name in _NAME.findall(cql_type))


def has_one_write_time(cql_type: str) -> bool:
    """Whether a column of the type is one cell; one that is not frozen keeps a write time for each element or field."""
    outermost = cql_type.partition("<")[0]
    return outermost in _NATIVE and outermost not in _COLLECTIONS
