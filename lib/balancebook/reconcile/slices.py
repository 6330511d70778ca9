"""Reading many partitions one after the other, while the next ones are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cassandra.cluster import ResponseFuture, ResultSet
from cassandra.query import BoundStatement

from balancebook.reconcile.sides import Side
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace, waiting
from balancebook.store.ranges import MAY_PASS, NARROW
from balancebook.store.raw import RawCells, page_of
from balancebook.store.reader import Reader, doing

IN_FLIGHT = 32
_PAGE_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of one side with these cells in columns of its primary key, its partition key among them."""

    side: Side
    values: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Begun:
    wanted: Slice
    what: str
    bound: BoundStatement
    future: ResponseFuture


@dataclass
class SliceReader:
    """Reads slices at one consistency, each page as the `pace` allows.

    Held in memory is a page of each slice under way, of which there are 32.
    """

    reader: Reader
    consistency: str
    pace: Pace | None = None
    failures_in_a_row: int = 0

    def in_turn(self, slices: Iterable[Slice]) -> Iterator[Iterator[RawCells]]:
        """For each slice, in order, its rows: the view's key, then its other columns. Some may be of other partitions.

        Iterating over the rows raises StoreError if they cannot all be read. A page that has no answer is asked for
        once more, smaller. When as many slices in a row as are in flight have had no answer, the server is taken for
        gone and all others fail at once.
        """
        waiting: deque[_Begun | StoreError] = deque()
        for wanted in slices:
            waiting.append(self._begin(wanted))
            if len(waiting) >= IN_FLIGHT:
                yield self._rows(waiting.popleft())
        while waiting:
            yield self._rows(waiting.popleft())

    def _begin(self, wanted: Slice) -> _Begun | StoreError:
        cql, params = wanted.side.select_where(wanted.values)
        if self.failures_in_a_row >= IN_FLIGHT:
            return StoreError(
                "unreachable", f"{doing(cql)}: not tried, since {IN_FLIGHT} reads in a row had no answer."
            )
        try:
            bound = self.reader.bind(cql, params, self.consistency, serialized=True)
            bound.fetch_size = _PAGE_ROWS
            waiting(self.pace)(0)
            return _Begun(wanted, doing(cql), bound, self.reader.send(bound, raw=True))
        except StoreError as error:
            self.failures_in_a_row += 1
            return error

    def _rows(self, begun: _Begun | StoreError) -> Iterator[RawCells]:
        if isinstance(begun, StoreError):
            raise begun
        future, state = begun.future, None
        while True:
            result = self._page(begun, future, state)
            state = result.paging_state
            page = page_of(result, begun.what)
            waiting(self.pace)(page.rows)
            if state:
                future = self.reader.send(begun.bound, state, raw=True)
            yield from page.cells()
            if not state:
                return

    def _page(self, begun: _Begun, future: ResponseFuture, state: bytes | None) -> ResultSet:
        try:
            try:
                result = self.reader.wait(future, begun.what)
            except StoreError as error:
                if self.failures_in_a_row or error.kind not in MAY_PASS:
                    raise
                begun.bound.fetch_size = _PAGE_ROWS // NARROW
                result = self.reader.wait(self.reader.send(begun.bound, state, raw=True), begun.what)
        except StoreError as error:
            # Too few replicas of one partition says nothing of the others.
            self.failures_in_a_row += error.kind != "unavailable"
            raise
        self.failures_in_a_row = 0
        return result
