"""Pages of rows as the server sent them: not decoded, since decoding each row costs more than everything else.

The driver's own NumpyProtocolHandler (3.30.1) gives no rows at all under numpy 2, and does not say so; here a page that
is not understood is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cassandra.cluster import ResponseFuture, ResultSet, Session
from cassandra.protocol import ResultMessage, _ProtocolHandler
from cassandra.query import BoundStatement

from balancebook.store.cql import decoding
from balancebook.store.cql_text import VALUE_PROTOCOL
from balancebook.store.errors import StoreError, translate
from balancebook.store.reader import Reader, doing

# Measured with pages of 5,000 rows of 68 bytes: the driver's 4 KiB takes 90 reads a page.
_BUFFER_BYTES = 256 * 1024
_NO_METADATA = 0x0004

RawCells = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class RawPage:
    """One page. `body[start:]` holds `rows` rows, each of them [int32 length][bytes] for every column, -1 for null.

    body: uint8, read-only, at least 8 bytes before `start`. names, types: of the columns, as the server declares them;
    types are the driver's classes, whose from_binary(bytes, protocol_version) decodes a cell.
    """

    rows: int
    body: npt.NDArray[np.uint8]
    start: int
    names: tuple[str, ...]
    types: tuple[Any, ...]

    def cells(self) -> Iterator[RawCells]:
        """The rows, each as its cells' bytes, None for null. Raises StoreError if the page is not as it says."""
        data, at = self.body.tobytes(), self.start
        for _ in range(self.rows):
            row: list[bytes | None] = []
            for _ in self.names:
                length = int.from_bytes(data[at : at + 4], "big", signed=True)
                row.append(None if length < 0 else data[at + 4 : at + 4 + length])
                at += 4 + max(length, 0)
            yield tuple(row)
        if at != len(data):
            raise StoreError(
                "protocol", f"A page of {self.rows} rows does not end with them.", "Run it again."
            )


def decode(types: Sequence[Any], row: Sequence[bytes | None]) -> tuple[Any, ...]:
    """A row's cells, or the first of them, as the reading session decodes them.

    What cannot be decoded (a timestamp of the year 10000) stays bytes: store.cql.decoding.Undecoded. So does an empty
    number or time, which the driver takes for null.
    """
    return tuple(_decoded(kind, cell) for kind, cell in zip(types, row, strict=False))


def _decoded(cql_type: Any, cell: bytes | None) -> Any:
    value = decoding.decode_cell(cql_type, cell, VALUE_PROTOCOL)
    return decoding.Undecoded(b"") if value is None and cell is not None else value


def encode(cql_type: Any, value: Any) -> bytes:
    """The bytes of a cell of that type, one of the driver's, as `raw_pages` takes them `serialized`."""
    return decoding.encode(cql_type, value, VALUE_PROTOCOL)


class _RawResult(decoding.PlainTypes, ResultMessage):  # type: ignore[misc]
    def recv_results_rows(
        self, f: Any, _protocol_version: int, user_type_map: Any, result_metadata: Any, *_: Any
    ) -> None:
        """What the driver calls for a result with rows. Raises nothing: it would cost the connection."""
        whole = f.getvalue()
        flags, count = struct.unpack_from(">ii", whole, f.tell())
        self.recv_results_metadata(f, user_type_map)
        metadata = (result_metadata if flags & _NO_METADATA else self.column_metadata) or ()
        at = f.tell()
        rows = int.from_bytes(whole[at : at + 4], "big") if len(metadata) == count else -1
        names, types = tuple(each[2] for each in metadata), tuple(each[3] for each in metadata)
        body = np.frombuffer(whole, np.uint8)
        self.column_names, self.column_types = names, types
        self.parsed_rows = [RawPage(rows, body, at + 4, names, types)]


class _RawHandler(_ProtocolHandler):  # type: ignore[misc]
    message_types_by_opcode = {  # noqa: RUF012 (as the driver has it)
        **_ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: _RawResult,
    }


def open_raw_session(session: Session) -> Session:
    """Another session of the same cluster, whose pages are RawPages. It is closed with the cluster."""
    cluster = session.cluster
    usual = cluster.connection_class
    cluster.connection_class = type("WideConnection", (usual,), {"in_buffer_size": _BUFFER_BYTES})
    try:
        raw = cluster.connect()
    except Exception as error:
        raise translate(error, what="opening connections for a scan") from error
    finally:
        cluster.connection_class = usual
    raw.client_protocol_handler = _RawHandler
    raw._default_timeout = session._default_timeout
    return raw


def raw_pages(  # noqa: PLR0913 (keywords with defaults, each of them used)
    reader: Reader,
    cql: str,
    params: Sequence[object] = (),
    *,
    page_size: int = 5000,
    rows_of_next: Callable[[RawPage], int] | None = None,
    consistency: str | None = None,
    serialized: bool = False,
    wait: Callable[[int], None] | None = None,
) -> Iterator[RawPage]:
    """The pages of a SELECT, `page_size` rows each at the most; the next one is asked for while one is worked on.

    `rows_of_next` says by each page how many rows the next one may have; without it that is `page_size`.
    The first is asked for at once, so that many such statements can be in flight from one thread. `wait` is called
    before the first page, with 0, and with each page's rows before the next page is asked for, after the last one too:
    it may take its time (see store.pace). `serialized`: the parameters are cells as the server sent them, and are sent
    back as they are. The request timeout applies to each page. Raises StoreError, also of kind protocol for an answer
    whose columns are not known.
    """
    bound = reader.bind(cql, params, consistency, serialized=serialized)
    bound.fetch_size = page_size
    wait = wait or _at_once
    wait(0)
    return _pages(reader, bound, reader.send(bound, raw=True), cql, wait, rows_of_next)


def _pages(
    reader: Reader,
    bound: BoundStatement,
    future: ResponseFuture,
    cql: str,
    wait: Callable[[int], None],
    rows_of_next: Callable[[RawPage], int] | None,
) -> Iterator[RawPage]:
    while True:
        result = reader.wait(future, doing(cql))
        page = page_of(result, doing(cql))
        wait(page.rows)
        if rows_of_next:
            bound.fetch_size = rows_of_next(page)
        if state := result.paging_state:
            future = reader.send(bound, state, raw=True)
        yield page
        if not state:
            return


def page_of(result: ResultSet, what: str) -> RawPage:
    """The page that a raw session answered with; the result has it no more. Raises StoreError if its columns are not
    known."""
    # Taken out: the driver's futures lie in cycles, and would keep it until garbage is collected, or a timer is up.
    page = result.current_rows.pop()
    if not isinstance(page, RawPage) or page.rows < 0:
        raise StoreError(
            "protocol",
            f"{what}: the server's answer does not say what its columns are.",
            "Run it again; if it stays so, report the server's version.",
        )
    return page


def _at_once(_rows: int) -> None:
    """The wait of who need not wait."""
