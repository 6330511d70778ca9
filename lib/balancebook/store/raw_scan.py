"""Reading whole tables as raw pages: several tables at once, each token range gathered by the caller.

It decodes nothing, and keeps nothing: what a range comes to is for `gather` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import Pace, waiting
from balancebook.store.ranges import IN_FLIGHT, PAGE_SIZE, Grant, Progress, RangeScan, RangeTask, ScanReport
from balancebook.store.raw import RawPage, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.scan import require_murmur3
from balancebook.store.schema import Table
from balancebook.store.tokens import filtered, range_clause

Gathered = TypeVar("Gathered")
Gather = Callable[[int, Iterator[RawPage]], Gathered]
"""Makes a range's pages into what is wanted of them; called in a worker's thread, with the number of the table. If
reading fails, the iterator raises StoreError: let it pass, and drop what was gathered."""


def raw_scan(  # noqa: PLR0913 (keywords with defaults, each of them used)
    reader: Reader,
    tables: Sequence[Table],
    columns: Sequence[str],
    gather: Gather[Gathered],
    tasks: Sequence[RangeTask],
    *,
    in_flight: int = IN_FLIGHT,
    page_size: int = PAGE_SIZE,
    budget_rows: int | None = None,
    progress: Progress | None = None,
    report: ScanReport | None = None,
    wheres: Sequence[str] | None = None,
    first_only: bool = False,
    pace: Pace | None = None,
) -> RangeScan[Gathered]:
    """A scan of the same columns of the tasks' ranges of several tables, at LOCAL_ONE (see RangeScan).

    `wheres`: for each table conditions in CQL that its rows must satisfy, or "" (see store.view_filter). `first_only`:
    of each partition its first row alone. The columns of every page are held against those asked for. The report covers
    all tables together, and one that was begun elsewhere goes on; `budget_rows` holds for each table. Every page waits
    for the `pace`. Iterating raises StoreError for what no retry mends.
    """
    require_murmur3(reader)
    selected = ", ".join(quote(name) for name in columns)
    end = " PER PARTITION LIMIT 1" if first_only else ""
    end += dialect_of(reader.server, reader.profile).scan_suffix
    expected = tuple(columns)

    def pages(task: RangeTask, page_size: int, grant: Grant) -> Iterator[RawPage]:
        table = tables[task.table]
        clause, params = range_clause(table, task.tokens)
        where = filtered(clause, wheres[task.table] if wheres else "")
        cql = f"SELECT {selected} FROM {table.cql_name}{where}{end}"
        for page in raw_pages(reader, cql, params, page_size=page_size, wait=waiting(pace)):
            if page.names != expected:
                raise StoreError(
                    "protocol",
                    f"{table.cql_name} answered with columns {', '.join(page.names)}.",
                    "Was it altered meanwhile? Run it again.",
                )
            if grant(page.rows) < page.rows:
                return
            yield page

    def read(task: RangeTask, page_size: int, grant: Grant) -> Gathered:
        return gather(task.table, pages(task, page_size, grant))

    return RangeScan(
        tasks,
        read,
        in_flight=in_flight,
        page_size=page_size,
        budget_rows=budget_rows,
        progress=progress,
        report=report,
        pace=pace,
    )
