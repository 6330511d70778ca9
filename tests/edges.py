"""Accounts at the edges of what a ledger holds: each is one user of one ledger, with its balances written by hand."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.schema import LEDGER, VIEW

LEAST, MOST = -(2**63), 2**63 - 1
TTL_S = 1

# asset, seq, avail, frozen, created_at
Row = tuple[int, int, int | None, int | None, int | None]


@dataclass(frozen=True)
class Edge:
    """A user, what was written to the ledger, and the newest row of each asset as the base has it, by asset.

    `in_view`: what the view has instead, where `faults`, written past the base, made it differ. `gone`: assets that
    were written and are not there any more. Of a statement {ledger} and {user} are filled in.
    """

    user: int
    writes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    gone: tuple[int, ...] = ()
    faults: tuple[str, ...] = ()
    in_view: tuple[Row, ...] | None = None

    @property
    def shown(self) -> tuple[Row, ...]:
        """What is in the view."""
        return self.rows if self.in_view is None else self.in_view

    @property
    def asked(self) -> tuple[int, ...]:
        """The assets to ask the base for: those there, those gone, one twice, and one that never was."""
        there = [row[0] for row in self.rows]
        return (*there, *self.gone, *there[:1], 4)


def put(
    asset: int,
    seq: int,
    avail: int | None = None,
    frozen: int | None = None,
    created_at: int | None = None,
    using: str = "",
) -> str:
    """INSERT of a row; cells that are None are not written at all."""
    cells = {"asset_id": asset, "seq": seq, "avail": avail, "frozen": frozen, "created_at": created_at}
    there = {name: value for name, value in cells.items() if value is not None}
    names, values = ", ".join(there), ", ".join(map(str, there.values()))
    return f"INSERT INTO {{ledger}} (user_id, {names}) VALUES ({{user}}, {values}) {using}"


def change(asset: int, seq: int, cells: str, using: str = "") -> str:
    """UPDATE of some cells, which makes a row without its own mark."""
    return f"UPDATE {{ledger}} {using} SET {cells} {_at(asset, seq)}"


def delete(asset: int, seq: int | None, columns: str = "", using: str = "") -> str:
    """DELETE of a row, of some columns of it, or of all rows of an asset."""
    return f"DELETE {columns} FROM {{ledger}} {using} {_at(asset, seq)}"


def _at(asset: int, seq: int | None) -> str:
    row = "" if seq is None else f" AND seq = {seq}"
    return f"WHERE user_id = {{user}} AND asset_id = {asset}{row}"


NEWEST_FIRST = "WITH CLUSTERING ORDER BY (seq DESC)"
AT_ONCE = "USING TIMESTAMP 1700000000000000"
TTL = f"USING TTL {TTL_S}"

EDGES: dict[str, Edge] = {
    "no assets": Edge(user=7001),
    "one asset": Edge(
        user=7002,
        writes=(put(1, 1, 5, 0, 1001), put(1, 2, 910_000_000_000, 0, 1002)),
        rows=((1, 2, 910_000_000_000, 0, 1002),),
    ),
    "500 assets": Edge(
        user=7003,
        writes=tuple(
            put(asset, seq, 10 * asset + seq, 1, seq) for asset in range(1000, 1500) for seq in (1, 2)
        ),
        rows=tuple((asset, 2, 10 * asset + 2, 1, 2) for asset in range(1000, 1500)),
    ),
    "int64 amounts": Edge(
        user=7004,
        writes=(put(1, 1, MOST, LEAST, MOST), put(2, 1, LEAST, MOST, LEAST), put(77, 1, MOST, LEAST, 0)),
        rows=((1, 1, MOST, LEAST, MOST), (2, 1, LEAST, MOST, LEAST), (77, 1, MOST, LEAST, 0)),
    ),
    "asset ids": Edge(
        user=7005,
        writes=(
            put(-(2**31), 1, 1, 0, 1),
            put(-(2**31), 2, 2, 0, 2),
            put(0, 1, 3, 0, 3),
            put(2**31 - 1, 1, 4, 0, 4),
            put(2**31 - 1, 2, 5, 0, 5),
        ),
        rows=((-(2**31), 2, 2, 0, 2), (0, 1, 3, 0, 3), (2**31 - 1, 2, 5, 0, 5)),
    ),
    "user 0": Edge(user=0, writes=(put(3, 1, 1, 0, 1),), rows=((3, 1, 1, 0, 1),)),
    "greatest user": Edge(user=MOST, writes=(put(3, 1, 1, 0, 1),), rows=((3, 1, 1, 0, 1),)),
    "least user": Edge(user=LEAST, writes=(put(3, 1, 1, 0, 1),), rows=((3, 1, 1, 0, 1),)),
    "seq 0 and 2^63-1": Edge(
        user=7006,
        writes=(
            put(1, 0, 10, 0, 1),
            put(2, MOST, 20, 0, 2),
            put(2, MOST - 1, 21, 0, 3),
            put(2, 0, 22, 0, 4),
            put(3, -1, 30, 0, 5),
            put(3, LEAST, 31, 0, 6),
            put(77, 0, 40, 0, 7),
            put(77, MOST, 41, 0, 8),
        ),
        rows=((1, 0, 10, 0, 1), (2, MOST, 20, 0, 2), (3, -1, 30, 0, 5), (77, MOST, 41, 0, 8)),
    ),
    # The highest seq counts, not what was written last; of one key the greater value of each cell; and a delete.
    "equal write times": Edge(
        user=7007,
        writes=(
            *(put(1, seq, 10 * seq, 0, seq, AT_ONCE) for seq in (3, 1, 2)),
            put(2, 1, 5, 1, 1, AT_ONCE),
            put(2, 1, 9, 0, 1, AT_ONCE),
            put(3, 1, 9, 0, 1, AT_ONCE),
            put(3, 1, 5, 1, 1, AT_ONCE),
            put(77, 1, 7, 0, 1, AT_ONCE),
            put(77, 2, 8, 0, 2, AT_ONCE),
            delete(77, 2, using=AT_ONCE),
        ),
        rows=((1, 3, 30, 0, 3), (2, 1, 9, 1, 1), (3, 1, 9, 1, 1), (77, 1, 7, 0, 1)),
    ),
    "deleted newest row": Edge(
        user=7008,
        writes=(
            put(1, 1, 10, 0, 1),
            put(1, 2, 20, 0, 2),
            delete(1, 2),
            put(2, 1, 30, 0, 3),
            delete(2, 1),
            put(3, 1, 40, 0, 4),
            put(3, 2, 41, 0, 5),
            delete(3, None),
            put(77, 1, 50, 0, 6),
            delete(77, 1),
            put(77, 1, 51, 0, 7),
        ),
        rows=((1, 1, 10, 0, 1), (77, 1, 51, 0, 7)),
        gone=(2, 3),
    ),
    "all rows deleted": Edge(user=7009, writes=(put(1, 1, 10, 0, 1), delete(1, 1)), gone=(1,)),
    "TTL'd row": Edge(
        user=7010,
        writes=(
            put(1, 1, 10, 0, 1),
            put(1, 2, 20, 0, 2, TTL),
            put(2, 1, 30, 0, 3, TTL),
            put(3, 1, 40, 0, 4),
            change(3, 2, "avail = 50, frozen = 0, created_at = 5", TTL),
        ),
        rows=((1, 1, 10, 0, 1), (3, 1, 40, 0, 4)),
        gone=(2,),
    ),
    "TTL'd cell": Edge(
        user=7011,
        writes=(put(1, 1, 10, 2, 1), change(1, 1, "avail = 20", TTL)),
        rows=((1, 1, None, 2, 1),),
    ),
    "frozen only": Edge(
        user=7012,
        writes=(put(1, 1, 250_000_000, 0, 1), put(1, 2, 0, 250_000_000, 2), put(77, 1, 0, 3, 3)),
        rows=((1, 2, 0, 250_000_000, 2), (77, 1, 0, 3, 3)),
    ),
    "unknown asset": Edge(
        user=7013,
        writes=(put(77, 1, 122, 0, 1), put(77, 2, 123, 4, 2)),
        rows=((77, 2, 123, 4, 2),),
    ),
    "avail null": Edge(
        user=7014, writes=(put(1, 1, 10, 0, 1), put(1, 2, None, 5, 2)), rows=((1, 2, None, 5, 2),)
    ),
    "frozen null": Edge(
        user=7015,
        writes=(put(2, 1, 10, 0, 1), put(2, 2, 7, 0, 2), delete(2, 2, "frozen")),
        rows=((2, 2, 7, None, 2),),
    ),
    "nothing but a key": Edge(
        user=7016, writes=(put(1, 1, 10, 0, 1), put(3, 5)), rows=((1, 1, 10, 0, 1), (3, 5, None, None, None))
    ),
    # A row that is there by a column alone which the view does not select.
    "unselected column only": Edge(
        user=7017,
        writes=(put(1, 1, 10, 0, 1), change(1, 2, "event_type = 'lock'")),
        rows=((1, 2, None, None, None),),
    ),
    "null in an older row": Edge(
        user=7018, writes=(put(1, 1, None, 5, 1), put(1, 2, 20, 0, 2)), rows=((1, 2, 20, 0, 2),)
    ),
    # The view has lost an asset of which neither it nor the registry knows any more.
    "lost asset": Edge(
        user=7019,
        writes=(put(1, 1, 10, 0, 1), put(88, 1, 20, 0, 2), put(88, 2, 21, 0, 3)),
        rows=((1, 1, 10, 0, 1), (88, 2, 21, 0, 3)),
        faults=(delete(88, 1), delete(88, 2)),
        in_view=((1, 1, 10, 0, 1),),
    ),
    "lost only asset": Edge(
        user=7020,
        writes=(put(88, 1, 20, 0, 1),),
        rows=((88, 1, 20, 0, 1),),
        faults=(delete(88, 1),),
        in_view=(),
    ),
    # What a later write of one column leaves of a row that the view had lost.
    "half-null in the view": Edge(
        user=7021,
        writes=(put(1, 1, 10, 5, 1),),
        rows=((1, 1, 10, 5, 1),),
        faults=(delete(1, 1, "frozen, created_at"),),
        in_view=((1, 1, 10, None, None),),
    ),
}


def build(session: Session, inject: Injector, keyspace: str) -> None:
    """Writes all edges into the ledger of a keyspace; returns when the TTL'd cells are gone."""
    ledger = f"{keyspace}.{LEDGER}"
    for edge in sorted(EDGES.values(), key=lambda edge: not any(TTL in write for write in edge.writes)):
        writes = [write.format(ledger=ledger, user=edge.user) for write in edge.writes]
        # The driver gives them write times in this order, however the server takes them.
        for future in [session.execute_async(write) for write in writes]:
            future.result()
    expired = time.monotonic() + TTL_S + 1
    faults = [
        fault.format(ledger="{table}", user=edge.user) for edge in EDGES.values() for fault in edge.faults
    ]
    inject.import_cells(VIEW, [(fault, ()) for fault in faults])
    time.sleep(max(0.0, expired - time.monotonic()))


@dataclass(frozen=True)
class Place:
    """A base table and its view in a keyspace, made for one test."""

    keyspace: str
    base: str
    view: str


def make_base(session: Session, keyspace: str, name: str, key: str, order: str = "") -> str:
    """A ledger with another primary key."""
    columns = "user_id bigint, asset_id int, seq bigint, avail bigint, frozen bigint, created_at bigint"
    session.execute(f"CREATE TABLE {keyspace}.{name} ({columns}, PRIMARY KEY ({key})) {order}")
    return name


def make_view(
    session: Session, keyspace: str, base: str, name: str, order: str = "asset_id ASC, seq DESC"
) -> Place:
    """A view of such a ledger, by user."""
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.{name} AS SELECT user_id, asset_id, seq, avail, frozen, created_at "
        f"FROM {keyspace}.{base} WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL "
        f"PRIMARY KEY (user_id, asset_id, seq) WITH CLUSTERING ORDER BY ({order})"
    )
    return Place(keyspace, base, name)


class Writer:
    """Books entry after entry of one user, each acknowledged before the next: avail and frozen are its seq.

    Every tenth entry is the first of an asset that the user did not have, and that no registry knows.
    """

    def __init__(self, session: Session, keyspace: str, user: int) -> None:
        self._session, self._user = session, user
        self._insert = session.prepare(
            f"INSERT INTO {keyspace}.{LEDGER} (user_id, asset_id, seq, avail, frozen, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._stop = threading.Event()
        self.begun: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}

    def book(self, asset: int, seq: int) -> None:
        self.begun[asset] = seq
        self._session.execute(self._insert, (self._user, asset, seq, seq, seq, seq))
        self.acknowledged[asset] = seq

    def write(self) -> None:
        for number in itertools.count(2):
            if self._stop.is_set():
                return
            self.book(1 + number % 3, number)
            if number % 10 == 0:
                self.book(5000 + number, 1)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Writes as long as the block lasts; three assets are there from the beginning."""
        for asset in (1, 2, 3):
            self.book(asset, 1)
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self.write)
            try:
                yield
            finally:
                self._stop.set()
            written.result()
