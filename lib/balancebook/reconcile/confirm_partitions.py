"""Confirming many candidates at once: their partitions are read whole, which costs less than each row by its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from balancebook.reconcile.confirm import BY_KEY_CONSISTENCY, Confirmation, Seen, Sides, settle
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import Side
from balancebook.reconcile.slices import Slice, SliceReader
from balancebook.reconcile.values import Cells
from balancebook.store.errors import StoreError
from balancebook.store.ranges import MAY_PASS
from balancebook.store.reader import Reader


def confirm_by_partition(
    reader: Reader,
    sides: Sides,
    candidates: Mapping[Cells, Seen],
    grace_s: float,
    sleep: Callable[[float], None],
) -> Iterator[tuple[Cells, Confirmation]]:
    """As confirm.confirm_by_key, at the same consistency: every partition of the candidates on either side is read, and
    after the grace once more. What cannot be read is UNKNOWN. Raises StoreError for what no retry mends."""
    first = _Observed(reader, sides, candidates)
    sleep(grace_s)
    second = _Observed(reader, sides, candidates)
    for key, before in candidates.items():
        if reason := first.unread.get(key) or second.unread.get(key):
            yield key, Confirmation(Kind.UNKNOWN, before, reason)
        else:
            yield key, settle(first.seen(key), second.seen(key))


class _Observed:
    """What one reading of the candidates' partitions shows. unread: why a candidate's could not be read."""

    def __init__(self, reader: Reader, sides: Sides, candidates: Mapping[Cells, Seen]) -> None:
        self._reader, self._candidates = reader, candidates
        self.unread: dict[Cells, str] = {}
        self._base, self._view = (self._read(side) for side in sides)

    def seen(self, key: Cells) -> Seen:
        """The other cells of a row on base and view, None where it is not there."""
        return self._base.get(key), self._view.get(key)

    def _read(self, side: Side) -> dict[Cells, Cells]:
        partition = [column.name for column in side.table.partition_key]
        places = [side.key.index(name) for name in partition]
        keys: dict[str, list[Cells]] = {}
        for key in self._candidates:
            keys.setdefault(repr([key[place] for place in places]), []).append(key)
        slices = (
            Slice(side, dict(zip(partition, (some[0][place] for place in places), strict=True)))
            for some in keys.values()
        )
        found: dict[Cells, Cells] = {}
        reads = SliceReader(self._reader, BY_KEY_CONSISTENCY).in_turn(slices)
        for some, rows in zip(keys.values(), reads, strict=True):
            try:
                found |= {key: cells for key, cells in rows if key in self._candidates}
            except StoreError as error:
                if error.kind not in MAY_PASS:
                    raise
                self.unread |= dict.fromkeys(some, str(error))
        return found
