"""Writing many rows at once, as tests need them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from cassandra.cluster import ResponseFuture, Session
from cassandra.query import BatchStatement, BatchType, PreparedStatement

_A_BATCH = 50
_IN_FLIGHT = 16


def insert(session: Session, statement: PreparedStatement, rows: Iterable[Sequence[Any]]) -> None:
    """Run the statement with each of the rows, in batches of those that follow each other: a fourth of the work of a
    statement a row, for the server and for the driver. Those of a batch have one write time."""
    left, pending = iter(rows), deque[ResponseFuture]()
    while some := list(islice(left, _A_BATCH)):
        batch = BatchStatement(BatchType.UNLOGGED)
        for row in some:
            batch.add(statement, row)
        pending.append(session.execute_async(batch))
        if len(pending) == _IN_FLIGHT:
            pending.popleft().result()
    for each in pending:
        each.result()
