"""A database with a ledger of any size, for peers.py: started for it, and ended with it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent
from cassandra.policies import RetryPolicy
from cassandra.query import BatchStatement, BatchType

from balancebook.demo.generate import LedgerEntry
from balancebook.demo.node import Node, NodeConfig
from balancebook.demo.processes import port_is_free
from balancebook.demo.schema import LEDGER, create_schema
from balancebook.store.names import quote

_ROWS_A_PARTITION, _ASSETS_A_USER, _IN_FLIGHT = 50, 4, 32
_ATTEMPTS = 5


class Patient(RetryPolicy):
    """A batch that a busy server gave up is written again: the same row twice is one row."""

    def on_write_timeout(self, *_: object, retry_num: int, **__: object) -> tuple[int, None]:
        """(what to do, at which consistency: the same)."""
        return (self.RETRY if retry_num < _ATTEMPTS else self.RETHROW), None


def load(session: Session, keyspace: str, rows: int) -> None:
    """The demo's tables with at least so many rows, the view kept up by the server as they are written."""
    create_schema(session.execute, keyspace, indexes=False)
    marks = ", ".join("?" * len(LedgerEntry._fields))
    insert = session.prepare(
        f"INSERT INTO {quote(keyspace)}.{LEDGER} ({', '.join(LedgerEntry._fields)}) VALUES ({marks})"
    )

    def batches() -> Iterator[tuple[BatchStatement, None]]:
        chance = random.Random(1)
        for number in range(-(-rows // _ROWS_A_PARTITION)):
            user, asset = divmod(number, _ASSETS_A_USER)
            batch = BatchStatement(BatchType.UNLOGGED)
            for seq in range(1, _ROWS_A_PARTITION + 1):
                amounts = [chance.getrandbits(50) for _ in range(4)]
                at = 1_735_689_600_000 + number * 1000 + seq
                batch.add(insert, LedgerEntry(user, asset + 1, seq, *amounts, "trade", number, at))
            yield batch, None

    execute_concurrent(session, batches(), concurrency=_IN_FLIGHT)


@contextmanager
def own_server(folder: Path, heap_mb: int) -> Iterator[Node]:
    """An embedded database on free ports, ended with the block."""
    # Below the range from which systems give ports to clients, so that none is taken before the server listens.
    candidates = random.sample(range(20_000, 32_000), 100)
    cql, storage, admin = [port for port in candidates if port_is_free("127.0.0.1", port)][:3]
    node = Node(
        NodeConfig(
            home=folder / "server", cql_port=cql, storage_port=storage, admin_port=admin, heap_mb=heap_mb
        )
    )
    try:
        node.start()
        yield node
    finally:
        node.kill()  # nobody reads these data again
