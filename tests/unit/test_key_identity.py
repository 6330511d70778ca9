"""Which bytes of a key are one key to the server (its own answers: tests/database/test_key_identity.py)."""

from __future__ import annotations

import struct

import pytest
from cassandra import cqltypes
from cassandra.cqltypes import lookup_casstype

from balancebook.reconcile.model.identity import KeyIdentity

INT, DECIMAL = cqltypes.Int32Type, cqltypes.DecimalType


def sized(cell: bytes | None) -> bytes:
    return (-1).to_bytes(4, "big", signed=True) if cell is None else len(cell).to_bytes(4, "big") + cell


def decimal(digits: int, scale: int) -> bytes:
    return scale.to_bytes(4, "big", signed=True) + digits.to_bytes(
        digits.bit_length() // 8 + 1, "big", signed=True
    )


def number(value: float) -> bytes:
    return struct.pack(">d", value)


NAN, OTHER_NAN = struct.pack(">Q", 0x7FF8 << 48), struct.pack(">Q", (0x7FF8 << 48) + 1)
TUPLE = lookup_casstype("TupleType(Int32Type,DecimalType)")
SETS = lookup_casstype("SetType(DecimalType)")
LISTS = lookup_casstype("ListType(Int32Type)")
ONE = [
    (DECIMAL, decimal(10, 1), decimal(100, 2)),
    (DECIMAL, decimal(0, 0), decimal(0, 7)),
    (DECIMAL, decimal(-700, 0), decimal(-7, -2)),
    (DECIMAL, decimal(10, -(2**31)), decimal(10, -(2**31))),
    (cqltypes.IntegerType, b"\0\1", b"\1"),
    (cqltypes.IntegerType, b"\xff\xff", b"\xff"),
    (cqltypes.DoubleType, NAN, OTHER_NAN),
    (cqltypes.BooleanType, b"\1", b"\2"),
    (TUPLE, sized(b"\0\0\0\1") + sized(None), sized(b"\0\0\0\1")),
    (TUPLE, sized(b"\0\0\0\1") + sized(decimal(10, 1)), sized(b"\0\0\0\1") + sized(decimal(1, 0))),
    (SETS, b"\0\0\0\1" + sized(decimal(10, 1)), b"\0\0\0\1" + sized(decimal(1, 0))),
]
VECTORS = lookup_casstype("VectorType(DecimalType, 2)")
FLOATS = lookup_casstype("VectorType(DoubleType, 2)")
ONE += [
    (VECTORS, b"\5" + decimal(10, 1) + b"\5" + decimal(2, 0), b"\5" + decimal(1, 0) + b"\5" + decimal(20, 1)),
    (
        VECTORS,
        b"\x80\xab" + decimal(10**400, 400) + b"\5" + decimal(2, 0),
        b"\5" + decimal(1, 0) + b"\5" + decimal(2, 0),
    ),
    (FLOATS, NAN + number(1.0), OTHER_NAN + number(1.0)),
]
TWO = [
    (DECIMAL, decimal(10, 1), decimal(10, 2)),
    (DECIMAL, decimal(10, -(2**31)), decimal(1, -(2**31))),
    (DECIMAL, b"", decimal(0, 0)),
    (cqltypes.IntegerType, b"\xff", b"\0\xff"),
    (cqltypes.IntegerType, b"", b"\0"),
    (cqltypes.DoubleType, number(0.0), number(-0.0)),
    (cqltypes.BooleanType, b"\0", b"\1"),
    (cqltypes.BooleanType, b"", b"\0"),
    (TUPLE, sized(None) + sized(decimal(1, 0)), sized(b"\0\0\0\1")),
    (LISTS, b"\0\0\0\2" + sized(b"\1") + sized(b"\2"), b"\0\0\0\2" + sized(b"\2") + sized(b"\1")),
    (cqltypes.UTF8Type, b"a", b"A"),
    (VECTORS, b"\5" + decimal(1, 0) + b"\5" + decimal(2, 0), b"\5" + decimal(2, 0) + b"\5" + decimal(1, 0)),
    (VECTORS, b"\5" + decimal(1, 0) + b"\5" + decimal(2, 0), b"\5" + decimal(1, 0) + b"\5" + decimal(2, 1)),
    (FLOATS, number(0.0) + NAN, number(-0.0) + NAN),
    (lookup_casstype("VectorType(UTF8Type, 2)"), b"\1a\2bc", b"\2ab\1c"),
]


@pytest.mark.parametrize(("cql_type", "one", "other"), ONE)
def test_clustering_columns_are_one_by_their_order(cql_type: object, one: bytes, other: bytes) -> None:
    identity = KeyIdentity([INT, cql_type], {0})
    assert identity.respelled
    assert identity.normalises(1)
    assert identity.of([b"x", one]) == identity.of([b"x", other])
    assert identity.of([b"x", one]) != identity.of([b"y", other])
    by_bytes = KeyIdentity([INT, cql_type], {0, 1})
    assert (by_bytes.of([b"x", one]) == by_bytes.of([b"x", other])) is (one == other)
    assert not by_bytes.respelled


@pytest.mark.parametrize(("cql_type", "one", "other"), TWO)
def test_others_are_two(cql_type: object, one: bytes, other: bytes) -> None:
    identity = KeyIdentity([cql_type], ())
    assert identity.of([one]) != identity.of([other])


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        KeyIdentity([INT], ()).of([b"1", b"2"])


@pytest.mark.parametrize(
    ("cql_type", "cell"),
    [
        ("TupleType(Int32Type,Int32Type)", sized(None) + sized(b"\0\0\0\1")),
        ("ListType(DoubleType)", b"\0\0\0\2" + sized(number(0.5)) + sized(NAN)),
        ("DoubleType", NAN),
        ("IntegerType", b"\1"),
    ],
)
def test_what_has_one_form_alone_stays_as_it_is(cql_type: str, cell: bytes) -> None:
    assert KeyIdentity([lookup_casstype(cql_type)], ()).of([cell]) == (cell,)
