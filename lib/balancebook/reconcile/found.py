"""Differences as they are found: raw, by the batch; counted exactly, of which only the worst are kept."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

from balancebook.reconcile.confirm.rule import GONE
from balancebook.reconcile.kinds import SEVERITY, Kind
from balancebook.reconcile.report import Difference
from balancebook.reconcile.values import Cells, hashable_key, order_key
from balancebook.store.raw import RawCells, decode


@dataclass(frozen=True, slots=True)
class RawDifference:
    """One row of the view that differs, in the server's bytes: its key, and the other cells on either side (None: the
    row is not there). The key's cells are None where the row is gone before its key was known."""

    kind: Kind
    key: RawCells
    base: RawCells | None
    view: RawCells | None
    reason: str = ""

    @classmethod
    def nameless(cls, keys: int, kind: Kind, reason: str) -> RawDifference:
        """One of a row that is gone before its key was known; `keys`: how many columns a key has."""
        return cls(kind, (None,) * keys, None, None, reason)

    @property
    def size(self) -> int:
        """The bytes of its cells."""
        cells = (*self.key, *(self.base or ()), *(self.view or ()))
        return sum(len(cell) for cell in cells if cell is not None)

    def decoded(self, types: Sequence[Any]) -> Difference:
        """The same with decoded cells; `types` are those of the key's columns, then of the others."""
        keys = len(self.key)
        key = decoded_key(types[:keys], self.key)
        base, view = (
            None if cells is None else decode(types[keys:], cells) for cells in (self.base, self.view)
        )
        return Difference(self.kind, key, base, view, self.reason)


def decoded_key(types: Sequence[Any], key: RawCells) -> Cells:
    """The key as dictionaries take it; Nones stay."""
    return hashable_key(decode(types, key))


class Batch(Protocol):
    """Confirmed differences, of which each is made only when it is asked for."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kind of each."""
        ...

    @property
    def gone(self) -> int:
        """How many of them are gone from both sides."""
        ...

    def __getitem__(self, number: int) -> RawDifference: ...


class Listed(list[RawDifference]):
    """A batch that is a plain list."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kind of each."""
        return [difference.kind for difference in self]

    @property
    def gone(self) -> int:
        """How many of them are gone from both sides."""
        return sum(difference.reason == GONE for difference in self)


_Ranked = tuple[int, tuple[Any, ...]]


@dataclass
class Tally:
    """Exact counts by kind, and the worst `most` differences: in the order of Kind, then by key.

    Of more than `most` of a kind, in several batches, those of the first batches are kept: to decode the keys of a
    million rows takes longer than to compare them. So each kept one has its rank beside it.
    """

    types: Sequence[Any]
    keys: int
    most: int
    counts: Counter[Kind] = field(default_factory=Counter)
    gone: int = 0
    _worst: list[tuple[_Ranked, RawDifference]] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Count them, and keep those that are among the worst."""
        self.counts.update(batch.kinds)
        self.gone += batch.gone
        candidates = [batch[number] for number in self._that_may_be_kept(batch.kinds)]
        ranked = [(self._rank(each), each) for each in candidates]
        self._worst = heapq.nsmallest(self.most, [*self._worst, *ranked], key=itemgetter(0))

    def all_counts(self) -> dict[Kind, int]:
        """The counts of every kind, also of those that were not found."""
        return {kind: self.counts[kind] for kind in Kind}

    def samples(self) -> tuple[Difference, ...]:
        """The worst, decoded, worst first."""
        return tuple(difference.decoded(self.types) for _, difference in self._worst)

    def _that_may_be_kept(self, kinds: Sequence[Kind]) -> Iterator[int]:
        """Those of the worst kinds: as many kinds as it takes to have `most`."""
        kept = Counter(difference.kind for _, difference in self._worst)
        taken = 0
        for kind in Kind:
            taken += kept[kind]
            if taken >= self.most:
                return
            for number, each in enumerate(kinds):
                if each is kind:
                    taken += 1
                    yield number

    def _rank(self, difference: RawDifference) -> _Ranked:
        key = decoded_key(self.types[: self.keys], difference.key)
        return SEVERITY[difference.kind], order_key(key)
