"""The server's own answers to which bytes of a key are one key, compared with ours."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from cassandra.cluster import Session
from cassandra.marshal import uvint_pack
from cassandra.query import BoundStatement

from balancebook.reconcile.model.identity import KeyIdentity
from balancebook.store.raw import raw_pages
from balancebook.store.reader import Reader


def sized(cell: bytes) -> bytes:
    return len(cell).to_bytes(4, "big") + cell


def int_of(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def decimal(digits: int, scale: int) -> bytes:
    return int_of(scale) + digits.to_bytes(digits.bit_length() // 8 + 1, "big", signed=True)


def set_of(*elements: bytes) -> bytes:
    return int_of(len(elements)) + b"".join(map(sized, elements))


def vector_of(*elements: bytes) -> bytes:
    """Of elements whose size varies."""
    return b"".join(uvint_pack(len(each)) + each for each in elements)


NULL = int_of(-1)
WRITTEN = {
    "decimal": [decimal(10, 1), decimal(100, 2), decimal(1, 0), decimal(0, 0), decimal(0, 3), decimal(5, -1)],
    "varint": [b"\1", b"\0\1", b"\xff", b"\xff\xff", b"\0\xff"],
    "double": [struct.pack(">d", each) for each in (0.0, -0.0, 1.5)]
    + [struct.pack(">Q", (0x7FF8 << 48) + each) for each in (0, 1)],
    "float": [
        struct.pack(">f", 0.0),
        struct.pack(">f", -0.0),
        struct.pack(">I", 0x7FC00000),
        struct.pack(">I", 0x7FC00001),
    ],
    "boolean": [b"\0", b"\1", b"\2"],
    "frozen<tuple<int, int>>": [sized(int_of(1)), sized(int_of(1)) + NULL, sized(int_of(1)) * 2],
    "frozen<tuple<int, frozen<set<int>>>>": [
        sized(int_of(1)) + sized(set_of(int_of(1), int_of(2))),
        sized(int_of(1)) + sized(set_of(int_of(2), int_of(1))),
    ],
    "frozen<list<decimal>>": [set_of(decimal(10, 1)), set_of(decimal(1, 0)), set_of(decimal(1, 1))],
    "vector<decimal, 2>": [
        vector_of(one, other)
        for one, other in (
            (decimal(10, 1), decimal(2, 0)),
            (decimal(100, 2), decimal(20, 1)),
            (decimal(1, 0), decimal(1, 0)),
            (decimal(10**400, 400), decimal(2, 0)),
        )
    ],
    "vector<varint, 1>": [vector_of(each) for each in (b"\1", b"\0\1", b"\xff", b"\xff\xff")],
    "vector<double, 2>": [
        struct.pack(">Qd", 0x7FF8 << 48, 1.0),
        struct.pack(">Qd", (0x7FF8 << 48) + 1, 1.0),
        struct.pack(">dd", 0.0, 1.0),
        struct.pack(">dd", -0.0, 1.0),
    ],
    "vector<boolean, 2>": [b"\0\1", b"\0\2", b"\1\1"],
    "vector<text, 2>": [vector_of(b"a", b"bc"), vector_of(b"ab", b"c")],
    "vector<frozen<list<decimal>>, 1>": [vector_of(set_of(decimal(10, 1))), vector_of(set_of(decimal(1, 0)))],
    "frozen<tuple<int, vector<decimal, 1>>>": [
        sized(int_of(1)) + sized(vector_of(decimal(10, 1))),
        sized(int_of(1)) + sized(vector_of(decimal(1, 0))),
    ],
    "frozen<map<int, decimal>>": [
        int_of(1) + sized(int_of(1)) + sized(decimal(10, 1)),
        int_of(1) + sized(int_of(1)) + sized(decimal(1, 0)),
    ],
    "frozen<map<decimal, int>>": [
        int_of(1) + sized(decimal(10, 1)) + sized(int_of(1)),
        int_of(1) + sized(decimal(1, 0)) + sized(int_of(1)),
    ],
    "frozen<set<decimal>>": [set_of(decimal(10, 1)), set_of(decimal(1, 0)), set_of(decimal(1, 1))],
    "frozen<list<frozen<set<decimal>>>>": [set_of(set_of(decimal(10, 1))), set_of(set_of(decimal(1, 0)))],
    "vector<frozen<set<decimal>>, 1>": [vector_of(set_of(decimal(10, 1))), vector_of(set_of(decimal(1, 0)))],
    "vector<vector<decimal, 1>, 2>": [
        vector_of(vector_of(decimal(10, 1)), vector_of(decimal(2, 0))),
        vector_of(vector_of(decimal(1, 0)), vector_of(decimal(2, 0))),
    ],
    "vector<vector<double, 1>, 2>": [
        struct.pack(">Qd", 0x7FF8 << 48, 1.0),
        struct.pack(">Qd", (0x7FF8 << 48) + 1, 1.0),
    ],
    "vector<frozen<tuple<int, decimal>>, 1>": [
        vector_of(sized(int_of(1)) + sized(decimal(10, 1))),
        vector_of(sized(int_of(1)) + sized(decimal(1, 0))),
    ],
    "timeuuid": [UUID(int=(0x1000 << 64) + (2 << 62) + each).bytes for each in (0, 1, 2**55, 2**32)],
    "inet": [bytes([127, 0, 0, 1]), bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])],
    "timestamp": [b"", bytes(8), b"\x7f" + bytes(7), b"\xff" * 8],
    "time": [bytes(8), bytes(7) + b"\1"],
    "date": [bytes(4), b"\x80" + bytes(3), b"\xff" * 4],
    "smallint": [bytes(2), b"\xff\xff", b"\0\1"],
    "tinyint": [b"\0", b"\xff"],
    "text": [b"a", b"A", b""],
}


@pytest.mark.parametrize("cql_type", WRITTEN)
@pytest.mark.parametrize("partition", [True, False], ids=["partition key", "clustering"])
def test_the_server_tells_the_same_keys_apart(
    session: Session, reader: Reader, keyspace: str, cql_type: str, partition: bool
) -> None:
    key = "(c), p" if partition else "(p), c"
    session.execute(f"CREATE TABLE {keyspace}.keys (p int, c {cql_type}, n int, PRIMARY KEY ({key}))")
    insert = session.prepare(f"INSERT INTO {keyspace}.keys (p, c, n) VALUES (?, ?, ?)")
    cells = [cell for cell in WRITTEN[cql_type] if cell or not partition]
    for number, cell in enumerate(cells):
        bound = BoundStatement(insert)
        bound.values = [int_of(1), cell, int_of(number)]
        session.execute(bound)
    select = f"SELECT c, n FROM {keyspace}.keys"
    rows = [row for page in raw_pages(reader, select) for row in page.cells()]
    # Of those that are one to the server, the last one written stands.
    standing = {int.from_bytes(row[1] or b"", "big") for row in rows}
    identity = KeyIdentity(reader.column_types(select)[:1], {0} if partition else ())
    assert standing == set({identity.of([cell]): number for number, cell in enumerate(cells)}.values())
