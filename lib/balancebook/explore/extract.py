"""The extract: every account's balances as of one moment, from one scan, kept as a Parquet file that says where from.

All questions about all accounts are answered from it, here or by any reader of Parquet (DuckDB, polars).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balancebook.errors import BalancebookError, UsageError
from balancebook.explore.newest import Found, narrowed, newest_entries
from balancebook.explore.place import Place, source_of
from balancebook.ledger.entries import Entries
from balancebook.ledger.source import Source
from balancebook.moment import DAY_MS, milliseconds, utc_text
from balancebook.progress import Display, Step
from balancebook.record import whole
from balancebook.sketch.columns import is_number
from balancebook.store.cql.values import text_of
from balancebook.store.pace import pace_of
from balancebook.store.ranges import ScanReport
from balancebook.store.raw import decode

METADATA_KEY = b"balancebook"
# Parquet's decimals have 38 digits at the most; one is left for the sum of available and held. Whole numbers are kept
# as such decimals too: what sums int64 columns (Arrow, polars) wraps silently.
_DIGITS = 37


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an extract comes from; all times UTC. as_of: None if the ledger has no time: then as it was read.

    entries: how many balances it has. held: whether the ledger has a column for held balances. undated: how many of the
    entries read bear no time, so that an earlier one stands for them, or none. units: "raw" (integers in the smallest
    unit of each asset) or "whole".
    """

    keyspace: str
    table: str
    cluster: str
    profile: str
    as_of: str | None
    read_from: str
    read_to: str
    consistency: str
    units: str
    held: bool
    entries: int
    undated: int
    schema_version: int = 1

    @property
    def line(self) -> str:
        """In one line, for beneath a figure."""
        when = f"as of {self.as_of} UTC" if self.as_of else f"read {self.read_from} to {self.read_to} UTC"
        return f"{self.keyspace}.{self.table} on {self.cluster}, {when}, read at {self.consistency}"


@dataclass(frozen=True, slots=True)
class Extract:
    """Balances of all accounts, one row for each account and asset.

    table: account, asset (int64, or text as in the JSON of reconcile), entry (int64), available, held
    (decimal128(37, scale), null as stored; held all null where the ledger has no such column), time (int64,
    milliseconds since 1970). Integer money is in the store's unit, with scale 0.
    """

    table: pa.Table
    origin: Origin

    def amount(self, cell: Decimal | None) -> int | Decimal | None:
        """A cell of money as it is stored: an int in the store's unit, or a Decimal in whole units."""
        return int(cell) if cell is not None and self.origin.units == "raw" else cell


def make_extract(place: Place, as_of: int | None = None) -> Extract:
    """Read every account's newest entry whose time is not after that moment (milliseconds since 1970).

    By default that is now less the profile's grace: what is younger may not have come to all replicas, nor all four
    entries of a trade. Raises BalancebookError unless all of it was read, StoreError.
    """
    source = source_of(place)
    started = datetime.now(UTC)
    if as_of is not None and not source.roles.has("time"):
        raise BalancebookError("The ledger has no column for the time of an entry.", "Leave out as_of.")
    if as_of is None and source.roles.has("time"):
        as_of = milliseconds(started) - round(1000 * place.profile.grace_s)
    found = _scanned(place, source, as_of, started)
    table = _table(narrowed(source), found)
    read_from, read_to = (str(utc_text(milliseconds(when))) for when in (started, datetime.now(UTC)))
    origin = Origin(
        keyspace=source.base.keyspace,
        table=source.base.name,
        cluster=place.reader.server.cluster_name,
        profile=place.profile.name,
        as_of=utc_text(as_of),
        read_from=read_from,
        read_to=read_to,
        consistency="LOCAL_ONE",
        units="whole" if "decimal" in _money_types(source).values() else "raw",
        held=source.roles.has("held"),
        entries=len(table),
        undated=sum(each.undated for each in found),
    )
    return Extract(table, origin)


def _scanned(place: Place, source: Source, as_of: int | None, started: datetime) -> list[Found]:
    pace = pace_of(place.reader, place.view, None, paced=not place.profile.embedded)
    recent = as_of is None or milliseconds(started) - as_of < DAY_MS
    budget = place.profile.limits.max_rows
    with Display() as display, pace or nullcontext():

        def told(report: ScanReport) -> None:
            display(Step(report.ranges_done, report.ranges_total, report.rows))

        return list(newest_entries(source, as_of, budget, recent=recent, pace=pace, progress=told))


def write_extract(extract: Extract, path: Path) -> None:
    """Write it as Parquet, its origin in the file's metadata under `balancebook`, as JSON. The file appears whole, or
    not at all. Raises OSError."""
    table = extract.table.replace_schema_metadata({METADATA_KEY: json.dumps(asdict(extract.origin))})
    with whole(path) as aside:
        pq.write_table(table, aside, compression="zstd")


def read_extract(path: Path) -> Extract:
    """The extract in a file. Raises UsageError if it is none."""
    try:
        table = pq.read_table(path)
        origin = Origin(**json.loads((table.schema.metadata or {})[METADATA_KEY]))
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no extract of balances ({type(error).__name__}).",
            "Name one that balance_explorer wrote, or a file that is not there yet.",
            parameter="extract",
        ) from error
    return Extract(table, origin)


def _money_types(source: Source) -> dict[str, str]:
    roles = source.roles
    return {role: roles.types[roles.at[role]] for role in ("available", "held") if roles.has(role)}


def _table(source: Source, found: Sequence[Found]) -> pa.Table:
    some = [entries for each in found for entries in each.entries]
    # One scale for both, so that their sum has room.
    kind = pa.decimal128(
        _DIGITS, max((_scale(cells) for each in some for cells in each.money.values()), default=0)
    )
    columns: Mapping[str, Any] = {
        "account": _chunked([_keys(source, each, "account") for each in some], _key_type(source, "account")),
        "asset": _chunked([_keys(source, each, "asset") for each in some], _key_type(source, "asset")),
        "entry": _chunked([pa.array(each.order) for each in some], pa.int64()),
        **{role: _money(some, role, kind) for role in ("available", "held")},
        "time": _chunked([_time(each) for each in some], pa.int64()),
    }
    return pa.table(columns)


def _chunked(arrays: Sequence[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array(arrays, type=kind)


def _key_type(source: Source, role: str) -> pa.DataType:
    return pa.int64() if is_number(source.roles.types[source.roles.at[role]]) else pa.string()


def _keys(source: Source, entries: Entries, role: str) -> pa.Array:
    at = source.roles.at[role]
    if is_number(source.roles.types[at]):
        return pa.array(entries.account if role == "account" else entries.asset)
    kinds = [source.types[at]]
    cells = (decode(kinds, [entries.raw(row, at)])[0] for row in range(len(entries)))
    return pa.array([text_of(cell) for cell in cells], pa.string())


def _time(entries: Entries) -> pa.Array:
    if "time" not in entries.other:
        return pa.nulls(len(entries), pa.int64())
    return pa.array(entries.other["time"], mask=entries.missing["time"])


def _money(some: Sequence[Entries], role: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return _chunked([_amounts(each, role, kind) for each in some], kind)
    except pa.ArrowInvalid as error:
        raise BalancebookError(
            f"An amount ({role}) has more than {_DIGITS} digits, {kind.scale} of them decimals: {error}.",
            "Parquet's decimals hold no more; ask for single accounts instead.",
        ) from error


def _scale(amounts: Any) -> int:
    if amounts.dtype != object:
        return 0
    exponents = (int(each.as_tuple().exponent) for each in amounts if isinstance(each, Decimal))
    return max((max(0, -each) for each in exponents), default=0)


def _amounts(entries: Entries, role: str, kind: pa.DataType) -> pa.Array:
    if role not in entries.money:
        return pa.nulls(len(entries), kind)
    amounts, missing = entries.money[role], entries.missing[role]
    if amounts.dtype != object:
        return pc.cast(pa.array(np.ascontiguousarray(amounts), mask=missing), kind)
    cells = [None if absent else Decimal(each) for each, absent in zip(amounts, missing, strict=True)]
    return pa.array(cells, kind)
