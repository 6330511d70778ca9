"""The extract: every account's balances as of one moment, from one scan, kept as a Parquet file that says where from.

All questions about all accounts are answered from it, here or by any reader of Parquet (DuckDB, polars).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balancebook.errors import BalancebookError, UsageError
from balancebook.explore.newest import Found, Leading, narrowed, newest_entries
from balancebook.explore.place import Place, source_of
from balancebook.explore.when import When, clock_now, rule_of
from balancebook.ledger.entries import Entries
from balancebook.ledger.source import Source
from balancebook.moment import DAY_MS, utc_text
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
    """Where an extract comes from; all times UTC. as_of: None for every entry, as it was read (see explore.when).

    entries: how many balances it has. held: whether the ledger has a column for held balances. undated: how many
    balances have a newer entry without a time, which does not count as of a time; without as_of, how many are by such
    an entry. units: "raw" (integers in the smallest unit of each asset) or "whole". ahead: how many balances are by an
    entry dated ahead of the clock, which is read_from. left_out: how many have a newest entry that is, and does not
    count as of the time.
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
    ahead: int = 0
    left_out: int = 0
    schema_version: int = 2

    @property
    def rule(self) -> str:
        """Which entries count, in a sentence."""
        return rule_of(self.as_of)

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

    Of a balance by an entry dated ahead of the clock: ahead (int64, how many such entries it rests on; else 0) and what
    it is without them: settled_entry, settled_available, settled_held (as entry, available, held; null if there is no
    other entry, and of all other balances).
    """

    table: pa.Table
    origin: Origin

    def amount(self, cell: Decimal | None) -> int | Decimal | None:
        """A cell of money as it is stored: an int in the store's unit, or a Decimal in whole units."""
        return int(cell) if cell is not None and self.origin.units == "raw" else cell


def make_extract(place: Place, as_of: int | None = None, clock: int | None = None) -> Extract:
    """Read every account's newest entry that counts, now or as of that moment (milliseconds since 1970).

    clock: what now is, by default this machine's. Raises BalancebookError unless all of it was read, StoreError.
    """
    source = source_of(place)
    when = When(as_of, clock_now() if clock is None else clock)
    if as_of is not None and not source.roles.has("time"):
        raise BalancebookError("The ledger has no column for the time of an entry.", "Leave out as_of.")
    found = _scanned(place, source, when)
    table = _table(narrowed(source), found)
    origin = Origin(
        keyspace=source.base.keyspace,
        table=source.base.name,
        cluster=place.reader.server.cluster_name,
        profile=place.profile.name,
        as_of=utc_text(as_of),
        read_from=str(utc_text(when.clock)),
        read_to=str(utc_text(clock_now())),
        consistency="LOCAL_ONE",
        units="whole" if "decimal" in _money_types(source).values() else "raw",
        held=source.roles.has("held"),
        entries=len(table),
        undated=sum(each.undated for each in found),
        ahead=sum(len(each.leading) for each in found),
        left_out=sum(each.left_out for each in found),
    )
    return Extract(table, origin)


def _scanned(place: Place, source: Source, when: When) -> list[Found]:
    pace = pace_of(place.reader, place.view, None, paced=not place.profile.embedded)
    recent = when.as_of is None or when.clock - when.as_of < DAY_MS
    budget = place.profile.limits.max_rows
    with Display() as display, pace or nullcontext():

        def told(report: ScanReport) -> None:
            display(Step(report.ranges_done, report.ranges_total, report.rows))

        return list(newest_entries(source, when, budget, recent=recent, pace=pace, progress=told))


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
    leading = [one for each in found for one in each.leading]
    some = [*(entries for each in found for entries in each.entries), *(one.shown for one in leading)]
    settled = [one.settled for one in leading]
    money = [cells for each in (*some, *settled) if each is not None for cells in each.money.values()]
    # One scale for all, so that their sums have room.
    kind = pa.decimal128(_DIGITS, max(map(_scale, money), default=0))
    columns: Mapping[str, Any] = {
        "account": _chunked([_keys(source, each, "account") for each in some], _key_type(source, "account")),
        "asset": _chunked([_keys(source, each, "asset") for each in some], _key_type(source, "asset")),
        "entry": _chunked([pa.array(each.order) for each in some], pa.int64()),
        **{role: _money(some, role, kind) for role in ("available", "held")},
        "time": _chunked([_time(each) for each in some], pa.int64()),
        **_settled(leading, sum(map(len, some)) - len(leading), kind),
    }
    return pa.table(columns).combine_chunks()


def _settled(leading: Sequence[Leading], others: int, kind: pa.DataType) -> dict[str, pa.ChunkedArray]:
    """What those that rest on entries dated ahead are without them, below so many others."""
    some = [one.settled for one in leading]
    none = pa.nulls(1, pa.int64())
    orders = [none if each is None else pa.array(each.order) for each in some]
    ahead = [pa.array([0] * others, pa.int64()), pa.array([one.ahead for one in leading], pa.int64())]
    columns = {
        "ahead": _chunked(ahead, pa.int64()),
        "settled_entry": _chunked([pa.nulls(others, pa.int64()), *orders], pa.int64()),
    }
    for role in ("available", "held"):
        cells = _money(some, role, kind)
        columns[f"settled_{role}"] = _chunked([pa.nulls(others, kind), *cells.chunks], kind)
    return columns


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


def _money(some: Sequence[Entries | None], role: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A column of amounts; one that is null for each None."""
    try:
        return _chunked(
            [pa.nulls(1, kind) if each is None else _amounts(each, role, kind) for each in some], kind
        )
    except pa.ArrowInvalid as error:
        raise BalancebookError(
            f"An amount ({role}) has more than {_DIGITS} digits, {kind.scale} of them decimals.",
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
