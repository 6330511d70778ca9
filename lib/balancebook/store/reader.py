"""The reading session: SELECT only, every page under the request timeout, column types as the server declares them."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from cassandra import ConsistencyLevel
from cassandra.cluster import ResponseFuture, ResultSet, Session
from cassandra.query import BoundStatement, PreparedStatement

from balancebook.settings import Profile
from balancebook.store import schema
from balancebook.store.connect import close, connect, learn_replication
from balancebook.store.cql import decoding
from balancebook.store.dialects import ServerInfo, identify
from balancebook.store.errors import StoreError, missing_name, translate
from balancebook.store.select_only import require_select

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[Any, ...]
RING = 2**64


@dataclass(frozen=True, slots=True)
class Host:
    """A member of the ring as the driver knows it now. `up` is None where the driver does not connect to it."""

    address: str
    host_id: UUID
    dc: str
    version: str
    up: bool | None


class Pending:
    """One statement under way. `rows()` waits for it."""

    def __init__(self, reader: Reader, future: ResponseFuture, bound: BoundStatement, what: str) -> None:
        self._reader, self._future, self._bound, self._what = reader, future, bound, what

    def rows(self) -> list[Row]:
        """All rows, later pages too (each under the request timeout). Raises StoreError."""
        result = self._reader.wait(self._future, self._what)
        rows = list(result.current_rows)
        while state := result.paging_state:
            result = self._reader.wait(self._reader.send(self._bound, state), self._what)
            rows += result.current_rows
        return rows


class Reader:
    """Reads one cluster; safe to share between threads. Refuses, unsent, every statement but a single SELECT.

    Parameters are bound to `?` in statements prepared once and kept. Every method raises StoreError, and nothing else,
    for whatever goes wrong between here and the server. A cell that cannot be decoded comes as
    store.cql.decoding.Undecoded; sets and maps come as tuples.
    """

    def __init__(self, profile: Profile, session: Session) -> None:
        self.profile = profile
        self._session = session
        session.client_protocol_handler = decoding.ReadingHandler
        self._prepared: dict[str, PreparedStatement] = {}
        self._lock = threading.Lock()
        self._raw: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session. Harmless when it has ended already."""
        close(self._session)

    def rows(
        self,
        cql: str,
        params: Sequence[object] = (),
        *,
        consistency: str | None = None,
        timeout_s: float | None = None,
    ) -> list[Row]:
        """All rows of a SELECT, as tuples in the order of its columns. `consistency` by name, else LOCAL_ONE."""
        bound = self.bind(cql, params, consistency)
        what = doing(cql)
        return Pending(self, self.send(bound, timeout_s=timeout_s), bound, what).rows()

    def frame(self, cql: str, params: Sequence[object] = ()) -> pd.DataFrame:
        """All rows of a SELECT, one column each, dtypes by the types that the server declares (see frames.to_frame)."""
        # pandas takes 0.3 s to import, which a command that only opens the database need not wait for.
        from balancebook.store.frames import to_frame  # noqa: PLC0415

        bound = self.bind(cql, params, None)
        what = doing(cql)
        result = self.wait(self.send(bound), what)
        names, types = result.column_names, result.column_types
        rows = list(result.current_rows)
        while state := result.paging_state:
            result = self.wait(self.send(bound, state), what)
            rows += result.current_rows
        return to_frame(rows, names, [column.typename for column in types])

    def pages(self, cql: str, params: Sequence[object] = (), *, page_size: int = 5000) -> Iterator[list[Row]]:
        """The rows of a SELECT page by page, only one held: `page_size` rows each at the most, 0 for all in one."""
        bound = self.bind(cql, params, None)
        bound.fetch_size = page_size
        what, state = doing(cql), None
        while True:
            result = self.wait(self.send(bound, state), what)
            yield list(result.current_rows)
            state = result.paging_state
            if not state:
                return

    def execute_async(self, cql: str, params: Sequence[object] = ()) -> Pending:
        """Send a SELECT and return at once; `.rows()` of the answer waits."""
        bound = self.bind(cql, params, None)
        return Pending(self, self.send(bound), bound, doing(cql))

    def rows_on(self, host: Host, cql: str, params: Sequence[object] = ()) -> list[Row]:
        """As rows(), every page asked of `host` itself: for the tables that each node keeps for itself."""
        bound, what, state = self.bind(cql, params, None), f"{doing(cql)} on {host.address}", None
        rows: list[Row] = []
        while True:
            result = self.wait(self.send(bound, state, on=self._driver_host(host)), what)
            rows += result.current_rows
            state = result.paging_state
            if not state:
                return rows

    def hosts(self) -> list[Host]:
        """The current members of the ring, ordered by address."""
        known = self._session.cluster.metadata.all_hosts()
        hosts = [Host(h.address, h.host_id, h.datacenter, h.release_version, h.is_up) for h in known]
        return sorted(hosts, key=lambda host: host.address)

    def token_spans(self, keyspace: str) -> dict[UUID, int]:
        """How many of the 2^64 tokens of `keyspace` each host has a replica of; empty if there is no such keyspace."""
        try:
            learn_replication(self._session, keyspace)
        except Exception as error:
            raise translate(error, what=f"reading the replication of {keyspace}") from error
        token_map = self._session.cluster.metadata.token_map
        ring = token_map.ring if token_map else []
        spans: dict[UUID, int] = {}
        for token, before in zip(ring, [*ring[-1:], *ring[:-1]], strict=True):
            # The only token of a ring spans all of it.
            span = (token.value - before.value) % RING or RING
            for host in token_map.get_replicas(keyspace, token):
                spans[host.host_id] = spans.get(host.host_id, 0) + span
        return spans

    @cached_property
    def server(self) -> ServerInfo:
        """Product, version and cluster name of the server."""
        return identify(self)

    def send(
        self,
        bound: BoundStatement,
        state: bytes | None = None,
        *,
        timeout_s: float | None = None,
        on: Any = None,
        raw: bool = False,
        trace: bool = False,
    ) -> ResponseFuture:
        """Start one page of a statement that passed the gate. `raw`: the answer is a RawPage (see store.raw).

        `trace`: the server writes down what it does for it, in its own system_traces (see store.traces).
        """
        limit = timeout_s or self.profile.limits.request_timeout_s
        session = self._raw_session() if raw else self._session
        return session.execute_async(bound, timeout=limit, paging_state=state, host=on, trace=trace)

    def wait(self, future: ResponseFuture, what: str) -> ResultSet:
        """One page's answer. Raises StoreError."""
        try:
            return future.result()
        except Exception as error:
            raise self._told(error, what) from error

    def bind(
        self, cql: str, params: Sequence[object], consistency: str | None = None, *, serialized: bool = False
    ) -> BoundStatement:
        """The statement, prepared once, with its parameters; `serialized` ones are bytes already. Raises StoreError."""
        prepared = self._prepare(cql)
        bound = BoundStatement(prepared)
        try:
            if serialized:
                bound.values = list(params)
            else:
                decoding.bind(bound, params)
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise StoreError(
                "protocol",
                f"{doing(cql)}: a parameter does not fit: {error}.",
                "Give values of the columns' types.",
            ) from error
        if consistency is not None:
            bound.consistency_level = ConsistencyLevel.name_to_value[consistency]
        return bound

    def column_types(self, cql: str) -> tuple[Any, ...]:
        """The types of a SELECT's columns: the driver's classes (see store.raw.decode). Nothing is read."""
        metadata = self._prepare(cql).result_metadata
        if not metadata:
            raise StoreError(
                "protocol",
                f"{doing(cql)}: the server does not say what the columns are.",
                "Report the server's version.",
            )
        return tuple(column[3] for column in metadata)

    def _raw_session(self) -> Session:
        with self._lock:
            if self._raw is None:
                # numpy takes 0.1 s to import, which a command that scans nothing need not wait for.
                from balancebook.store.raw import open_raw_session  # noqa: PLC0415

                self._raw = open_raw_session(self._session)
            return self._raw

    def _prepare(self, cql: str) -> PreparedStatement:
        require_select(cql)
        with self._lock:
            if cql in self._prepared:
                return self._prepared[cql]
        try:
            prepared = decoding.with_plain_types(self._session.prepare(cql))
        except Exception as error:
            raise self._told(error, doing(cql)) from error
        with self._lock:
            return self._prepared.setdefault(cql, prepared)

    def _told(self, error: Exception, what: str) -> StoreError:
        told = translate(error, what=what)
        missing = missing_name(str(error)) if told.kind == "missing" else None
        if missing and (hint := schema.suggest(self, *missing)):
            told.remedy = f"{hint.strip()} {told.remedy}"
        return told

    def _driver_host(self, host: Host) -> Any:
        for known in self._session.cluster.metadata.all_hosts():
            if known.host_id == host.host_id:
                return known
        raise StoreError(
            "unreachable", f"Host {host.address} has left the ring.", "Read the list of hosts again."
        )


def open_reader(profile: Profile) -> Reader:
    """A reading session to the profile's cluster; a context manager. Raises StoreError if it cannot be opened."""
    return Reader(profile, connect(profile))


def doing(cql: str) -> str:
    """What a statement reads, for messages: the table after FROM."""
    words = cql.replace('"', "").split()
    tables = [after for word, after in pairwise(words) if word.upper() == "FROM"]
    return f"reading {tables[0]}" if tables else "reading"
