"""Entries of a ledger as plain rows, and what following them comes to."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import numpy as np
from cassandra.cqltypes import DecimalType, Int32Type, IntegerType, LongType, UTF8Type, UUIDType

from balancebook.demo.generate import LedgerEntry, Size, generate
from balancebook.ledger.breaks import Break, Breaks
from balancebook.ledger.entries import Entries, EntryReader, roles_of
from balancebook.ledger.follow import Follower
from balancebook.ledger.rules import MOVEMENTS
from balancebook.ledger.sums import AssetSums, Uneven, uneven
from balancebook.profile import LedgerSchema
from balancebook.store.raw import RawPage
from balancebook.store.schema import Column, Table

TYPES = {
    "user_id": "bigint",
    "asset_id": "int",
    "seq": "bigint",
    "delta_avail": "bigint",
    "delta_frozen": "bigint",
    "avail": "bigint",
    "frozen": "bigint",
    "event_type": "text",
    "ref_id": "bigint",
    "created_at": "bigint",
}
DRIVERS = {
    "bigint": LongType,
    "int": Int32Type,
    "text": UTF8Type,
    "decimal": DecimalType,
    "varint": IntegerType,
    "uuid": UUIDType,
}
KINDS = {kind: kind for kind in MOVEMENTS}
Row = dict[str, Any]


def table(types: dict[str, str], *, descending: bool = True) -> Table:
    keys: dict[str, Any] = {
        "user_id": ("partition_key", 0, "none"),
        "asset_id": ("partition_key", 1, "none"),
        "seq": ("clustering", 0, "desc" if descending else "asc"),
    }
    columns = []
    for name, kind in types.items():
        role, position, order = keys.get(name, ("regular", -1, "none"))
        columns.append(Column(name, role, position, order, kind))
    return Table("k", "ledger", tuple(columns), UUID(int=1))


def followed(
    rows: Iterable[Row],
    types: dict[str, str] = TYPES,
    *,
    ledger: LedgerSchema | None = None,
    descending: bool = True,
    page: int = 10_000,
    settled: int | None = None,
) -> Follower:
    """What comes of following rows, in pages of that size."""
    follower: Follower | None = None
    for reader, entries in _read(rows, types, ledger or LedgerSchema(), page, descending=descending):
        follower = follower or Follower(reader, KINDS, settled)
        follower.feed(entries)
    assert follower
    follower.finish()
    return follower


def entries_of(rows: Iterable[Row], *, page: int) -> Iterator[Entries]:
    """The rows as entries, in pages of that size."""
    for _, entries in _read(rows, TYPES, LedgerSchema(), page, descending=True):
        yield entries


def _read(
    rows: Iterable[Row], types: dict[str, str], ledger: LedgerSchema, page: int, *, descending: bool
) -> Iterator[tuple[EntryReader, Entries]]:
    """The rows, sorted here as the server would."""
    roles = roles_of(table(types, descending=descending), ledger)
    reader = EntryReader(roles, [DRIVERS[kind] for kind in roles.types])
    turn = -1 if descending else 1
    ordered = sorted(
        rows, key=lambda row: (str(row["user_id"]), str(row["asset_id"]), turn * (row["seq"] or 0))
    )
    for start in range(0, len(ordered) or 1, page):
        part = ordered[start : start + page]
        body = b"\0" * 8 + b"".join(
            serialized(row[name], kind)
            for row in part
            for name, kind in zip(roles.columns, roles.types, strict=True)
        )
        raw = RawPage(len(part), np.frombuffer(body, np.uint8), 8, roles.columns, tuple(reader.types))
        yield reader, reader.read(raw)


def serialized(value: Any, kind: str) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    cell: bytes = DRIVERS[kind].serialize(value, 5)
    return struct.pack(">i", len(cell)) + cell


def named(breaks: Breaks) -> list[tuple[Any, ...]]:
    """problem, user, asset, seq, column, expected, found of every break."""
    kept: list[Break] = sorted(breaks.kept(), key=lambda each: (each.problem.name, repr(each.key), each.what))
    assert len(kept) == breaks.count
    return [(each.problem, *each.key, each.what, each.expected, each.found) for each in kept]


def entry(rows: list[Row], user: int, asset: int, seq: int) -> Row:
    return next(row for row in rows if (row["user_id"], row["asset_id"], row["seq"]) == (user, asset, seq))


def of_kind(rows: list[Row], kind: str) -> Row:
    """An entry of that kind in the middle of its partition."""
    return next(row for row in rows if row["event_type"] == kind and row["seq"] > 3)


def ledger_of(*moves: tuple[str, int, int, int]) -> list[Row]:
    """One account's entries: (kind, delta available, delta held, reference)."""
    rows: list[Row] = []
    avail = frozen = 0
    for seq, (kind, delta, held, reference) in enumerate(moves, 1):
        avail, frozen = avail + delta, frozen + held
        rows.append(
            dict(
                zip(TYPES, (7, 1, seq, delta, held, avail, frozen, kind, reference, 1000 + seq), strict=True)
            )
        )
    return rows


def demo_entries() -> list[Row]:
    """All entries of a small demo exchange."""
    records = generate(Size(rows=3000, users=20, deep_events=200))
    return [each._asdict() for each in records if isinstance(each, LedgerEntry)]


def uneven_in(sums: dict[int, AssetSums], *, timed: bool = True) -> list[Uneven]:
    """What does not add up, of a ledger with types and held amounts."""
    return list(uneven(sums, by_type=True, held=True, timed=timed))
