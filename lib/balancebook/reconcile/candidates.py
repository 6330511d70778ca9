"""From what a sketch names to what is wrong: rows are read again on both sides, twice, a grace apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from balancebook.reconcile.confirm import Confirmation, Seen, kind_of, settle
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.naive import Difference
from balancebook.reconcile.readback import RawKey, Rereader, Row
from balancebook.reconcile.values import Cells, hashable_key
from balancebook.sketch.sketch import Items, key_lane
from balancebook.store.errors import StoreError
from balancebook.store.raw import decode
from balancebook.store.scan import ScanReport

MOST_BY_KEY = 10_000
_IN_FLIGHT = 8
_GONE = "changed before it could be read again"
_NOT_READ = "the confirming scan was not complete"


@dataclass(slots=True)
class Candidate:
    """A row of the view that may differ: its key's bytes as base and as view spell them, None where unseen."""

    base: RawKey | None = None
    view: RawKey | None = None

    def spelled(self, side: int) -> RawKey:
        """The key's bytes as a side has them, or else as the other has."""
        first, second = (self.base, self.view) if side == 0 else (self.view, self.base)
        return first or second or ()

    @property
    def respelled(self) -> bool:
        """Whether both sides have it, in other bytes: decimal 1.0 and 1.00 are one key."""
        return self.base is not None and self.view is not None and self.base != self.view


@dataclass
class Candidates:
    """Confirms the rows that a sketch names. `by_scan`: whether it took scans of both sides, at LOCAL_ONE."""

    rereader: Rereader
    types: Sequence[Any]
    grace_s: float
    sleep: Callable[[float], None]
    by_scan: bool = False

    def confirm(self, items: Items) -> Iterator[Difference]:
        """Each row that differs. What cannot be read is UNKNOWN; what healed or changed meanwhile LAGGING."""
        self.by_scan |= len(items) > MOST_BY_KEY
        candidates: dict[Cells, Candidate] = {}
        lost: list[Difference] = []
        if self.rereader.layout.keeps_key:
            for sign, name, _ in items:
                raw = tuple(self.rereader.layout.key_cells(name))
                _note(candidates, sign, raw, hashable_key(decode(self.types, raw)))
        else:
            lost = self._resolve(items, candidates)
        yield from lost
        if not candidates:
            return
        confirmed = self._by_scan(candidates) if self.by_scan else self._by_key(candidates)
        for (key, candidate), (first, found) in zip(candidates.items(), confirmed, strict=True):
            if candidate.respelled and found.kind is Kind.LAGGING and first and kind_of(first) is None:
                continue
            yield Difference(found.kind, key, *found.seen, found.reason)

    def _resolve(self, items: Items, candidates: dict[Cells, Candidate]) -> list[Difference]:
        """Find the rows of items that carry only tokens. Returns those that cannot be found any more."""
        unknown: list[Difference] = []
        for side, sign in ((0, 1), (1, -1)):
            lanes = {lanes[0]: name[side] for each, name, lanes in items if each == sign}
            rows, reason = self._rows_of(side, lanes)
            for row in rows:
                _note(candidates, sign, row.raw, row.key)
            missing = len(lanes) - len(rows)
            kind = Kind.UNKNOWN if reason else Kind.LAGGING
            nameless = (None,) * self.rereader.layout.keys
            unknown += [Difference(kind, nameless, None, None, reason or _GONE)] * max(0, missing)
        return unknown

    def _rows_of(self, side: int, lanes: Mapping[int, int]) -> tuple[list[Row], str]:
        """The rows of one side with these lanes (by token), and why some could not be read, if so."""
        if self.by_scan:
            rows, report = self.rereader.by_scan(lanes, {side: self.rereader.sides[side]}, by_key=False)
            return [row for _, row in rows], "" if report.complete else _NOT_READ
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

    def _by_key(self, candidates: Mapping[Cells, Candidate]) -> Iterator[tuple[Seen | None, Confirmation]]:
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="confirm") as pool:

            def observed() -> list[Seen | StoreError]:
                return list(pool.map(self._observe, candidates, candidates.values()))

            before = observed()
            self.sleep(self.grace_s)
            after = observed()
        for first, second in zip(before, after, strict=True):
            if isinstance(first, StoreError) or isinstance(second, StoreError):
                unread = first if isinstance(first, StoreError) else second
                yield None, Confirmation(Kind.UNKNOWN, (None, None), str(unread))
            else:
                yield first, settle(first, second)

    def _observe(self, key: Cells, candidate: Candidate) -> Seen | StoreError:
        try:
            base, view = (self.rereader.by_key(side, candidate.spelled(side), key) for side in (0, 1))
        except StoreError as error:
            return error
        return base.cells if base else None, view.cells if view else None

    def _by_scan(self, candidates: Mapping[Cells, Candidate]) -> Iterator[tuple[Seen | None, Confirmation]]:
        first, first_report = self._scanned(candidates)
        self.sleep(self.grace_s)
        second, second_report = self._scanned(candidates)
        whole = first_report.complete and second_report.complete
        for key in candidates:
            before = first[0].get(key), first[1].get(key)
            after = second[0].get(key), second[1].get(key)
            yield before, settle(before, after) if whole else Confirmation(Kind.UNKNOWN, before, _NOT_READ)

    def _scanned(
        self, candidates: Mapping[Cells, Candidate]
    ) -> tuple[tuple[dict[Cells, Cells], dict[Cells, Cells]], ScanReport]:
        seed = self.rereader.seed
        lanes = {
            key_lane(raw, seed)
            for candidate in candidates.values()
            for raw in (candidate.base, candidate.view)
            if raw is not None
        }
        rows, report = self.rereader.by_scan(lanes, dict(enumerate(self.rereader.sides)), by_key=True)
        seen: tuple[dict[Cells, Cells], dict[Cells, Cells]] = {}, {}
        for side, row in rows:
            if row.key in candidates:
                seen[side][row.key] = row.cells
        return seen, report


def _note(candidates: dict[Cells, Candidate], sign: int, raw: RawKey, key: Cells) -> None:
    candidate = candidates.setdefault(key, Candidate())
    if sign > 0:
        candidate.base = raw
    else:
        candidate.view = raw


def _signed(token: int) -> int:
    return token - 2**64 if token >= 2**63 else token
