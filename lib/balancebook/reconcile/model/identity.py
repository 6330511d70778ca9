"""Which keys are one key to the server.

The columns of a partition key are compared by their bytes: decimal 1.0 and 1.00 have two tokens and are two partitions.
Clustering columns are compared by their type's order, in which different bytes can be equal: decimal and varint by
value, all NaN as one (0.0 and -0.0 are two), a tuple's trailing nulls as absent; so are the elements of collections and
vectors. The server sorts the elements of a set or map, but not of one inside a tuple or a user type: there the
order counts in which they were written.

Seen on Cassandra 5.0.6, by writing such keys; the orders are those of org.apache.cassandra.db.marshal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any

from cassandra import cqltypes
from cassandra.marshal import uvint_unpack

RawKey = tuple[bytes, ...]
Normalise = Callable[[bytes], bytes]

_COLLECTIONS = {kind.cassname for kind in (cqltypes.ListType, cqltypes.SetType, cqltypes.MapType)}
_NULL = (-1).to_bytes(4, "big", signed=True)


class KeyIdentity:
    """Makes the bytes of a key into those of its normal form: two keys are one exactly if these are equal.

    `types`: of its columns, the driver's classes. `partition`: the places of the columns that are compared by bytes.
    """

    def __init__(self, types: Sequence[Any], partition: Collection[int]) -> None:
        self._normal = [
            None if place in partition else _normal_form(cql_type) for place, cql_type in enumerate(types)
        ]

    @property
    def respelled(self) -> bool:
        """Whether one key can have different bytes."""
        return any(self._normal)

    def normalises(self, place: int) -> bool:
        """Whether different bytes can be equal in the column at that place."""
        return self._normal[place] is not None

    def normal(self, place: int, cell: bytes) -> bytes:
        """The normal form of a cell of the column at that place."""
        form = self._normal[place]
        return form(cell) if form else cell

    def of(self, key: Sequence[bytes | None]) -> RawKey:
        """The normal form of a key's cells, none of them null."""
        if len(key) != len(self._normal):
            raise ValueError(f"a key of {len(key)} cells for {len(self._normal)} columns")
        return tuple(self.normal(place, cell or b"") for place, cell in enumerate(key))


def _normal_form(cql_type: Any) -> Normalise | None:
    """What makes equal values of the type equal in bytes, or None where they always are."""
    simple = {
        cqltypes.DecimalType: _decimal,
        cqltypes.IntegerType: _varint,
        cqltypes.FloatType: _nan_of(">f"),
        cqltypes.DoubleType: _nan_of(">d"),
        cqltypes.BooleanType: _boolean,
    }
    for known, normal in simple.items():
        if issubclass(cql_type, known):
            return normal
    if issubclass(cql_type, cqltypes.FrozenType | cqltypes.ReversedType):
        return _normal_form(cql_type.subtypes[0])
    if issubclass(cql_type, cqltypes.TupleType):
        return _tuple_of([_normal_form(each) for each in cql_type.subtypes])
    # By name: store.cql.decoding has classes of its own for sets and maps.
    if cql_type.cassname in _COLLECTIONS:
        return _elements_of([_normal_form(each) for each in cql_type.subtypes])
    if issubclass(cql_type, cqltypes.VectorType):
        return _vector_of(_normal_form(cql_type.subtype), cql_type.subtype.serial_size())
    return None


def _decimal(cell: bytes) -> bytes:
    """[int32 scale][varint]: the value without trailing zeros."""
    if len(cell) < 5:
        return cell
    scale, digits = int.from_bytes(cell[:4], "big", signed=True), int.from_bytes(cell[4:], "big", signed=True)
    if digits == 0:
        return bytes(4)
    while digits % 10 == 0:
        digits, scale = digits // 10, scale - 1
    # A scale below -2^31 does not fit its four bytes.
    return scale.to_bytes(8, "big", signed=True) + _shortest(digits)


def _varint(cell: bytes) -> bytes:
    return _shortest(int.from_bytes(cell, "big", signed=True)) if cell else cell


def _shortest(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _nan_of(form: str) -> Normalise:
    size, nan = struct.calcsize(form), struct.pack(form, float("nan"))

    def normal(cell: bytes) -> bytes:
        if len(cell) != size:
            return cell
        (value,) = struct.unpack(form, cell)
        return nan if value != value else cell  # noqa: PLR0124 (NaN alone differs from itself)

    return normal


def _boolean(cell: bytes) -> bytes:
    return bytes([any(cell)]) if cell else cell


def _tuple_of(components: Sequence[Normalise | None]) -> Normalise:
    def normal(cell: bytes) -> bytes:
        parts = _parts(cell)
        while parts and parts[-1] is None:
            parts.pop()
        return b"".join(_sized(part, how) for part, how in zip(parts, components, strict=False))

    return normal


def _elements_of(kinds: Sequence[Normalise | None]) -> Normalise | None:
    if not any(kinds):
        return None

    def normal(cell: bytes) -> bytes:
        parts = _parts(cell[4:])
        return cell[:4] + b"".join(_sized(part, kinds[at % len(kinds)]) for at, part in enumerate(parts))

    return normal


def _vector_of(element: Normalise | None, width: int | None) -> Normalise | None:
    """Elements of that width one after the other; if it varies, each behind its length, an unsigned vint
    (org.apache.cassandra.db.marshal.VectorType, VIntCoding)."""
    if element is None:
        return None

    def normal(cell: bytes) -> bytes:
        found, at = b"", 0
        while at < len(cell):
            size = width
            if size is None:
                size, taken = uvint_unpack(cell[at:])
                at += taken
            found += _sized(cell[at : at + size], element)
            at += size
        return found

    return normal


def _parts(cell: bytes) -> list[bytes | None]:
    """The [int32 length][bytes] one after the other, None for a length below zero."""
    parts: list[bytes | None] = []
    at = 0
    while at + 4 <= len(cell):
        length = int.from_bytes(cell[at : at + 4], "big", signed=True)
        at += 4
        parts.append(cell[at : at + length] if length >= 0 else None)
        at += max(length, 0)
    return parts


def _sized(part: bytes | None, normal: Normalise | None) -> bytes:
    if part is None:
        return _NULL
    changed = normal(part) if normal else part
    return len(changed).to_bytes(4, "big") + changed
