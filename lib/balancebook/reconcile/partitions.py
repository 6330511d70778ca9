"""Comparing some partitions exactly: "are these 400 customers right?", in seconds, on a table of any size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from balancebook.progress import Step
from balancebook.reconcile.confirm import SCAN_CONSISTENCY
from balancebook.reconcile.confirm.by_key import KeyLooker
from balancebook.reconcile.confirm.columns import look_columns
from balancebook.reconcile.confirm.rule import GONE
from balancebook.reconcile.confirm.settle import Settling
from balancebook.reconcile.confirm.suspects import Suspects
from balancebook.reconcile.grouping import Asked, Group, Grouping
from balancebook.reconcile.keys_file import Keys
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport, Difference, counts_disagree, summed_up
from balancebook.reconcile.sides import BASE, VIEW, Side, base_side, types_of, view_side
from balancebook.reconcile.slices import Slice, SliceReader
from balancebook.reconcile.values import Cells, to_json
from balancebook.store.cql.values import text_of
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace
from balancebook.store.ranges import MAY_PASS, ScanReport
from balancebook.store.raw import RawCells
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.verdict import Json

# Suspects that are held at a time, some 0.7 KB each.
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
    """Compares all rows of the partitions asked for, on both sides, and confirms each difference by looks at
    LOCAL_QUORUM, at least `grace_s` seconds apart. If none of the partitions has a row on either side, the verdict is
    unknown.

    The other side's rows are read by their partitions, if the columns of `keys` hold its partition key; else, if they
    hold part of it, its partition keys are listed and the matching ones read; else it is scanned whole, once. To scan
    and list `budget_rows` applies. After one that is not complete, rows that it did not show are looked up by their
    key: what then differs is a fact, and if nothing does the verdict is unknown. All but the confirming looks wait for
    the `pace`.

    Memory: a group of partitions that belong together (those of one user, say) is compared at a time, the other side's
    rows held as Python objects (measured: 0.5 KB a row), the asked side's not; after a scan, its rows of all partitions
    asked for are held. Raises StoreError for non-retryable errors, BalancebookError for a view that filters by more
    than IS NOT NULL.
    """
    sides = base_side(reader, view), view_side(view)
    comparison = _Comparison(reader, sides, keys, grace_s, budget_rows or _NO_BUDGET, sleep, progress, pace)
    return comparison.report(samples)


@dataclass
class _Comparison:
    reader: Reader
    sides: tuple[Side, Side]
    keys: Keys
    grace_s: float
    budget_rows: int
    sleep: Callable[[float], None]
    progress: Callable[[Step], None] | None
    pace: Pace | None

    def __post_init__(self) -> None:
        self._types = types_of(self.reader, self.sides)
        self._columns = look_columns(self.reader, self.sides, self._types)
        looker = KeyLooker(self.reader, self.sides, self._columns)
        self._settling = Settling(looker, self.grace_s, self.sleep)
        self._asked_is = VIEW if self.keys.side == "view" else BASE
        self._asked_side, self._other_side = self.sides[self._asked_is], self.sides[1 - self._asked_is]
        self._asked = Asked(self.keys, self._columns, self._types)
        self._grouping = Grouping(
            self.reader,
            self._asked,
            self._other_side,
            self.budget_rows,
            self._tell,
            self._columns.key_of,
            self.pace,
        )
        # Of those compared: rows, rows that one side alone has, and partitions, of base and view.
        self._rows, self._only, self._read = [0, 0], [0, 0], [0, 0]
        self._gone = 0
        self._absent: list[int] = []
        self._unread: dict[int, str] = {}

    def report(self, samples: int) -> PartitionsReport:
        counts, worst = summed_up(self._differences(self._grouping.find()), samples)
        view = self.sides[VIEW]
        partitions, scanned = self.keys.partitions, self._grouping.scan or ScanReport(0)
        reasons = self._reasons()
        return PartitionsReport(
            rows_base=self._rows[BASE],
            rows_view=self._rows[VIEW],
            counts=counts,
            samples=worst,
            gone=self._gone,
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
            partitions_read=(self._read[BASE], self._read[VIEW]),
            how=self._how(),
        )

    def _differences(self, groups: Sequence[Group]) -> Iterator[Difference]:
        suspects = Suspects(self._columns.identity)
        for group in self._compared(groups):
            for side, rows in enumerate(group):
                self._only[side] += len(rows)
                for row in rows:
                    suspects.note(side, self._columns.raw_key(row))
            if len(suspects) >= _AT_ONCE:
                yield from self._confirmed(suspects)
                suspects = Suspects(self._columns.identity)
        yield from self._confirmed(suspects)

    def _confirmed(self, suspects: Suspects) -> Iterator[Difference]:
        scanned = self._grouping.scan
        for found in self._settling.outcomes(suspects):
            # After a scan that is not complete a suspect may be a row that it did not show.
            if found.kind is Kind.LAGGING and scanned is not None and not scanned.complete:
                continue
            self._gone += found.reason == GONE
            yield found.difference.decoded(self._types)

    def _compared(self, groups: Sequence[Group]) -> Iterator[tuple[list[RawCells], list[RawCells]]]:
        """The rows of base and view that differ, of each group."""
        reads = SliceReader(self.reader, SCAN_CONSISTENCY, self.pace).in_turn(
            wanted for group in groups for wanted in self._slices(group)
        )
        total, done = sum(len(group.others) + len(group.asked) for group in groups), 0
        for group in groups:
            yield self._compare(group, reads)
            done += len(group.others) + len(group.asked)
            self._tell(Step(done, total, sum(self._rows), note="comparing", unit="partitions"))

    def _slices(self, group: Group) -> Iterator[Slice]:
        """The other side's, then those asked for."""
        for values in group.others:
            yield Slice(self._other_side, values)
        for number in group.asked:
            values = dict(zip(self.keys.columns, self._asked.cells[number], strict=True))
            yield Slice(self._asked_side, values)

    def _compare(
        self, group: Group, reads: Iterator[Iterator[RawCells]]
    ) -> tuple[list[RawCells], list[RawCells]]:
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
        return [], []

    def _differing(
        self, group: Group, slices: Iterable[tuple[Side, Iterator[RawCells]]]
    ) -> tuple[list[RawCells], list[RawCells]]:
        """Holds the other side's rows, and takes from them what the asked side has too."""
        held = group.held
        differing: tuple[list[RawCells], list[RawCells]] = [], []
        present = {self._asked.number(row) for row in held.values()}
        counted = [0, 0]
        counted[1 - self._asked_is] = len(held)
        for side, rows in slices:
            asked = side is self._asked_side
            for row in rows:
                number = None if None in row[: self._columns.keys] else self._asked.number(row)
                if number is None or not self._derived(side, row):
                    continue
                present.add(number)
                counted[self._asked_is if asked else 1 - self._asked_is] += 1
                if not asked:
                    held[self._columns.key_of(row)] = row
                    continue
                other = held.pop(self._columns.key_of(row), None)
                if other is None or other[self._columns.keys :] != row[self._columns.keys :]:
                    differing[self._asked_is].append(row)
                    differing[1 - self._asked_is].extend([other] if other else [])
            self._read[self._asked_is if asked else 1 - self._asked_is] += 1
        for each, count in enumerate(counted):
            self._rows[each] += count
        self._absent += [number for number in group.asked if number not in present]
        differing[1 - self._asked_is].extend(held.values())
        held.clear()
        return differing

    def _derived(self, side: Side, row: RawCells) -> bool:
        """Whether a view that filters has such rows: of the base, others come too."""
        if not side.selected.where:
            return True
        return side.selected.admits(self.reader, dict(zip(side.key, row, strict=False)), serialized=True)

    def _how(self) -> str:
        read = (
            f"{_count(self._read[number], 'partition')} of {side.table.name}"
            for number, side in enumerate(self.sides)
        )
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
        if not any(self._rows) and not reasons:
            asked = len(self.keys.partitions)
            none = "the partition" if asked == 1 else f"none of the {asked:,} partitions"
            reasons.append(f"{none} asked for {'has no' if asked == 1 else 'has a'} row on either side")
        return [
            *reasons,
            *counts_disagree(self._rows[BASE], self._rows[VIEW], (self._only[BASE], self._only[VIEW])),
        ]

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
