"""Looking up many rows of one side by their keys: one statement for the rows of a partition, many of them in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from balancebook.reconcile.confirm import SCAN_CONSISTENCY
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import Side
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import NoTimeToWait, Pace, waiting
from balancebook.store.ranges import MAY_PASS
from balancebook.store.raw import RawCells, RawPage, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.tokens import LOWEST, range_clause

_IN_FLIGHT = 48
# ScyllaDB refuses more than 100 in an IN.
_KEYS_A_STATEMENT = 50
# So many in a row without an answer: the server is gone.
MOST_FAILURES = 8
SERVER_GONE = "the server does not answer any more"


class OutOfTime(Exception):
    """The time allowed was over before everything was asked: what was asked says nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of that side under `keys`, each of its columns' cells; or why they could not be read."""

    keys: Sequence[RawKey]
    rows: Sequence[RawCells]
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Looks rows of one side up. A key is that of the view, its cells as the other side sent them.

    expressions: what is selected, in CQL, the view's key first; by default all columns of the view.
    """

    reader: Reader
    side: Side
    pace: Pace | None = None
    expressions: Sequence[str] = ()
    consistency: str = SCAN_CONSISTENCY

    def rows(self, keys: Iterable[RawKey], until: float) -> Iterator[Answer]:
        """The answers to all keys, each key in one. What may pass makes it unread; anything else raises StoreError.

        Raises OutOfTime if not all could be asked before `until`, by time.monotonic().
        """
        failures, wait = 0, waiting(self.pace, until)
        under_way: deque[tuple[Sequence[RawKey], Iterator[RawPage]]] = deque()
        statements = deque(self._statements(keys))
        while statements or under_way:
            while statements and len(under_way) < _IN_FLIGHT and failures < MOST_FAILURES:
                if time.monotonic() >= until:
                    raise OutOfTime
                asked, cql, cells = statements.popleft()
                try:
                    pages = raw_pages(
                        self.reader, cql, cells, consistency=self.consistency, serialized=True, wait=wait
                    )
                    under_way.append((asked, pages))
                except NoTimeToWait as error:
                    raise OutOfTime from error
                except StoreError as error:
                    failures = MOST_FAILURES
                    yield _unread(asked, error)
            if not under_way:
                yield from (Answer(asked, (), SERVER_GONE) for asked, *_ in statements)
                return
            asked, pages = under_way.popleft()
            try:
                found = [row for page in pages for row in page.cells() if self._derives(row)]
            except NoTimeToWait as error:
                raise OutOfTime from error
            except StoreError as error:
                failures += error.kind != "unavailable"
                yield _unread(asked, error)
            else:
                failures = 0
                yield Answer(asked, found)

    def _statements(self, keys: Iterable[RawKey]) -> Iterator[tuple[Sequence[RawKey], str, list[bytes]]]:
        partition, clustering = (
            [self.side.key.index(column.name) for column in columns]
            for columns in (self.side.table.partition_key, self.side.table.clustering_key)
        )
        groups: dict[RawKey, list[RawKey]] = {}
        for key in keys:
            groups.setdefault(tuple(key[place] for place in partition), []).append(key)
        for address, group in groups.items():
            if address == (b"",):
                # `WHERE key = ''` is refused; its token can be asked for only as a range (see store.scan).
                where, bounds = range_clause(self.side.table, (LOWEST, LOWEST + 1))
                yield group, self._select + where, [bound.to_bytes(8, "big", signed=True) for bound in bounds]
                continue
            # An empty cell is refused within IN.
            single = [key for key in group if any(key[place] == b"" for place in clustering)]
            for key in single:
                yield [key], self._select + self._where_one, [*address, *(key[place] for place in clustering)]
            several = [key for key in group if key not in single] if single else group
            size = _KEYS_A_STATEMENT if clustering else len(group)
            for start in range(0, len(several), size):
                part = several[start : start + size]
                wanted = [[key[place] for place in clustering] for key in part]
                yield (
                    part,
                    self._select + self._where,
                    [*address, *([_in_list(wanted)] if clustering else [])],
                )

    def _derives(self, row: RawCells) -> bool:
        """Whether a view that filters has such a row."""
        if not self.side.selected.where or None in row[: len(self.side.key)]:
            return True
        cells = dict(zip(self.side.key, row, strict=False))
        return self.side.selected.admits(self.reader, cells, serialized=True)

    @property
    def _select(self) -> str:
        usual = (quote(name) for name in (*self.side.key, *self.side.values))
        return f"SELECT {', '.join(self.expressions or usual)} FROM {self.side.table.cql_name}"

    @property
    def _where_one(self) -> str:
        columns = (*self.side.table.partition_key, *self.side.table.clustering_key)
        return f" WHERE {' AND '.join(f'{quote(column.name)} = ?' for column in columns)}"

    @property
    def _where(self) -> str:
        clauses = [f"{quote(column.name)} = ?" for column in self.side.table.partition_key]
        clustering = [quote(column.name) for column in self.side.table.clustering_key]
        if len(clustering) == 1:
            clauses.append(f"{clustering[0]} IN ?")
        elif clustering:
            clauses.append(f"({', '.join(clustering)}) IN ?")
        return f" WHERE {' AND '.join(clauses)}"


def _unread(keys: Sequence[RawKey], error: StoreError) -> Answer:
    if error.kind not in MAY_PASS:
        raise error
    return Answer(keys, (), str(error))


def _in_list(wanted: Sequence[Sequence[bytes]]) -> bytes:
    """What is bound to IN: a list of cells, or of tuples of cells, as the native protocol has them."""
    items = [cells[0] if len(cells) == 1 else b"".join(map(_sized, cells)) for cells in wanted]
    return len(items).to_bytes(4, "big") + b"".join(map(_sized, items))


def _sized(cell: bytes) -> bytes:
    return len(cell).to_bytes(4, "big") + cell
