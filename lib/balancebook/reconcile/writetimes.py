"""When the cells of a difference were written: read for the sampled differences only, since each costs two reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from balancebook.reconcile.report import ComparisonReport, Difference
from balancebook.reconcile.sides import Side
from balancebook.store.cql_types import has_one_write_time
from balancebook.store.names import quote
from balancebook.store.reader import Pending, Reader
from balancebook.verdict import Json

Times = Mapping[str, int | None]
_IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class Written:
    """Column -> write time in integer microseconds, for the base and the view; empty for a row that is not there."""

    base: Times
    view: Times


def read_write_times(reader: Reader, sides: tuple[Side, Side], report: ComparisonReport) -> Iterator[Written]:
    """The write times of each sample of the report, in their order, as they are now.

    WRITETIME is refused on columns of a primary key and given for each element of what is not frozen: such columns have
    none here. Raises StoreError.
    """
    base, view = sides
    on_base = _times(reader, base, [sample if sample.base is not None else None for sample in report.samples])
    on_view = _times(reader, view, [sample if sample.view is not None else None for sample in report.samples])
    yield from map(Written, on_base, on_view)


def _times(reader: Reader, side: Side, samples: Sequence[Difference | None]) -> Iterator[Times]:
    timed = [
        column.name
        for column in side.table.regular
        if column.name in side.values and has_one_write_time(column.cql_type)
    ]
    select = ", ".join(f"WRITETIME({quote(name)})" for name in timed)
    where = " AND ".join(f"{quote(name)} = ?" for name in side.address)
    cql = f"SELECT {select} FROM {side.table.cql_name} WHERE {where}"

    def ask(sample: Difference | None) -> Pending | None:
        if sample is None or not timed:
            return None
        by_name = dict(zip(side.key, sample.key, strict=True))
        return reader.execute_async(cql, [by_name[name] for name in side.address])

    waiting: deque[Pending | None] = deque()
    for sample in samples:
        waiting.append(ask(sample))
        if len(waiting) == _IN_FLIGHT:
            yield _named(timed, waiting.popleft())
    while waiting:
        yield _named(timed, waiting.popleft())


def _named(timed: Sequence[str], pending: Pending | None) -> Times:
    rows = pending.rows() if pending else []
    return dict(zip(timed, rows[0], strict=True)) if rows else {}


def with_times(cells: Mapping[str, Json] | None, times: Times) -> dict[str, Json] | None:
    """Column -> {"value", "writetime"}, or None for a row that is not there."""
    if cells is None:
        return None
    return {name: {"value": value, "writetime": times.get(name)} for name, value in cells.items()}
