"""Reading part of a ledger: some accounts, or token ranges drawn at random. Their trades are looked up by their ids."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from cassandra.metadata import Murmur3Token

from balancebook.ledger.entries import Entries, Flags
from balancebook.ledger.legs import Legs, count_equal, leg_identities
from balancebook.ledger.reading import Manner, Piece, Reading, Unmatched, follow, scan_entries
from balancebook.ledger.source import Source, TradeTable
from balancebook.ledger.trades import ID, TradePage, TradeReader
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.pace import waiting
from balancebook.store.ranges import MAY_PASS, RangeTask
from balancebook.store.raw import RawPage, encode, raw_pages
from balancebook.store.tokens import TokenRange, split_ring

Kept = Sequence[tuple[Legs, Entries]]
_IN_FLIGHT = 16
# So fine that a range of a large ledger holds few accounts.
_GRID = 4096
_NOBODY = np.empty(0, np.int64)


def read_accounts(
    source: Source, accounts: Sequence[tuple[Any, Any]], manner: Manner
) -> tuple[Reading, Unmatched | None]:
    """The entries of these (account, asset), at LOCAL_ONE. What could not be read is in the reading's `reasons`.

    Raises StoreError for non-retryable errors.
    """
    reading, kept = Reading(), list[tuple[Legs, Entries]]()
    for account in accounts:
        if (piece := _read_account(source, account, manner, reading.reasons)) is not None:
            reading.add(piece)
            kept += piece.kept
    if source.trades is None:
        return reading, None
    trades = _Trades(source, source.trades, kept, reading, manner)
    mine = np.unique(np.concatenate([legs.codes[:, 1] for legs, _ in kept])) if kept else _NOBODY
    wanted = [np.isin(page.legs.codes[:, 1], mine) for page in trades.pages]
    # An entry that is not there can be all that an account has of an asset: then that asset was not asked for.
    for account in trades.parties(wanted) - set(accounts):
        if (piece := _read_account(source, account, manner, reading.trade_reasons)) is not None:
            kept += [trades.only_of(legs, entries) for legs, entries in piece.kept]
            reading.named += piece.named
    return reading, trades.unmatched(kept, wanted)


def _read_account(
    source: Source, account: tuple[Any, Any], manner: Manner, reasons: list[str]
) -> Piece | None:
    columns = ", ".join(map(quote, source.roles.columns))
    given = " AND ".join(
        f"{quote(source.roles.columns[source.roles.at[role]])} = ?" for role in ("account", "asset")
    )
    cql = f"SELECT {columns} FROM {source.base.cql_name} WHERE {given}"
    try:
        return follow(source, raw_pages(source.reader, cql, account, wait=waiting(manner.pace)), manner)
    except StoreError as error:
        _note(reasons, error)
        return None


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
    if source.trades is None:
        return reading, None
    trades = _Trades(source, source.trades, kept, reading, manner)
    return reading, trades.unmatched(kept, [trades.within(page, drawn) for page in trades.pages])


def _note(reasons: list[str], error: StoreError) -> None:
    if error.kind not in MAY_PASS:
        raise error
    reasons.append(str(error))


class _Trades:
    """The trades that some entries name, read by their ids."""

    def __init__(
        self, source: Source, table: TradeTable, kept: Kept, reading: Reading, manner: Manner
    ) -> None:
        self._source, self._table, self._reading, self._manner = source, table, reading, manner
        self._reader = TradeReader(source, table)
        self._asked = [np.unique(legs.codes[:, 0]) for legs, _ in kept]
        self.pages: list[TradePage] = []
        if [column.name for column in table.table.partition_key] != [table.columns[ID]]:
            reading.trade_reasons.append(
                f"{table.table.cql_name} cannot be asked for single trades: its partition key is "
                f"{', '.join(column.name for column in table.table.partition_key)}, not {table.columns[ID]}; the audit "
                "of the whole ledger reads all of it"
            )
            return
        self.pages = [self._reader.read(page) for page in _trades_of(source, table, kept, reading, manner)]
        # Rows of one trade, its fills, may have equal legs, on several pages.
        codes = [page.legs.codes for page in self.pages]
        counted = count_equal(np.concatenate(codes)) if codes else _NOBODY
        for each, nth in zip(codes, np.split(counted, np.cumsum(list(map(len, codes)))[:-1]), strict=False):
            each[:, -1] = nth

    def parties(self, wanted: Sequence[Flags]) -> set[tuple[Any, Any]]:
        """Account and asset of the wanted legs, which are flags for each page."""
        return {
            self._reader.party(page, place)
            for page, some in zip(self.pages, wanted, strict=True)
            for place in np.flatnonzero(some).tolist()
        }

    def within(self, page: TradePage, ranges: Sequence[TokenRange]) -> Flags:
        """Which legs are of partitions in these token ranges."""
        found = np.zeros(len(page.legs), bool)
        ends = sorted(ranges)
        for place in range(len(page.legs)):
            token = self._token(*self._reader.party(page, place))
            at = bisect_left(ends, (token,)) - 1
            found[place] = at >= 0 and ends[at][0] < token <= ends[at][1]
        return found

    def _token(self, account: Any, asset: Any) -> int:
        """The token of a partition of the ledger, as Murmur3Partitioner has it."""
        roles, values = self._source.roles, {"account": account, "asset": asset}
        by_name = {roles.columns[roles.at[role]]: role for role in values}
        key = b""
        for column in self._source.base.partition_key:
            role = by_name[column.name]
            cell = encode(self._source.types[roles.at[role]], values[role])
            key += len(cell).to_bytes(2, "big") + cell + b"\0"
        return int(Murmur3Token.hash_fn(key))

    def only_of(self, legs: Legs, entries: Entries) -> tuple[Legs, Entries]:
        """The legs that are of these trades."""
        asked = np.concatenate(self._asked) if self._asked else _NOBODY
        ours = np.flatnonzero(np.isin(legs.codes[:, 0], asked))
        return Legs(legs.codes[ours], legs.place[ours]), entries

    def unmatched(self, kept: Kept, wanted: Sequence[Flags]) -> Unmatched:
        """The wanted legs of trades that no entry is, and entries that no leg is."""
        mine = [leg_identities(legs.codes) for legs, _ in kept]
        here = np.concatenate(mine) if mine else np.empty(0, np.uint64)
        theirs = [np.empty(0, np.uint64)]
        for page, some in zip(self.pages, wanted, strict=True):
            ours = leg_identities(page.legs.codes)[some]
            theirs.append(ours)
            manner = replace(self._manner, wanted=np.intersect1d(ours, self._manner.wanted))
            self._reading.add_trades(self._reader, page, manner)
        there = np.concatenate(theirs)
        spare = np.setdiff1d(here, there)
        for legs, _ in kept:
            of_incomplete = self._reading.of_incomplete(legs.codes[:, 0])
            spare = np.setdiff1d(spare, leg_identities(legs.codes[of_incomplete]))
        return Unmatched(lost=np.setdiff1d(there, here), spare=spare)


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
