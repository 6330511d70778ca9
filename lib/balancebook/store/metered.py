"""Running queries as a Reader does, and noting what they cost: statements, pages, rows, bytes, traces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cassandra.cluster import ResponseFuture, ResultSet, Session
from cassandra.query import BoundStatement

from balancebook.store.cql.decoding import decode
from balancebook.store.cql_text import VALUE_PROTOCOL
from balancebook.store.raw import page_of
from balancebook.store.reader import Reader, Row

# Native protocol v4 and v5, section 2.2: the body of an answer to a traced request begins with a [uuid].
_TRACE_ID_BYTES = 16


@dataclass(slots=True)
class Usage:
    """What was asked and what came back meanwhile.

    statements: the CQL of each, in the order of sending. pages, rows: that came back. bytes: of the pages' bodies as
    the server made them (rows and metadata), before the protocol's framing and compression. traces: the sessions in
    system_traces, one a page, if traces were asked for.
    """

    statements: list[str] = field(default_factory=list)
    pages: int = 0
    rows: int = 0
    bytes: int = 0
    traces: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Page:
    """What a caller of Reader.wait looks at of the driver's result."""

    current_rows: list[Row]
    paging_state: bytes | None


class MeteredReader(Reader):
    """Another face of a Reader, on its connections and with its prepared statements, for one thread at a time.

    Rows are those that the Reader gives; only frame() and pages() are not for it, since they need more of a result.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader.profile, reader._session)
        self._source = reader
        self._prepared, self._lock = reader._prepared, reader._lock
        self._usage = Usage()
        self._tracing = False

    @contextmanager
    def metering(self, *, trace: bool = False) -> Iterator[Usage]:
        """The Usage of what is read inside. `trace`: the server traces it, which makes it slower."""
        self._usage, self._tracing = Usage(), trace
        try:
            yield self._usage
        finally:
            self._tracing = False

    def send(
        self,
        bound: BoundStatement,
        state: bytes | None = None,
        *,
        timeout_s: float | None = None,
        on: Any = None,
        raw: bool = True,  # noqa: ARG002  (always)
        trace: bool = False,  # noqa: ARG002  (as metering says)
    ) -> ResponseFuture:
        """As Reader.send; the answer is always raw, so that its bytes can be counted."""
        if state is None:
            self._usage.statements.append(bound.prepared_statement.query_string)
        return super().send(bound, state, timeout_s=timeout_s, on=on, raw=True, trace=self._tracing)

    def wait(self, future: ResponseFuture, what: str) -> ResultSet:
        """As Reader.wait, and counts the page. Raises StoreError."""
        result = super().wait(future, what)
        page = page_of(result, what)
        # The driver has no ids, not even none, of what was not traced.
        traces = future.get_query_trace_ids() if self._tracing else []
        self._usage.pages += 1
        self._usage.rows += page.rows
        self._usage.bytes += page.body.nbytes - _TRACE_ID_BYTES * len(traces)
        self._usage.traces += traces
        rows = [decode(page.types, cells, VALUE_PROTOCOL) for cells in page.cells()]
        return _Page(rows, result.paging_state)

    def _raw_session(self) -> Session:
        return self._source._raw_session()
