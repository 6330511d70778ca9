"""Reading whole tables as raw pages: several tables at once, each token range gathered by the caller.

It decodes nothing, and keeps nothing: what a range comes to is for `gather` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.gone import naming_what_is_gone
from balancebook.store.names import quote
from balancebook.store.pace import Pace, waiting
from balancebook.store.ranges import IN_FLIGHT, PAGE_SIZE, Grant, Progress, RangeScan, RangeTask, ScanReport
from balancebook.store.raw import RawPage, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.scan import require_murmur3
from balancebook.store.schema import Table
from balancebook.store.tokens import filtered, range_clause

# Measured with rows of 68 bytes: pages of 10,000 take 7 % less time than those of 5,000, and the client a fifth less
# CPU; larger ones gain nothing more. Wide rows fill as many bytes sooner.
PAGE_BYTES = 700_000
MOST_ROWS = 10_000

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
    times: Sequence[str] = (),
    consistency: str | None = None,
) -> RangeScan[Gathered]:
    """A scan of the same columns of the tasks' ranges of several tables, at LOCAL_ONE by default (see RangeScan).

    `wheres`: for each table conditions in CQL that its rows must satisfy, or "" (see store.view_filter). `first_only`:
    of each partition its first row alone. `times`: columns whose write times come after the others. The columns of
    every page are compared with those asked for. The report covers all tables together, and one that was begun
    elsewhere goes on; `budget_rows` holds for each table. Every page waits for the `pace`. Of the first pages
    `page_size` is the number of rows, later ones are fitted to about PAGE_BYTES (see PageRows). Iterating raises
    StoreError for non-retryable errors.
    """
    require_murmur3(reader)
    selected = ", ".join([*map(quote, columns), *(f"WRITETIME({quote(name)})" for name in times)])
    end = " PER PARTITION LIMIT 1" if first_only else ""
    end += dialect_of(reader.server, reader.profile).scan_suffix
    expected = tuple(columns)
    fitted = PageRows()

    def pages_of(task: RangeTask, page_size: int, grant: Grant) -> Iterator[RawPage]:
        table = tables[task.table]
        clause, params = range_clause(table, task.tokens)
        where = filtered(clause, wheres[task.table] if wheres else "")
        cql = f"SELECT {selected} FROM {table.cql_name}{where}{end}"

        def allowed() -> int:
            return fitted.of(task.table, pace.page_size(page_size) if pace else page_size)

        def of_next(page: RawPage) -> int:
            fitted.saw(task.table, page)
            return allowed()

        pages = raw_pages(
            reader,
            cql,
            params,
            page_size=allowed(),
            rows_of_next=of_next,
            consistency=consistency,
            wait=waiting(pace),
        )
        for page in pages:
            if page.names[: len(expected)] != expected:
                raise StoreError(
                    "protocol",
                    f"{table.cql_name} answered with columns {', '.join(page.names)}.",
                    "Was it altered meanwhile? Run it again.",
                )
            if grant(page.rows) < page.rows:
                return
            yield page

    def read(task: RangeTask, page_size: int, grant: Grant) -> Gathered:
        with naming_what_is_gone(reader, tables[task.table]):
            return gather(task.table, pages_of(task, page_size, grant))

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


class PageRows:
    """How many rows to ask for in a page of each table, so that it has about PAGE_BYTES, by how wide its rows were.

    At most MOST_ROWS. Whoever asks for less than PAGE_SIZE (a pace, or after a failure) gets no more than that, and of
    wide rows the same share of PAGE_BYTES.
    """

    def __init__(self) -> None:
        self._widths: dict[int, float] = {}

    def saw(self, table: int, page: RawPage) -> None:
        """Note how wide the rows of a page were."""
        if page.rows:
            self._widths[table] = (len(page.body) - page.start) / page.rows

    def of(self, table: int, page_size: int) -> int:
        """The rows of its next page; `page_size` while nothing is known of it."""
        if table not in self._widths:
            return page_size
        fitting = int(PAGE_BYTES / self._widths[table] * min(1.0, page_size / PAGE_SIZE))
        return max(1, min(fitting, page_size if page_size < PAGE_SIZE else MOST_ROWS))
