"""Looks at single rows, by their keys: many statements in flight, the rows of a partition in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY, SCAN_CONSISTENCY
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.rule import Look, difference
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.lookup import Lookup, OutOfTime
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.store.errors import StoreError
from balancebook.store.raw import RawCells
from balancebook.store.reader import RING, Reader

# So many rows of the view are read before their base rows are: a row that is written all the time is rarely in step
# when much time passes in between.
_AT_ONCE = 500
# At LOCAL_ONE each time another replica may answer: three times, and one of three that is behind is met more often than
# not.
_TRIES = 3
NO_TIME = "there was no time to read it again"
SEVERAL = "several rows of the base have this key, written in other bytes (such as decimal 1.0 and 1.00)"

Seen = Look | str
"""A look, or why there is none."""


@dataclass
class KeyLooker:
    """Reads the rows of suspects on both sides: the view first, then the base (see confirm.rule)."""

    reader: Reader
    sides: tuple[Side, Side]
    columns: LookColumns
    clock: Callable[[], float] = time.monotonic

    def looks(
        self, suspects: Iterable[Suspect], until: float, consistency: str = CONFIRM_CONSISTENCY
    ) -> Iterator[tuple[Suspect, Seen]]:
        """A look at each, or why there is none; `until`, by time.monotonic(), is overrun by one request at most."""
        left = iter(suspects)
        while some := list(islice(left, _AT_ONCE)):
            yield from self._some(some, until, consistency)

    def behind(
        self, suspects: Sequence[Suspect], until: float, waited: Callable[[], bool]
    ) -> dict[RawKey, Look]:
        """Those that single replicas show as wrong before and after a wait, while the base stayed as it was; where more
        than one replica may answer. The last such look at each.

        To be asked before anything is read at a quorum, which may repair the replica. `waited` waits for a grace
        period; without time for it, one cannot tell a replica that is behind from a view that lags.
        """
        if not self.replicated:
            return {}
        before = self._shown_wrong(suspects, until)
        if not before or not waited():
            return {}
        after = self._shown_wrong([suspect for suspect in suspects if suspect.key in before], until)
        return {key: look for key, look in after.items() if look.base == before[key].base}

    def _shown_wrong(self, suspects: Sequence[Suspect], until: float) -> dict[RawKey, Look]:
        found: dict[RawKey, Look] = {}
        for _ in range(_TRIES):
            left = [suspect for suspect in suspects if suspect.key not in found]
            for suspect, seen in self.looks(left, until, SCAN_CONSISTENCY):
                if isinstance(seen, Look) and _differs(seen):
                    found[suspect.key] = seen
        return found

    @cached_property
    def replicated(self) -> bool:
        """Whether a row has more than one replica. Raises StoreError."""
        return sum(self.reader.token_spans(self.sides[VIEW].table.keyspace).values()) > RING

    def _some(
        self, suspects: list[Suspect], until: float, consistency: str
    ) -> Iterator[tuple[Suspect, Seen]]:
        view_from = self.clock()
        view = self._rows(VIEW, suspects, until, consistency)
        base = self._rows(BASE, suspects, until, consistency)
        base_until = self.clock()
        for suspect in suspects:
            unread = view.unread.get(suspect.spelled(VIEW)) or base.unread.get(suspect.spelled(BASE))
            yield suspect, unread or self._look(suspect, view, base, view_from, base_until)

    def _look(self, suspect: Suspect, view: _Read, base: _Read, view_from: float, base_until: float) -> Seen:
        of_view = view.rows.get(suspect.key)
        of_base = base.rows.get(self.columns.base_key(suspect.spelled(BASE)))
        found = self.columns.base_row(of_base, suspect.key) if of_base else None
        if suspect.several or (
            of_view and of_base and found and found.derived and self._other_row(of_base, of_view)
        ):
            return SEVERAL
        shown = self.columns.view_row(of_view) if of_view else None
        return Look(shown, found, view_from, base_until)

    def _other_row(self, base: RawCells, view: RawCells) -> bool:
        """Whether the view's row came from another row of the base than this one: its partition has other bytes."""
        return any(base[place] != view[place] for place in self.columns.base_partition)

    def _rows(self, side: int, suspects: Sequence[Suspect], until: float, consistency: str) -> _Read:
        read = _Read()
        expressions = self.columns.expressions(side)
        lookup = Lookup(self.reader, self.sides[side], expressions=expressions, consistency=consistency)
        wanted = dict.fromkeys(suspect.spelled(side) for suspect in suspects)
        asked = set(wanted)
        try:
            for answer in lookup.rows(wanted, until):
                asked -= set(answer.keys)
                if answer.unread:
                    read.unread |= dict.fromkeys(answer.keys, answer.unread)
                for row in answer.rows:
                    read.rows[self._identity(side, row)] = row
        except OutOfTime:
            read.unread |= dict.fromkeys(asked, NO_TIME)
        except StoreError as error:
            read.unread |= dict.fromkeys(asked, str(error))
        return read

    def _identity(self, side: int, row: RawCells) -> RawKey:
        return self.columns.base_key(row) if side == BASE else self.columns.key_of(row)


@dataclass(slots=True)
class _Read:
    """Rows of one side by their identity, and why some keys, as they were asked for, could not be read."""

    rows: dict[RawKey, RawCells] = field(default_factory=dict)
    unread: dict[RawKey, str] = field(default_factory=dict)


def _differs(look: Look) -> bool:
    return difference(*look.values) is not None
