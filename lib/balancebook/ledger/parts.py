"""Reading part of a ledger: some accounts, or token ranges drawn at random. Their trades are looked up by their ids."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from balancebook.ledger.entries import Entries
from balancebook.ledger.legs import Legs, leg_identities
from balancebook.ledger.reading import Manner, Reading, Unmatched, follow, scan_entries
from balancebook.ledger.source import Source, TradeTable
from balancebook.ledger.trades import TradeReader
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import waiting
from balancebook.store.ranges import MAY_PASS, RangeTask
from balancebook.store.raw import RawPage, raw_pages
from balancebook.store.tokens import split_ring

Kept = Sequence[tuple[Legs, Entries]]
_IN_FLIGHT = 16
# So fine that a range of a large ledger holds few accounts.
_GRID = 4096


def read_accounts(
    source: Source, accounts: Sequence[tuple[Any, Any]], manner: Manner
) -> tuple[Reading, Unmatched | None]:
    """The entries of these (account, asset), at LOCAL_ONE. What could not be read is in the reading's `reasons`.

    Raises StoreError for non-retryable errors.
    """
    columns = ", ".join(map(quote, source.roles.columns))
    given = " AND ".join(
        f"{quote(source.roles.columns[source.roles.at[role]])} = ?" for role in ("account", "asset")
    )
    cql = f"SELECT {columns} FROM {source.base.cql_name} WHERE {given}"
    reading, kept = Reading(), list[tuple[Legs, Entries]]()
    for account in accounts:
        pages = raw_pages(source.reader, cql, account, wait=waiting(manner.pace))
        try:
            piece = follow(source, pages, manner)
        except StoreError as error:
            _note(reading.reasons, error)
            continue
        reading.add(piece)
        kept += piece.kept
    return reading, _with_trades(source, reading, kept, manner)


def read_sample(source: Source, ranges: int, manner: Manner) -> tuple[Reading, Unmatched | None]:
    """The accounts in so many of 4,096 token ranges, drawn by the seed; as read_accounts."""
    # Not for secrets: the same ranges must come again from the same seed.
    drawn = random.Random(manner.seed).sample(split_ring(_GRID), min(ranges, _GRID))  # noqa: S311
    pieces = scan_entries(source, manner, [RangeTask(0, tokens) for tokens in drawn])
    reading, kept = Reading(), list[tuple[Legs, Entries]]()
    for part in pieces:
        if part.whole:
            reading.add(part.gathered)
            kept += part.gathered.kept
    reading.reasons += pieces.report.why_incomplete(source.base.cql_name, manner.budget_rows)
    return reading, _with_trades(source, reading, kept, manner)


def _note(reasons: list[str], error: StoreError) -> None:
    if error.kind not in MAY_PASS:
        raise error
    reasons.append(str(error))


def _with_trades(source: Source, reading: Reading, kept: Kept, manner: Manner) -> Unmatched | None:
    """The legs of these accounts that trades alone have, and entries alone; None if there are no trades to ask."""
    table = source.trades
    if table is None:
        return None
    mine = [leg_identities(legs.codes) for legs, _ in kept]
    here = np.concatenate(mine) if mine else np.empty(0, np.uint64)
    owners = _owners(kept)
    trades, theirs = TradeReader(source, table), [np.empty(0, np.uint64)]
    for page in _trades_of(source, table, kept, reading, manner):
        read = trades.read(page)
        ours = np.array([tuple(row[1:3]) in owners for row in read.legs.codes.tolist()], bool)
        wanted = leg_identities(read.legs.codes)[ours]
        theirs.append(wanted)
        reading.add_trades(trades, read, replace(manner, wanted=np.intersect1d(wanted, manner.wanted)))
    there = np.concatenate(theirs)
    spare = np.setdiff1d(here, there)
    for legs, _ in kept:
        of_incomplete = reading.of_incomplete(legs.codes[:, 0])
        spare = np.setdiff1d(spare, leg_identities(legs.codes[of_incomplete]))
    return Unmatched(lost=np.setdiff1d(there, here), spare=spare)


def _owners(kept: Kept) -> set[tuple[int, ...]]:
    """Account and asset, as the legs have them."""
    return {tuple(row) for legs, _ in kept for row in np.unique(legs.codes[:, 1:3], axis=0).tolist()}


def _trades_of(
    source: Source, table: TradeTable, kept: Kept, reading: Reading, manner: Manner
) -> Iterator[RawPage]:
    """The trades that the entries name, a page each; of no row where there is no such trade."""
    at = source.roles.at["reference"]
    ids = {entries.raw(int(row), at) for legs, entries in kept for row in legs.place} - {None, b""}
    columns = ", ".join(map(quote, table.columns))
    cql = f"SELECT {columns} FROM {table.table.cql_name} WHERE {quote(table.columns[0])} = ?"
    wait = waiting(manner.pace)

    def read(trade: bytes) -> list[RawPage] | StoreError:
        try:
            return list(raw_pages(source.reader, cql, [trade], serialized=True, wait=wait))
        except StoreError as error:
            return error

    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="trades") as pool:
        for answer in pool.map(read, sorted(each for each in ids if each)):
            if not isinstance(answer, StoreError):
                yield from answer
            elif (reason := str(answer)) not in reading.trade_reasons:
                reading.trade_reasons.append(reason)
