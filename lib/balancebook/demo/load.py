"""Loading a demo exchange: fast, and so that an interrupted load is finished and a finished one is not repeated.

What a keyspace was loaded with stands in `balancebook_demo.loaded`, begun before the first row and marked complete
after the last. The rows depend on nothing but the exchange and its size, so a load that was cut off is simply
written again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from cassandra import OperationTimedOut, WriteFailure, WriteTimeout
from cassandra.cluster import Session
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from balancebook.demo import wallets
from balancebook.demo.generate import DEFAULT, LedgerEntry, SettledTrade, Size, generate
from balancebook.demo.schema import TRADING, WALLETS, Exchange, create_schema
from balancebook.errors import BalancebookError, UsageError
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.count import count_rows
from balancebook.store.errors import translate
from balancebook.store.health import view_health
from balancebook.store.names import quote
from balancebook.store.reader import open_reader
from balancebook.store.schema import read_table, read_view

Progress = Callable[[str], None]

_MARKERS = """CREATE TABLE IF NOT EXISTS balancebook_demo.loaded (
    keyspace_name text PRIMARY KEY, table_id uuid, digest text, rows bigint, trades bigint, complete boolean)"""
_MARKER_KEYSPACE = """CREATE KEYSPACE IF NOT EXISTS balancebook_demo
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"""

_ROWS_A_BATCH = 50  # More than 100 updates of a view in one batch have lost rows in the field.
_TRADES_A_BATCH = 10  # Each is a partition of its own; the server warns above 10 in a batch.
_BUFFERED = 100_000  # Against 40,000: half as many batches, a fifth less work for the server.
_IN_FLIGHT = 48
_BUSY = (WriteTimeout, WriteFailure, OperationTimedOut)
_ATTEMPTS = 5
_PATIENCE_S = 30.0  # of one write or schema change: the server may be starting, or busy with others
_BUILD_S = 300.0
_TELL_EVERY_S = 5.0


class LoadError(BalancebookError):
    """The demo data could not be loaded completely."""

    code = "load"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the keyspace holds: the number of ledger rows and trades, and whether this call wrote them."""

    rows: int
    trades: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Data:
    """What is loaded: the records of an exchange, entries and trades, whose fields are the columns, an entry's first
    two its partition key. digest: names them; rows: about how many entries."""

    exchange: Exchange
    entry: type[NamedTuple]
    trade: type[NamedTuple]
    records: Callable[[], Iterable[Any]]
    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Marker:
    table_id: Any
    digest: str
    rows: int
    trades: int
    complete: bool


def ensure_loaded(profile: Profile, *, size: Size = DEFAULT, progress: Progress = lambda _: None) -> Loaded:
    """Make the profile's keyspace hold the demo exchange of this size, with its view built.

    Whatever is missing of the schema is created. Returns at once when the same data are loaded already. Raises
    UsageError if the profile is not the embedded database, or if the keyspace holds rows that are not these (nothing
    is then touched), StoreError if the database fails, LoadError if rows are missing afterwards.
    """
    data = _Data(TRADING, LedgerEntry, SettledTrade, lambda: generate(size), size.digest(), size.rows)
    return _ensure(profile, data, progress)


def ensure_wallets_loaded(profile: Profile, *, progress: Progress = lambda _: None) -> Loaded:
    """As `ensure_loaded`, of the second demo exchange."""
    entry, trade = wallets.JournalEntry, wallets.Fill
    data = _Data(WALLETS, entry, trade, wallets.generate, wallets.digest(), wallets.ENTRIES)
    return _ensure(profile, data, progress)


def _ensure(profile: Profile, data: _Data, progress: Progress) -> Loaded:
    if not profile.embedded:
        raise UsageError(
            f"The demo data are not loaded into profile {profile.name!r}: it is not the embedded database.",
            "Use the profile embedded, or embedded_wallets.",
            parameter="profile",
        )
    limits = profile.limits.model_copy(update={"request_timeout_s": _PATIENCE_S})
    patient = profile.model_copy(update={"limits": limits})
    session = connect(patient)
    try:
        return _Loader(session, patient, data, progress).ensure()
    except BalancebookError:
        raise
    except Exception as error:
        raise translate(error, what=f"loading the demo data into {profile.keyspace}") from error
    finally:
        close(session)


class _Loader:
    def __init__(self, session: Session, profile: Profile, data: _Data, progress: Progress) -> None:
        self.session, self.profile, self.data, self.progress = session, profile, data, progress
        self.exchange = data.exchange
        self.keyspace, self.quoted = profile.keyspace, quote(profile.keyspace)

    def ensure(self) -> Loaded:
        marker, table_id = self.marker(), self.table_id()
        order, ledger = self.exchange.order, self.exchange.ledger
        empty = table_id is None or not self.rows(f"SELECT {order} FROM {self.quoted}.{ledger} LIMIT 1")
        ours = marker if marker and (marker.table_id, marker.digest) == (table_id, self.data.digest) else None
        if not empty and ours is None:
            raise self.something_else(marker, table_id)
        if ours and ours.complete and not empty:
            self.create_schema()
            self.wait_until_built()
            return Loaded(ours.rows, ours.trades, fresh=False)
        return self.load()

    def load(self) -> Loaded:
        self.create_schema(indexes=False)
        self.change(_MARKER_KEYSPACE)
        self.change(_MARKERS)
        self.mark(0, 0, complete=False)
        rows, trades = self.write_all()
        # Indexes are built over the loaded table: kept up row by row they took 45 CPU seconds, not 37, in a trial.
        self.create_schema()
        self.wait_until_built()
        self.progress("counting what was loaded")
        names = self.exchange
        self.require_counts({names.ledger: rows, names.view: rows, names.trades: trades})
        self.mark(rows, trades, complete=True)
        return Loaded(rows, trades, fresh=True)

    def create_schema(self, *, indexes: bool = True) -> None:
        create_schema(self.change, self.keyspace, indexes=indexes, exchange=self.exchange)

    def something_else(self, marker: _Marker | None, table_id: Any) -> UsageError:
        if marker is None or marker.table_id != table_id:
            what = "rows that this demo did not load"
        else:
            what = f"the demo data of another size or seed ({marker.rows} rows)"
            what = what if marker.complete else "an unfinished load of another size or seed"
        return UsageError(
            f"Keyspace {self.keyspace} holds {what}; they are left as they are.",
            f"To replace them: DROP KEYSPACE {self.quoted}; else load into another keyspace.",
            parameter="keyspace",
        )

    def write_all(self) -> tuple[int, int]:
        """Write every record; the numbers of ledger rows and of trades."""
        pipeline, rows, trades, told = _Pipeline(self.session), 0, 0, time.monotonic()
        data, names = self.data, self.exchange
        kinds: tuple[tuple[type[Any], str], ...] = ((data.entry, names.ledger), (data.trade, names.trades))
        prepared = {kind: self.prepare(kind, table) for kind, table in kinds}
        for records in _batches(data.records(), data.trade):
            pipeline.write(_batch(prepared[type(records[0])], records))
            is_entry = isinstance(records[0], data.entry)
            rows, trades = rows + len(records) * is_entry, trades + len(records) * (not is_entry)
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                self.progress(f"loading the demo exchange: {rows} of about {data.rows} ledger rows")
        pipeline.finish()
        return rows, trades

    def prepare(self, kind: type[Any], table: str) -> PreparedStatement:
        columns, marks = ", ".join(kind._fields), ", ".join("?" * len(kind._fields))
        return self.session.prepare(f"INSERT INTO {self.quoted}.{table} ({columns}) VALUES ({marks})")

    def wait_until_built(self) -> None:
        """Until the view is built on every node and all indexes can be queried; at once if nothing was missing."""
        deadline, told, view = time.monotonic() + _BUILD_S, False, self.exchange.view
        with open_reader(self.profile) as reader:
            while not (view_health(reader, self.keyspace, view).state == "healthy" and self.indexed()):
                if time.monotonic() > deadline:
                    raise LoadError(
                        f"The view {self.keyspace}.{view} or an index is not built after {_BUILD_S:.0f} s.",
                        "See the database's log, and run the same command again.",
                    )
                if not told:
                    self.progress("waiting until the view and the indexes are built")
                told = True
                time.sleep(0.05)

    def indexed(self) -> bool:
        """A node names its built indexes in system."IndexInfo", whose table_name holds the keyspace."""
        built = self.rows('SELECT index_name FROM system."IndexInfo" WHERE table_name = %s', (self.keyspace,))
        return {(index,) for index in self.exchange.indexes} <= set(built)

    def require_counts(self, expected: dict[str, int]) -> None:
        with open_reader(self.profile) as reader:
            for name, rows in expected.items():
                table = read_table(reader, self.keyspace, name) or read_view(reader, self.keyspace, name)
                found = count_rows(reader, table) if table else 0
                if found != rows:
                    raise LoadError(
                        f"{self.keyspace}.{name} holds {found} rows after the load, not {rows}.",
                        f"DROP KEYSPACE {self.quoted}, and run the same command again.",
                    )

    def table_id(self) -> Any:
        """The ledger table's id, or None if it is not there. A table dropped and created anew has another one."""
        cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
        return next((table for (table,) in self.rows(cql, (self.keyspace, self.exchange.ledger))), None)

    def marker(self) -> _Marker | None:
        cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = 'balancebook_demo' AND table_name = 'loaded'"
        if not self.rows(cql):
            return None
        cql = "SELECT table_id, digest, rows, trades, complete FROM balancebook_demo.loaded WHERE keyspace_name = %s"
        return next((_Marker(*row) for row in self.rows(cql, (self.keyspace,))), None)

    def mark(self, rows: int, trades: int, *, complete: bool) -> None:
        self.session.execute(
            """INSERT INTO balancebook_demo.loaded (keyspace_name, table_id, digest, rows, trades, complete)
               VALUES (%s, %s, %s, %s, %s, %s)""",
            (self.keyspace, self.table_id(), self.data.digest, rows, trades, complete),
        )

    def rows(self, cql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return list(self.session.execute(cql, parameters))

    def change(self, cql: str) -> None:
        self.session.execute(cql)


def _batches(records: Iterable[Any], trade: type[Any]) -> Iterator[list[Any]]:
    """The records in lists for one batch each: entries of one account, or trades. At most _BUFFERED entries wait."""
    accounts: defaultdict[tuple[Any, Any], list[Any]] = defaultdict(list)
    trades: list[Any] = []
    waiting = 0
    for record in records:
        if isinstance(record, trade):
            trades.append(record)
            if len(trades) == _TRADES_A_BATCH:
                yield trades
                trades = []
            continue
        account = record[:2]
        accounts[account].append(record)
        waiting += 1
        if len(accounts[account]) == _ROWS_A_BATCH:
            waiting -= _ROWS_A_BATCH
            yield accounts.pop(account)
        if waiting >= _BUFFERED:
            yield from accounts.values()
            accounts.clear()
            waiting = 0
    yield from accounts.values()
    if trades:
        yield trades


def _batch(prepared: PreparedStatement, records: Iterable[Any]) -> BatchStatement:
    batch = BatchStatement(BatchType.UNLOGGED)
    for record in records:
        batch.add(prepared, record)
    return batch


class _Pipeline:
    """A bounded number of writes in flight. What a busy server drops is written again (the same row twice is one row);
    the first write that fails for good ends it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.slots = threading.Semaphore(_IN_FLIGHT)
        self.error: Exception | None = None

    def write(self, batch: BatchStatement) -> None:
        self.slots.acquire()
        if self.error:
            raise self.error
        self._send(batch, attempt=1)

    def finish(self) -> None:
        """Wait for all that is in flight."""
        for _ in range(_IN_FLIGHT):
            self.slots.acquire()
        if self.error:
            raise self.error

    def _send(self, batch: BatchStatement, attempt: int) -> None:
        def failed(error: Exception) -> None:
            if isinstance(error, _BUSY) and attempt < _ATTEMPTS:
                self._send(batch, attempt + 1)
                return
            self.error = error
            self.slots.release()

        self.session.execute_async(batch).add_callbacks(lambda _: self.slots.release(), failed)
