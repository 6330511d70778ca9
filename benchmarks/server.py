"""A database with a ledger of any size, for the benchmarks that need one: started for them, and ended with them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import RetryPolicy

from balancebook.demo.generate import LedgerEntry
from balancebook.demo.node import Node, NodeConfig
from balancebook.demo.processes import port_is_free

EVENTS = 50
_ASSETS, _IN_FLIGHT = 4, 32
_BEGAN_MS = 1_700_000_000_000
_ATTEMPTS = 5


class Patient(RetryPolicy):
    """A batch that a busy server gave up is written again: the same row twice is one row."""

    def on_write_timeout(self, *_: object, retry_num: int, **__: object) -> tuple[int, None]:
        """(what to do, at which consistency: the same)."""
        return (self.RETRY if retry_num < _ATTEMPTS else self.RETHROW), None


def load(session: Session, table: str, rows: int, more: int = 0) -> int:
    """Fill a ledger, and return how many rows it has, `rows` or a few more: 50 events for each asset of each user.

    `more` is added to each balance. The time of all is long ago, so that no cut-off leaves a row out.
    """
    names = LedgerEntry._fields
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))});"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * EVENTS} APPLY BATCH")
    partitions = -(-rows // EVENTS)
    values = (
        [cell for seq in range(EVENTS) for cell in _event(number, seq, more)] for number in range(partitions)
    )
    execute_concurrent_with_args(session, batch, values, concurrency=_IN_FLIGHT, raise_on_first_error=True)
    return partitions * EVENTS


def _event(number: int, seq: int, more: int) -> LedgerEntry:
    user, asset = key_of(number * EVENTS)["user_id"], 1 + number % _ASSETS
    amount = (number * 7919 + seq * 104729) % 10**12
    return LedgerEntry(
        user, asset, seq, amount, 0, amount * seq + more, seq, "deposit", number, _BEGAN_MS + number + seq
    )


def key_of(row: int) -> dict[str, int]:
    """The key of the n-th row, from 0."""
    partition, seq = divmod(row, EVENTS)
    return {"user_id": 1000 + partition // _ASSETS, "asset_id": 1 + partition % _ASSETS, "seq": seq}


@contextmanager
def own_server(folder: Path, heap_mb: int) -> Iterator[Node]:
    """An embedded database on free ports, ended with the block."""
    # Below the range from which systems give ports to clients, so that none is taken before the server listens.
    candidates = random.sample(range(20_000, 32_000), 100)
    cql, storage, admin = [port for port in candidates if port_is_free("127.0.0.1", port)][:3]
    node = Node(
        NodeConfig(
            home=folder / "server",
            cql_port=cql,
            storage_port=storage,
            admin_port=admin,
            heap_mb=heap_mb,
            quick=False,
        )
    )
    try:
        node.start()
        yield node
    finally:
        node.kill()  # nobody reads these data again
