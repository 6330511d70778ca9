"""Comparing some partitions exactly: "are these 400 customers right?", in seconds, on a table of any size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from balancebook.progress import Step
from balancebook.reconcile.confirm import SCAN_CONSISTENCY, Seen, Sides, confirm_by_key, kind_of
from balancebook.reconcile.confirm_partitions import confirm_by_partition
from balancebook.reconcile.grouping import Asked, Group, Grouping
from balancebook.reconcile.keys_file import Keys
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport, Difference, summed_up
from balancebook.reconcile.sides import Side, base_side, view_side
from balancebook.reconcile.slices import Slice, SliceReader
from balancebook.reconcile.values import Cells, to_json
from balancebook.store.cql.values import text_of
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace
from balancebook.store.ranges import MAY_PASS, ScanReport
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.verdict import Json

# More candidates than this are confirmed by their partitions; and so many are held at a time, some 0.7 KB each.
_MOST_BY_KEY = 10_000
_AT_ONCE = 100_000
_NAMED = 10
_NO_BUDGET = 2**62


@dataclass(frozen=True, kw_only=True)
class PartitionsReport(ComparisonReport):
    """What a comparison of some partitions found, as ComparisonReport says it: rows and counts are theirs alone.

    asked: how many partitions, of the base or the view (`keys_of`), named by `partition_columns`. absent: those that
    have no row on either side. unread: those that were not compared, and why. partitions_read: of base and view. how: a
    sentence on what was read. ranges are those of the scan, if it took one.
    """

    keys_of: str
    partition_columns: tuple[str, ...]
    asked: int
    absent: tuple[Cells, ...]
    unread: tuple[tuple[Cells, str], ...]
    partitions_read: tuple[int, int]
    how: str

    @property
    def subject(self) -> str:
        return f"rows of the {_count(self.asked, 'partition')} asked for"

    @property
    def message(self) -> str:
        """What it comes to, in a sentence or two."""
        if not self.absent:
            return super().message
        names = _names(self.partition_columns, self.absent)
        return f"{super().message} {len(self.absent):,} of {self.asked:,} exist on neither side: {names}."

    def details(self) -> dict[str, Json]:
        """keys_of (base or view), asked, absent and unread partitions, how they were read."""
        unread: list[Json] = [
            {"partition": _named(self.partition_columns, partition), "reason": why}
            for partition, why in self.unread
        ]
        absent: list[Json] = [_named(self.partition_columns, partition) for partition in self.absent]
        return {
            "keys_of": self.keys_of,
            "asked": self.asked,
            "absent": absent,
            "unread": unread,
            "how": self.how,
        }


def _named(columns: Sequence[str], partition: Cells) -> dict[str, Json]:
    return {name: to_json(value) for name, value in zip(columns, partition, strict=True)}


def compare_partitions(  # noqa: PLR0913 (keywords with defaults, each of them used)
    reader: Reader,
    view: View,
    keys: Keys,
    *,
    grace_s: float,
    budget_rows: int | None = None,
    samples: int = 1000,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[Step], None] | None = None,
    pace: Pace | None = None,
) -> PartitionsReport:
    """Compares all rows of the partitions asked for, on both sides, and confirms each difference by two reads of both
    sides at LOCAL_QUORUM, `grace_s` seconds apart.

    The other side's rows are read by their partitions, if the columns of `keys` hold its partition key; else, if they
    hold part of it, its partition keys are listed and the matching ones read; else it is scanned whole, once. To scan
    and list `budget_rows` applies. After one that is not complete, rows that it did not show are looked up by their
    key: what then differs is a fact, and if nothing does the verdict is unknown. All but the confirming reads wait for
    the `pace`.

    Memory: a group of partitions that belong together (those of one user, say) is compared at a time, the other side's
    rows held as Python objects (measured: 0.5 KB a row), the asked side's not; after a scan, its rows of all partitions
    asked for are held. Raises StoreError for what no retry mends, BalancebookError for a view that filters by more than
    IS NOT NULL.
    """
    sides = base_side(reader, view), view_side(view)
    comparison = _Comparison(reader, sides, keys, grace_s, budget_rows or _NO_BUDGET, sleep, progress, pace)
    return comparison.report(samples)


@dataclass
class _Comparison:
    reader: Reader
    sides: Sides
    keys: Keys
    grace_s: float
    budget_rows: int
    sleep: Callable[[float], None]
    progress: Callable[[Step], None] | None
    pace: Pace | None

    def __post_init__(self) -> None:
        base, view = self.sides
        self._asked_side, self._other_side = (view, base) if self.keys.side == "view" else (base, view)
        self._asked = Asked(self.keys, view.key)
        self._grouping = Grouping(
            self.reader, self._asked, self._other_side, self.budget_rows, self._tell, self.pace
        )
        # Of those compared, by side.
        self._rows = {id(base): 0, id(view): 0}
        self._read = {id(base): 0, id(view): 0}
        self._absent: list[int] = []
        self._unread: dict[int, str] = {}

    def report(self, samples: int) -> PartitionsReport:
        counts, worst = summed_up(self._differences(self._grouping.find()), samples)
        base, view = self.sides
        partitions, scanned = self.keys.partitions, self._grouping.scan or ScanReport(0)
        reasons = self._reasons()
        return PartitionsReport(
            rows_base=self._rows[id(base)],
            rows_view=self._rows[id(view)],
            counts=counts,
            samples=worst,
            key_columns=view.key,
            value_columns=view.values,
            complete=not reasons,
            reasons=tuple(reasons),
            truncated=scanned.truncated,
            unknown_ranges=tuple(scanned.unknown_ranges),
            ranges_total=scanned.ranges_total,
            ranges_done=scanned.ranges_done,
            keys_of=self.keys.side,
            partition_columns=self.keys.columns,
            asked=len(partitions),
            # Part of a scan does not tell that a partition is nowhere.
            absent=tuple(partitions[number] for number in sorted(self._absent)) if scanned.complete else (),
            unread=tuple((partitions[number], why) for number, why in sorted(self._unread.items())),
            partitions_read=(self._read[id(base)], self._read[id(view)]),
            how=self._how(),
        )

    def _differences(self, groups: Sequence[Group]) -> Iterator[Difference]:
        candidates: dict[Cells, Seen] = {}
        for found in self._compared(groups):
            candidates |= found
            if len(candidates) >= _AT_ONCE:
                yield from self._confirmed(candidates)
                candidates = {}
        yield from self._confirmed(candidates)

    def _confirmed(self, candidates: Mapping[Cells, Seen]) -> Iterator[Difference]:
        scanned = self._grouping.scan
        confirm = confirm_by_key if len(candidates) <= _MOST_BY_KEY else confirm_by_partition
        for key, found in confirm(self.reader, self.sides, candidates, self.grace_s, self.sleep):
            # After a scan that is not complete a candidate may be a row that it did not show.
            if found.kind is not Kind.LAGGING or scanned is None or scanned.complete:
                yield Difference(found.kind, key, *found.seen, found.reason)

    def _compared(self, groups: Sequence[Group]) -> Iterator[dict[Cells, Seen]]:
        """The candidates of each group."""
        reads = SliceReader(self.reader, SCAN_CONSISTENCY, self.pace).in_turn(
            wanted for group in groups for wanted in self._slices(group)
        )
        total, done = sum(len(group.others) + len(group.asked) for group in groups), 0
        for group in groups:
            yield self._compare(group, reads)
            done += len(group.others) + len(group.asked)
            self._tell(Step(done, total, sum(self._rows.values()), note="comparing", unit="partitions"))

    def _slices(self, group: Group) -> Iterator[Slice]:
        """The other side's, then those asked for."""
        for values in group.others:
            yield Slice(self._other_side, values)
        for number in group.asked:
            values = dict(zip(self.keys.columns, self.keys.partitions[number], strict=True))
            yield Slice(self._asked_side, values)

    def _compare(self, group: Group, reads: Iterator[Iterator[tuple[Cells, Cells]]]) -> dict[Cells, Seen]:
        slices = ((wanted.side, next(reads)) for wanted in self._slices(group))
        try:
            return self._differing(group, slices)
        except StoreError as error:
            if error.kind not in MAY_PASS:
                raise
            self._unread |= dict.fromkeys(group.asked, str(error))
        # What is under way is waited for, so that no more is asked of a server in trouble than of another.
        for _, rows in slices:
            with suppress(StoreError):
                deque(rows, maxlen=0)
        return {}

    def _differing(
        self, group: Group, slices: Iterable[tuple[Side, Iterator[tuple[Cells, Cells]]]]
    ) -> dict[Cells, Seen]:
        """Holds the other side's rows, and takes from them what the asked side has too."""
        held, found = group.held, dict[Cells, Seen]()
        present = {self._asked.number(key) for key in held}
        counted = {id(self._other_side): len(held), id(self._asked_side): 0}
        for side, rows in slices:
            for key, cells in rows:
                number = self._asked.number(key)
                if number is None or not self._derived(side, key):
                    continue
                present.add(number)
                counted[id(side)] += 1
                if side is self._other_side:
                    held[key] = cells
                elif kind_of(seen := self._seen(held.pop(key, None), cells)):
                    found[key] = seen
            self._read[id(side)] += 1
        for each, count in counted.items():
            self._rows[each] += count
        self._absent += [number for number in group.asked if number not in present]
        found |= {key: self._seen(cells, None) for key, cells in held.items()}
        held.clear()
        return found

    def _derived(self, side: Side, key: Cells) -> bool:
        """Whether a view that filters has such rows: of the base, others come too."""
        if not side.selected.where:
            return True
        return side.selected.admits(self.reader, dict(zip(side.key, key, strict=True)))

    def _seen(self, other: Cells | None, asked: Cells | None) -> Seen:
        """As (base, view)."""
        return (other, asked) if self.keys.side == "view" else (asked, other)

    def _how(self) -> str:
        read = (f"{_count(self._read[id(side)], 'partition')} of {side.table.name}" for side in self.sides)
        return f"Read {' and '.join(read)}; {self._grouping.how}."

    def _reasons(self) -> list[str]:
        reasons, scanned = [], self._grouping.scan
        if scanned and not scanned.complete:
            name = self._other_side.table.cql_name
            missing = f"{scanned.ranges_total - scanned.ranges_done} of {scanned.ranges_total} token ranges"
            over = f"it goes beyond the budget of {self.budget_rows:,}" if scanned.truncated else ""
            reasons.append(f"{missing} of {name} were not read: {over or '; '.join(scanned.reasons)}")
        if self._unread:
            names = _names(self.keys.columns, [self.keys.partitions[each] for each in sorted(self._unread)])
            told = "; ".join(dict.fromkeys(self._unread.values()))
            many = f"{len(self._unread):,} of {_count(len(self.keys.partitions), 'partition')}"
            reasons.append(f"{many} could not be read ({names}): {told}")
        return reasons

    def _tell(self, step: Step) -> None:
        if self.progress:
            self.progress(step)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _names(columns: Sequence[str], partitions: Sequence[Cells]) -> str:
    """The first few partitions as column=value."""
    named = [
        " ".join(f"{name}={text_of(value)}" for name, value in zip(columns, partition, strict=True))
        for partition in partitions[:_NAMED]
    ]
    more = [f"{len(partitions) - _NAMED:,} more"] if len(partitions) > _NAMED else []
    return ", ".join(named + more)
