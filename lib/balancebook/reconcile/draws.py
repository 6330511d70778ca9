"""Reading single token ranges of one side, and comparing each of their rows with the other side's."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.rule import difference
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.lookup import MOST_FAILURES, SERVER_GONE, Answer, Lookup, OutOfTime
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import BASE, Side
from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import NoTimeToWait, Pace, waiting
from balancebook.store.ranges import MAY_PASS
from balancebook.store.raw import RawCells, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.tokens import TokenRange, filtered, range_clause

MOST_ROWS = 1000
_IN_FLIGHT = 8


Seen = tuple[RawCells | None, RawCells | None]
"""The other cells of a row on base and view, None where it is not there."""


@dataclass(frozen=True, slots=True)
class Met:
    """A row that looks wrong when it is met: what both sides have of it."""

    suspect: Suspect
    seen: Seen
    kind: Kind


@dataclass(slots=True)
class Drawn:
    """One token range of a side, read and compared; `unread` says why not, if not. `rows`: that were compared.

    capped: it has more than MOST_ROWS rows, and only so many were read. met: the rows that look wrong, by the normal
    form of the view's key.
    """

    tokens: TokenRange
    rows: int = 0
    capped: bool = False
    unread: str = ""
    met: dict[RawKey, Met] = field(default_factory=dict)


class Draws:
    """Reads ranges of either side at LOCAL_ONE. Rows that derive no row of the view are passed over."""

    def __init__(
        self,
        reader: Reader,
        sides: tuple[Side, Side],
        columns: LookColumns,
        pace: Pace | None = None,
    ) -> None:
        self._reader, self._sides, self._columns = reader, sides, columns
        self._pace = pace
        self._suffix = dialect_of(reader.server, reader.profile).scan_suffix
        self._lock = threading.Lock()
        self._failures = 0

    @property
    def gone(self) -> bool:
        """Whether the server is taken for gone: nothing more is asked of it."""
        return self._failures >= MOST_FAILURES

    def compared(self, side: int, ranges: Sequence[TokenRange], until: float) -> tuple[list[Drawn], bool]:
        """Each range, compared with the other side row by row, and True. Raises StoreError for non-retryable errors.

        If not all could be asked before `until`, by time.monotonic(): those alone that could not be read, and False.
        """
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="sample") as pool:
            found = [each for each in pool.map(partial(self._read, side, until), ranges) if each]
        if len(found) < len(ranges):
            return [drawn for drawn, _ in found if drawn.unread], False
        owners = {self._columns.raw_key(row): (drawn, row) for drawn, rows in found for row in rows}
        try:
            for answer in Lookup(self._reader, self._sides[1 - side], self._pace).rows(owners, until):
                if answer.unread == SERVER_GONE:
                    self._failures = MOST_FAILURES
                self._judge(side, answer, owners)
        except OutOfTime:
            return [drawn for drawn, _ in found if drawn.unread], False
        return [drawn for drawn, _ in found], True

    def _read(self, side: int, until: float, tokens: TokenRange) -> tuple[Drawn, list[RawCells]] | None:
        """The range and its rows; None if there was no time left to ask."""
        if self.gone:
            return Drawn(tokens, unread=SERVER_GONE), []
        if time.monotonic() >= until:
            return None
        table = self._sides[side].table
        selected = ", ".join(quote(name) for name in (*self._sides[side].key, *self._sides[side].values))
        clause, params = range_clause(table, tokens)
        limited = filtered(clause, self._sides[side].selected.where, MOST_ROWS + 1)
        cql = f"SELECT {selected} FROM {table.cql_name}{limited}{self._suffix}"
        rows: list[RawCells] = []
        try:
            for page in raw_pages(self._reader, cql, params, wait=waiting(self._pace, until)):
                rows += page.cells()
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            if isinstance(error, NoTimeToWait):
                return None
            self._failed(error)
            return Drawn(tokens, unread=str(error)), []
        with self._lock:
            self._failures = 0
        wanted = [row for row in rows[:MOST_ROWS] if None not in row[: self._columns.keys]]
        return Drawn(tokens, len(wanted), capped=len(rows) > MOST_ROWS), wanted

    def _failed(self, error: StoreError) -> None:
        with self._lock:
            # Too few replicas of one range says nothing of the others, and costs no time.
            self._failures += error.kind != "unavailable"

    def _judge(self, side: int, answer: Answer, owners: Mapping[RawKey, tuple[Drawn, RawCells]]) -> None:
        found = {
            self._columns.key_of(row): row for row in answer.rows if None not in row[: self._columns.keys]
        }
        for raw in answer.keys:
            drawn, mine = owners[raw]
            if answer.unread:
                drawn.unread = answer.unread
                continue
            theirs = found.get(self._columns.key_of(mine))
            if mine != theirs:
                self._suspect(side, drawn, mine, theirs)

    def _suspect(self, side: int, drawn: Drawn, mine: RawCells, theirs: RawCells | None) -> None:
        first, second = (mine, theirs) if side == BASE else (theirs, mine)
        seen = self._values(first), self._values(second)
        if kind := difference(*seen):
            raw = (
                self._columns.raw_key(first) if first else None,
                self._columns.raw_key(second) if second else None,
            )
            suspect = Suspect(self._columns.key_of(mine), *raw)
            drawn.met[suspect.key] = Met(suspect, seen, kind)

    def _values(self, row: RawCells | None) -> RawCells | None:
        return row[self._columns.keys :] if row else None
