"""Reading a whole table once, as rows that the driver decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.gone import naming_what_is_gone
from balancebook.store.names import quote
from balancebook.store.pace import Pace, waiting
from balancebook.store.ranges import (
    IN_FLIGHT,
    PAGE_SIZE,
    RANGES,
    Grant,
    Progress,
    RangeScan,
    RangeTask,
    ScanReport,
    tasks_by_turns,
)
from balancebook.store.reader import Reader, Row
from balancebook.store.schema import Table
from balancebook.store.tokens import filtered, range_clause

MURMUR3 = "org.apache.cassandra.dht.Murmur3Partitioner"


@dataclass(frozen=True)
class Scan:
    """One scan: iterate over it once, for lists of rows in no particular order; `report` grows as it goes."""

    ranges: RangeScan[list[Row]]

    @property
    def report(self) -> ScanReport:
        """What was read so far."""
        return self.ranges.report

    def __iter__(self) -> Iterator[list[Row]]:
        for part in self.ranges:
            if part.gathered:
                yield part.gathered


def scan(  # noqa: PLR0913  (keywords with defaults, each of them used)
    reader: Reader,
    table: Table,
    columns: Sequence[str],
    *,
    budget_rows: int,
    ranges: int = RANGES,
    in_flight: int = IN_FLIGHT,
    page_size: int = PAGE_SIZE,
    distinct: bool = False,
    first_rows: bool = False,
    progress: Progress | None = None,
    where: str = "",
    pace: Pace | None = None,
) -> Scan:
    """A scan of `columns` of a whole table or view, at LOCAL_ONE; nothing is read before it is iterated over.

    At the most `budget_rows` rows are given; if there are more, the report says truncated. `distinct` reads each
    partition key once (columns: those of the partition key), `first_rows` each partition's first row in its clustering
    order (without a `where`). `progress` is called with the report after every range.
    `where`: conditions in CQL that the rows must satisfy (see store.view_filter). Every page waits for the `pace`.
    Raises StoreError at once for what no retry can mend (permission, missing table); what may pass becomes an unknown
    range in the report (see RangeScan).
    """
    if budget_rows < 1:
        raise ValueError(f"budget_rows is {budget_rows}: at least one row must be allowed")
    if first_rows and where:
        raise ValueError("first_rows with a where: which rows are the first is not what is asked then")
    require_murmur3(reader)
    selected = ("DISTINCT " if distinct else "") + ", ".join(quote(name) for name in columns)
    first = " PER PARTITION LIMIT 1" if first_rows else ""
    suffix = dialect_of(reader.server, reader.profile).scan_suffix
    wait = waiting(pace)

    def read(task: RangeTask, page_size: int, grant: Grant) -> list[Row]:
        clause, params = range_clause(table, task.tokens)
        rows: list[Row] = []
        cql = f"SELECT {selected} FROM {table.cql_name}{filtered(clause, where)}{first}{suffix}"
        wait(0)
        size = pace.page_size(page_size) if pace else page_size
        with naming_what_is_gone(reader, table):
            for page in reader.pages(cql, params, page_size=size):
                wait(len(page))
                allowed = grant(len(page))
                rows += page[:allowed]
                if allowed < len(page):
                    break
        return rows

    return Scan(
        RangeScan(
            tasks_by_turns(ranges, 1),
            read,
            in_flight=in_flight,
            page_size=page_size,
            budget_rows=budget_rows,
            progress=progress,
            pace=pace,
        )
    )


def require_murmur3(reader: Reader) -> None:
    """Raises StoreError for a cluster whose tokens are not Murmur3's."""
    if reader.server.partitioner != MURMUR3:
        raise StoreError(
            "protocol",
            f"The cluster's partitioner is {reader.server.partitioner}; scans need {MURMUR3}.",
            "Nothing here can read such a ring by token.",
        )
