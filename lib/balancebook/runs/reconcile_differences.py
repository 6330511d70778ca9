"""All differences of a run as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.parquet import write_parquet
from balancebook.reconcile.sides import base_side, types_of, view_side
from balancebook.reconcile.spool import read_spool
from balancebook.store.reader import Reader
from balancebook.store.schema import View


def save_differences(path: Path, spool: Path, reader: Reader, view: View, run_id: str) -> int:
    """Write what the spool holds, and return how many there are. Raises OSError, StoreError."""
    sides = base_side(reader, view), view_side(view)
    side, types = sides[1], types_of(reader, sides)
    found: Iterable[RawDifference] = read_spool(spool) if spool.exists() else ()
    origin = {"balancebook.view": f"{view.keyspace}.{view.name}", "balancebook.run_id": run_id}
    return write_parquet(path, found, view, (side.key, side.values), types, origin)
