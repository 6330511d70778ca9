"""When the cells of a difference were written: read for the sampled differences only, since each costs two reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from balancebook.reconcile.report import ComparisonReport, Difference
from balancebook.reconcile.sides import Side
from balancebook.store.cql_types import has_one_write_time
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.ranges import MAY_PASS
from balancebook.store.reader import Pending, Reader
from balancebook.verdict import Json

Times = Mapping[str, int | None]
_IN_FLIGHT = 32
# What may be wrong with one row alone, such as a key that cannot be bound; anything else is true of all rows.
_OF_ONE_ROW = ("protocol", *MAY_PASS)
# That many failures in a row: the server does not answer any more.
_MOST_FAILURES = 8


@dataclass(frozen=True, slots=True)
class Written:
    """Column -> write time in integer microseconds, for the base and the view; empty for a row that is not there.

    unread: why they could not be read, or nothing.
    """

    base: Times
    view: Times
    unread: str = ""


def read_write_times(reader: Reader, sides: tuple[Side, Side], report: ComparisonReport) -> Iterator[Written]:
    """The write times of each sample of the report, in their order, as they are now.

    WRITETIME is refused on columns of a primary key and given for each element of what is not frozen: such columns have
    none here. A sample whose read fails has none either. Raises StoreError for what is wrong with all of them.
    """
    base, view = sides
    on_base = _TimesOf(reader, base).each(each if each.base is not None else None for each in report.samples)
    on_view = _TimesOf(reader, view).each(each if each.view is not None else None for each in report.samples)
    for (of_base, why), (of_view, why_view) in zip(on_base, on_view, strict=True):
        yield Written(of_base, of_view, why or why_view)


def why_unread(written: Sequence[Written]) -> str:
    """How many samples have no write times since they could not be read, and the first reason; or nothing."""
    reasons = [each.unread for each in written if each.unread]
    if not reasons:
        return ""
    return f"The write times of {len(reasons):,} of {len(written):,} samples could not be read: {reasons[0]}"


@dataclass
class _TimesOf:
    """Reads the write times of rows of one side, many of them in flight."""

    reader: Reader
    side: Side
    failures_in_a_row: int = 0

    @cached_property
    def timed(self) -> list[str]:
        """The columns that have one write time each."""
        columns = [column for column in self.side.table.regular if column.name in self.side.values]
        return [column.name for column in columns if has_one_write_time(column.cql_type)]

    def each(self, samples: Iterable[Difference | None]) -> Iterator[tuple[Times, str]]:
        """Of each sample its write times, and why they could not be read."""
        waiting: deque[Pending | StoreError | None] = deque()
        for sample in samples:
            waiting.append(self._ask(sample) if sample and self.timed else None)
            if len(waiting) == _IN_FLIGHT:
                yield self._answer(waiting.popleft())
        while waiting:
            yield self._answer(waiting.popleft())

    def _ask(self, sample: Difference) -> Pending | StoreError:
        select = ", ".join(f"WRITETIME({quote(name)})" for name in self.timed)
        where = " AND ".join(f"{quote(name)} = ?" for name in self.side.address)
        by_name = dict(zip(self.side.key, sample.key, strict=True))
        cql = f"SELECT {select} FROM {self.side.table.cql_name} WHERE {where}"
        try:
            return self.reader.execute_async(cql, [by_name[name] for name in self.side.address])
        except StoreError as error:
            return error

    def _answer(self, asked: Pending | StoreError | None) -> tuple[Times, str]:
        try:
            if isinstance(asked, StoreError):
                raise asked
            rows = asked.rows() if asked else []
        except StoreError as error:
            self.failures_in_a_row += error.kind in MAY_PASS
            if error.kind not in _OF_ONE_ROW or self.failures_in_a_row == _MOST_FAILURES:
                raise
            return {}, error.message
        self.failures_in_a_row = 0
        return (dict(zip(self.timed, rows[0], strict=True)) if rows else {}), ""


def with_times(cells: Mapping[str, Json] | None, times: Times) -> dict[str, Json] | None:
    """Column -> {"value", "writetime"}, or None for a row that is not there."""
    if cells is None:
        return None
    return {name: {"value": value, "writetime": times.get(name)} for name, value in cells.items()}
