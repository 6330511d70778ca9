"""The server's own answers to which bytes of a key are one key, compared with ours."""

from __future__ import annotations

import struct

import pytest
from cassandra.cluster import Session
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
