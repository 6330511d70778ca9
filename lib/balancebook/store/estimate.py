"""What a scan will cost, before it is begun: the server's own estimates, which are rough and may be missing."""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import RawCells, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.schema import Table

# Tuples decoded in the client, 200,000 rows in 1.0 s: client and Cassandra 5.0 on the same two busy cores.
_ROWS_PER_S = 200_000
_SAMPLED_ROWS = 500
# In an SSTable a row brings flags, sizes and write time, a cell its flags (BigFormat: UnfilteredSerializer, Cell).
_ROW_OVERHEAD = 8
_CELL_OVERHEAD = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate, good to some ten per cent at best; None where the server has none (it looks every few minutes, and
    only at what was flushed to disk). bytes: uncompressed, of one replica. seconds: with one client."""

    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None


def estimate(reader: Reader, table: Table) -> Cost:
    """The cost of reading a table or view once, from system.size_estimates of every node and a sample of its rows.

    Never raises for a read that fails: what is not known is None, and what is wrong the scan itself will tell.
    """
    try:
        partitions, size = _on_disk(reader, table)
        if not partitions or not size:
            return Cost()
        # A table that was just emptied has an estimate, and no row to tell its size by.
        width = _row_bytes(reader, table) if table.clustering_key else 0
        if width is None:
            return Cost()
        rows = size // width if width else partitions
    except StoreError:
        return Cost()
    return Cost(rows=rows, bytes=size, seconds=round(rows / _ROWS_PER_S, 1))


def _on_disk(reader: Reader, table: Table) -> tuple[int, int]:
    """Partitions and bytes over all nodes; each tells of its primary ranges, so that replicas count once."""
    cql = (
        "SELECT partitions_count, mean_partition_size FROM system.size_estimates "
        "WHERE keyspace_name = ? AND table_name = ?"
    )
    told = [row for host in reader.hosts() for row in reader.rows_on(host, cql, (table.keyspace, table.name))]
    return sum(count for count, _ in told), sum(count * mean for count, mean in told)


def _row_bytes(reader: Reader, table: Table) -> int | None:
    """The mean size on disk of a sampled row, at least 1; None if there is no row."""
    names = ", ".join(quote(column.name) for column in (*table.clustering_key, *table.regular))
    cql = f"SELECT {names} FROM {table.cql_name} PER PARTITION LIMIT 20 LIMIT {_SAMPLED_ROWS}"
    sizes = [_size(row) for page in raw_pages(reader, cql) for row in page.cells()]
    return max(1, sum(sizes) // len(sizes)) if sizes else None


def _size(row: RawCells) -> int:
    cells = [len(cell) + _CELL_OVERHEAD for cell in row if cell is not None]
    return _ROW_OVERHEAD + sum(cells)
