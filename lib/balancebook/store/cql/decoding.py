"""How a reading session decodes rows: a cell that cannot be decoded becomes a marker and costs nothing else.

cassandra-driver 3.30.1 closes the connection when one cell of an answer cannot be decoded: a timestamp beyond the year
9999, a time of day of 25 hours, a decimal of 5,000 digits, text that is not UTF-8. Everything else on that connection
then fails as well, as if the server were down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, TypeVar

from cassandra.cqltypes import MapType, SetType, UserType, _ParameterizedType, _SimpleParameterizedType
from cassandra.protocol import ProtocolHandler, ResultMessage
from cassandra.query import BoundStatement, PreparedStatement

from balancebook.store.cql.values import milliseconds, pairs_of
from balancebook.store.errors import StoreError

T = TypeVar("T")
# Of the native protocol: collections and their elements are encoded alike from version 3 on.
_LENGTH_BYTES = 4
_SHOWN = 60


class Undecoded(bytes):
    """A cell that the driver cannot decode, as the server sent it. Its text is 0x and hexadecimal digits."""

    def __str__(self) -> str:
        return f"0x{self.hex()}"

    __repr__ = __str__


def readable(value: T, what: str) -> T:
    """The value itself, for who needs a number or a time. Raises StoreError if it could not be decoded.

    `what` begins the message: "trading.ledger: the amount".
    """
    if isinstance(value, Undecoded):
        raise StoreError(
            "protocol",
            f"{what} cannot be read: its value is {_short(str(value))}.",
            "Look at the row, and correct its value.",
        )
    return value


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class _SetAsTuple(_SimpleParameterizedType):  # type: ignore[misc]
    """A set as a tuple in the server's order: it can be hashed, and is sent back as it came.

    The driver's own SortedSet sorts again, and takes 0.0 and -0.0 for one.
    """

    typename, cassname, num_subtypes, adapter = SetType.typename, SetType.cassname, 1, tuple


class _MapAsPairs(_ParameterizedType):  # type: ignore[misc]
    """A map as a tuple of (key, value) in the server's order, for the same reasons.

    The driver's own OrderedMap encodes a key again to look up its value, and does not find timestamps of some years.
    """

    typename, cassname, num_subtypes = MapType.typename, MapType.cassname, 2

    @classmethod
    def deserialize_safe(cls, data: bytes, version: int) -> tuple[tuple[Any, Any], ...]:
        """As the driver calls it."""
        flat: list[Any] = []
        at = _LENGTH_BYTES
        for number in range(2 * _length(data, 0)):
            size, at = _length(data, at), at + _LENGTH_BYTES
            item = None if size < 0 else data[at : at + size]
            flat.append(cls.subtypes[number % 2].from_binary(item, version))
            at += max(size, 0)
        return tuple(zip(flat[::2], flat[1::2], strict=True))

    @classmethod
    def serialize_safe(cls, pairs: Any, version: int) -> bytes:
        """As the driver calls it; of a mapping too."""
        items = pairs_of(pairs)
        cells = [
            kind.to_binary(each, version)
            for pair in items
            for kind, each in zip(cls.subtypes, pair, strict=True)
        ]
        return _packed(len(items)) + b"".join(_packed(len(cell)) + cell for cell in cells)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + _LENGTH_BYTES], "big", signed=True)


def _packed(number: int) -> bytes:
    return number.to_bytes(_LENGTH_BYTES, "big", signed=True)


def decode(types: Sequence[Any], row: Sequence[bytes | None], version: int) -> tuple[Any, ...]:
    """A row's cells, or the first of them, decoded by the driver's types; Undecoded where that fails."""
    return tuple(decode_cell(kind, cell, version) for kind, cell in zip(types, row, strict=False))


def decode_cell(kind: Any, cell: bytes | None, version: int) -> Any:
    """One cell as `decode` has it."""
    try:
        return kind.from_binary(cell, version)
    except Exception:  # noqa: BLE001 (the driver's decoders raise whatever the bytes lead to)
        return cell if cell is None else Undecoded(cell)


def with_plain_types(prepared: PreparedStatement) -> PreparedStatement:
    """The statement, bound and decoded by the same types as the rows: the driver prepares by its own ones."""
    prepared.column_metadata = [
        each._replace(type=_plain(each.type)) for each in prepared.column_metadata or ()
    ]
    prepared.result_metadata = [(*each[:3], _plain(each[3])) for each in prepared.result_metadata or ()]
    return prepared


def _plain(kind: Any) -> Any:
    """A type of the driver's whose sets and maps, at any depth, are tuples."""
    inner = tuple(_plain(each) for each in kind.subtypes)
    if issubclass(kind, SetType):
        return _SetAsTuple.apply_parameters(inner)
    if issubclass(kind, MapType):
        return _MapAsPairs.apply_parameters(inner)
    if inner == tuple(kind.subtypes):
        return kind
    if issubclass(kind, UserType):
        return kind.make_udt_class(kind.keyspace, kind.typename, kind.fieldnames, inner)
    return kind.apply_parameters(inner)


class PlainTypes:
    """Sets and maps as tuples. A mixin, to be named before the driver's class of results.

    It is none itself: the driver registers those, for all sessions.
    """

    @classmethod
    def read_type(cls, f: BytesIO, user_type_map: Any) -> Any:
        """As the driver calls it, for the types within a type too."""
        return _plain(super().read_type(f, user_type_map))  # type: ignore[misc]


class _Rows(PlainTypes, ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]):  # type: ignore[misc]
    parsed_rows: list[tuple[Any, ...]] | None

    def recv_results_rows(
        self, f: BytesIO, version: int, user_type_map: Any, result_metadata: Any, policy: Any
    ) -> None:
        """As the driver calls it; cell by cell only if that fails, since it takes twenty times as long."""
        start = f.tell()
        try:
            super().recv_results_rows(f, version, user_type_map, result_metadata, policy)
        except Exception:  # noqa: BLE001 (as in decode_cell)
            self.parsed_rows = None
        if self.parsed_rows is None:
            f.seek(start)
            self._read_cells(f, version, user_type_map, result_metadata)

    def _read_cells(self, f: BytesIO, version: int, user_type_map: Any, result_metadata: Any) -> None:
        self.recv_results_metadata(f, user_type_map)
        metadata = self.column_metadata or result_metadata
        self.column_names, self.column_types = ([each[place] for each in metadata] for place in (2, 3))
        rows = _length(f.read(_LENGTH_BYTES), 0)
        self.parsed_rows = [
            decode(self.column_types, self.recv_row(f, len(metadata)), version) for _ in range(rows)
        ]


class ReadingHandler(ProtocolHandler):  # type: ignore[misc]
    """What a reading session takes for its `client_protocol_handler`."""

    message_types_by_opcode = {  # noqa: RUF012 (as the driver has it)
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: _Rows,
    }


def encode(kind: Any, value: Any, version: int) -> bytes:
    """A value as the cell that it was decoded from. Raises what the driver raises for a value of another type."""
    return (
        bytes(value) if isinstance(value, Undecoded) else bytes(kind.to_binary(_for_driver(value), version))
    )


def bind(bound: BoundStatement, params: Sequence[Any]) -> None:
    """Bind values as they were decoded; what could not be decoded is sent as it came.

    Raises what the driver raises for values of other types.
    """
    bound.bind([None if isinstance(each, Undecoded) else _for_driver(each) for each in params])
    for place, each in enumerate(params):
        if isinstance(each, Undecoded):
            bound.values[place] = bytes(each)


def _for_driver(value: Any) -> Any:
    """The driver cuts off what a decoded timestamp is short of its millisecond, also within a key's tuples."""
    if isinstance(value, tuple | list):
        return tuple(_for_driver(each) for each in value)
    if isinstance(value, Mapping):
        return {_for_driver(key): _for_driver(item) for key, item in pairs_of(value)}
    return milliseconds(value) if isinstance(value, datetime) else value
