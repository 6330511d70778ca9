"""From what a sketch names to what is wrong: rows are read again on both sides, twice, a grace apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from balancebook.reconcile.bulk import GONE, confirm_by_scan
from balancebook.reconcile.confirm import (
    BY_KEY_CONSISTENCY,
    SCAN_CONSISTENCY,
    Confirmation,
    Seen,
    kind_of,
    settle,
)
from balancebook.reconcile.found import Batch, Listed, RawDifference, decoded_key
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.readback import RawKey, Rereader, Row
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.reconcile.values import Cells
from balancebook.sketch.sketch import Items
from balancebook.store.errors import StoreError
from balancebook.store.reader import RING

MOST_BY_KEY = 10_000
_IN_FLIGHT = 8
# At LOCAL_ONE each time another replica may answer: three times, and one of three that is behind is met more often than
# not.
_LOOKS = 3
_BEHIND = "a replica does not have what the quorum has"


@dataclass(slots=True)
class Candidate:
    """A row of the view that may differ: its key's bytes as base and as view spell them, None where unseen."""

    base: RawKey | None = None
    view: RawKey | None = None

    def spelled(self, side: int) -> RawKey:
        """The key's bytes as a side has them, or else as the other has."""
        first, second = (self.base, self.view) if side == BASE else (self.view, self.base)
        return first or second or ()

    @property
    def respelled(self) -> bool:
        """Whether both sides have it, in other bytes: decimal 1.0 and 1.00 are one key."""
        return self.base is not None and self.view is not None and self.base != self.view


@dataclass(frozen=True)
class Confirming:
    """Confirms the rows that a sketch names, each by its key, or, if they are many, by a scan at LOCAL_ONE."""

    rereader: Rereader
    grace_s: float
    sleep: Callable[[float], None]

    def confirm(self, items: Items) -> list[Batch]:
        """Each row that differs. What cannot be read is UNKNOWN; what healed or changed meanwhile LAGGING."""
        if not len(items):
            return []
        if len(items) > MOST_BY_KEY:
            return confirm_by_scan(items, self.rereader, self.grace_s, self.sleep)
        candidates: dict[Cells, Candidate] = {}
        gone = self._noted(items, candidates)
        return [Listed([*gone, *self._by_key(candidates)])]

    def _noted(self, items: Items, candidates: dict[Cells, Candidate]) -> list[RawDifference]:
        """Note the keys of the items. Returns those rows that cannot be found any more."""
        layout = self.rereader.layout
        if layout.keeps_key:
            types = self.rereader.types[: layout.keys]
            for sign, name, _ in items:
                raw = tuple(layout.key_cells(name))
                _note(candidates, sign, raw, decoded_key(types, raw))
            return []
        gone: list[RawDifference] = []
        for side, sign in ((BASE, 1), (VIEW, -1)):
            lanes = {lanes[0]: name[side] for each, name, lanes in items if each == sign}
            rows, reason = self._rows_of(side, lanes)
            for row in rows:
                _note(candidates, sign, row.raw, row.key)
            kind = Kind.UNKNOWN if reason else Kind.LAGGING
            nameless = RawDifference(kind, (None,) * layout.keys, None, None, reason or GONE)
            gone += [nameless] * max(0, len(lanes) - len(rows))
        return gone

    def _rows_of(self, side: int, lanes: Mapping[int, int]) -> tuple[list[Row], str]:
        """The rows of one side with these lanes (by token), and why some could not be read, if so."""
        found: list[Row] = []
        reason = ""
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="resolve") as pool:
            tokens = {_signed(token) for token in lanes.values()}
            for outcome in pool.map(lambda token: self._partition(side, token, lanes), tokens):
                if isinstance(outcome, StoreError):
                    reason = str(outcome)
                else:
                    found += outcome
        return found, reason

    def _partition(self, side: int, token: int, lanes: Collection[int]) -> list[Row] | StoreError:
        try:
            return self.rereader.in_partition(side, token, lanes)
        except StoreError as error:
            return error

    def _by_key(self, candidates: Mapping[Cells, Candidate]) -> Iterator[RawDifference]:
        if not candidates:
            return
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="confirm") as pool:

            def observed() -> list[Seen | StoreError]:
                return list(pool.map(self._observe, candidates, candidates.values()))

            # Before anything is read at a quorum, which may mend the replica.
            behind = list(pool.map(self._replica_behind, candidates, candidates.values()))
            before = observed()
            self.sleep(self.grace_s)
            after = observed()
        for candidate, lags, first, second in zip(candidates.values(), behind, before, after, strict=True):
            found = _settled(first, second, lags)
            alike_at_first = not isinstance(first, StoreError) and kind_of(first) is None
            if not (candidate.respelled and found.kind is Kind.LAGGING and alike_at_first):
                yield RawDifference(found.kind, candidate.spelled(VIEW), *found.seen, found.reason)

    def _replica_behind(self, key: Cells, candidate: Candidate) -> bool:
        """Whether a single replica still shows the row as the scan did: seconds later that is no view update under way.

        Asked only where there is more than one replica.
        """
        looks = _LOOKS if self.replicated else 0
        seen = (self._observe(key, candidate, SCAN_CONSISTENCY) for _ in range(looks))
        return any(not isinstance(each, StoreError) and kind_of(each) is not None for each in seen)

    @cached_property
    def replicated(self) -> bool:
        """Whether a row has more than one replica."""
        spans = self.rereader.reader.token_spans(self.rereader.sides[VIEW].table.keyspace)
        return sum(spans.values()) > RING

    def _observe(
        self, key: Cells, candidate: Candidate, consistency: str = BY_KEY_CONSISTENCY
    ) -> Seen | StoreError:
        try:
            base, view = (
                self.rereader.by_key(side, candidate.spelled(side), key, consistency) for side in (BASE, VIEW)
            )
        except StoreError as error:
            return error
        return base.cells if base else None, view.cells if view else None


def _settled(first: Seen | StoreError, second: Seen | StoreError, behind: bool) -> Confirmation:
    for read in (first, second):
        if isinstance(read, StoreError):
            return Confirmation(Kind.UNKNOWN, (None, None), str(read))
    before, after = cast(Seen, first), cast(Seen, second)
    if behind and kind_of(before) is None and kind_of(after) is None:
        return Confirmation(Kind.REPLICA, after, _BEHIND)
    return settle(before, after)


def _note(candidates: dict[Cells, Candidate], sign: int, raw: RawKey, key: Cells) -> None:
    candidate = candidates.setdefault(key, Candidate())
    if sign > 0:
        candidate.base = raw
    else:
        candidate.view = raw


def _signed(token: int) -> int:
    return token - 2**64 if token >= 2**63 else token
