"""A canary for a scan: a bounded read of a view's partitions, as balance queries make it, to be timed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import cycle

from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import RawCells, RawPage, raw_pages
from balancebook.store.reader import Reader, doing
from balancebook.store.schema import Table
from balancebook.store.tokens import HIGHEST, LOWEST, TokenRange, range_clause

_PLACES = 8
_KEYS_A_PLACE = 2
# As many as a balance query of a usual account reads; bounded, for those that have a million. Beside a scan that slows
# such a query down a read of one row is still fast (benchmarks/README.md).
_ROWS = 200


class Canary:
    """read() reads the first rows of one partition of a view, of another partition each time.

    tried_ms: what the reads took by which the keys were tried.

    The reads go over the connections that answer people, not those of the scan, whose long pages would hold them up.
    """

    def __init__(self, reader: Reader, view: Table, keys: Sequence[RawCells]) -> None:
        selected = ", ".join(quote(column.name) for column in (*view.partition_key, *view.clustering_key))
        given = " AND ".join(f"{quote(column.name)} = ?" for column in view.partition_key)
        self._reader = reader
        self._cql = f"SELECT {selected} FROM {view.cql_name} WHERE {given} LIMIT {_ROWS}"
        self._keys = cycle(keys)
        self.tried_ms: tuple[float, ...] = ()

    def read(self) -> None:
        """Read the rows, or none if the partition has gone meanwhile. Raises StoreError."""
        bound = self._reader.bind(self._cql, next(self._keys), serialized=True)
        self._reader.wait(self._reader.send(bound), doing(self._cql))


def draw_canary(reader: Reader, view: Table) -> Canary:
    """A canary with keys from all over the view, each of them tried. Raises StoreError if there is none, and why."""
    keys: list[RawCells] = []
    tried_ms: list[float] = []
    refusal: StoreError | None = None
    for key in _keys(reader, view):
        began = time.monotonic()
        try:
            # The server refuses an empty key of one column, and the driver cannot decode every value: not these.
            Canary(reader, view, [key]).read()
        except StoreError as error:
            refusal = error
        else:
            keys.append(key)
            tried_ms.append(1000 * (time.monotonic() - began))
    if keys:
        canary = Canary(reader, view, keys)
        # For the first one the statement was prepared.
        canary.tried_ms = tuple(tried_ms[1:])
        return canary
    raise refusal or StoreError("missing", f"{view.cql_name} is empty: there is no partition to time.", "")


def _keys(reader: Reader, view: Table) -> list[RawCells]:
    """Distinct partition keys, as the server sent them, from places drawn by lot."""
    # A view of few partitions may have none beyond some token: then from the beginning.
    drawn = (random.randint(LOWEST + 1, HIGHEST - 1) for _ in range(_PLACES))  # noqa: S311 (a sample, no secret)
    places = [(LOWEST, HIGHEST), *((token, HIGHEST) for token in drawn)]
    # All of them are asked for before the first answer is waited for.
    answers = [_keys_of(reader, view, place) for place in places]
    return list(dict.fromkeys(key for pages in answers for page in pages for key in page.cells()))


def _keys_of(reader: Reader, view: Table, tokens: TokenRange) -> Iterator[RawPage]:
    names = ", ".join(quote(column.name) for column in view.partition_key)
    where, params = range_clause(view, tokens)
    cql = f"SELECT DISTINCT {names} FROM {view.cql_name}{where} LIMIT {_KEYS_A_PLACE}"
    return raw_pages(reader, cql, params)
