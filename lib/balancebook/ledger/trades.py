"""Settled trades as columns, and the legs that they ought to have in the ledger."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from balancebook.ledger.breaks import Break, Breaks, Hashes, Problem, identity_of, noted, size_of
from balancebook.ledger.entries import Flags, Numbers, money_of
from balancebook.ledger.legs import Legs, Trades, among, count_equal, leg_identities, legs_of_trades
from balancebook.ledger.source import Source, TradeTable
from balancebook.sketch.columns import ColumnReader, Columns
from balancebook.store.raw import RawPage, decode

ID, BUYER, SELLER, BASE, QUOTE, QUANTITY, AMOUNT = range(7)
COLUMNS = ("id", "buyer", "seller", "base_asset", "quote_asset", "quantity", "quote_amount")


class TradePage(NamedTuple):
    """The trades of a page. there: which cells they have, by COLUMNS; a decimal too large to add exactly is none."""

    columns: Columns
    legs: Legs
    there: Flags


class TradeReader:
    """Makes trades of raw pages whose columns are those of the source's table of trades."""

    def __init__(self, source: Source, table: TradeTable) -> None:
        self._table, self._by_text = table, source.by_text
        self._held = source.roles.has("delta_held")
        self._columns = ColumnReader(table.cql_types)
        # Else there can be several rows of one trade, with equal legs.
        key = (*table.table.partition_key, *table.table.clustering_key)
        self._one_row = [column.name for column in key] == [table.columns[ID]]

    def read(self, page: RawPage) -> TradePage:
        """The trades of a page and their legs. Raises PageError."""
        columns = self._columns.read(page.body, page.start, page.rows)
        money = [
            money_of(columns, at, self._table.cql_types[at], self._table.types[at])
            for at in (QUANTITY, AMOUNT)
        ]
        keys = (ID, BUYER, SELLER, BASE, QUOTE)
        there = np.column_stack([*(columns.there[:, at] for at in keys), *(~missing for _, missing in money)])
        quantity, amount = (amounts for amounts, _ in money)
        trade, buyer, seller, base, quote = (columns.values[:, at] for at in keys)
        trades = Trades(trade, buyer, seller, base, quote, quantity, amount, there)
        legs = legs_of_trades(trades, held=self._held, by_text=self._by_text)
        if not self._one_row:
            legs.codes[:, -1] = count_equal(legs.codes)
        return TradePage(columns, legs, there)

    def note_incomplete(self, page: TradePage, breaks: Breaks) -> Numbers:
        """Note the trades of a page that lack a cell. Returns what stands for their ids."""
        columns, there = page.columns, page.there
        rows = np.flatnonzero(~there.all(axis=1))
        if not len(rows):
            return rows
        cells = [columns.values[rows, at] for at in (ID, BUYER, SELLER, BASE, QUOTE)]
        identities = identity_of(*cells, *(there[rows, at] for at in range(len(COLUMNS))))

        def made(place: int) -> Break:
            row = int(rows[place])
            missing = ", ".join(name for name, here in zip(COLUMNS, there[row], strict=True) if not here)
            parties = (self._decoded(columns, row, at) for at in (BUYER, SELLER))
            return Break(
                Problem.TRADE_CELL,
                (
                    next((each for each in parties if each is not None), None),
                    self._decoded(columns, row, BASE),
                    None,
                ),
                f"trade {self._decoded(columns, row, ID)}: {missing}",
                None,
                None,
                None,
                float(np.count_nonzero(~there[row])),
                int(identities[place]),
            )

        sizes = np.count_nonzero(~there[rows], axis=1).astype(np.float64)
        noted(breaks, Problem.TRADE_CELL, identities, sizes, None, made)
        known: Numbers = columns.values[rows, ID][there[rows, ID]]
        return known

    def named(self, page: TradePage, wanted: Hashes) -> list[Break]:
        """The wanted legs in full: entries that there ought to be."""
        if not len(wanted):
            return []
        columns, legs = page.columns, page.legs
        identities = leg_identities(legs.codes)
        found = []
        for place in np.flatnonzero(among(legs.codes, wanted)).tolist():
            which, row = divmod(int(legs.place[place]), len(columns))
            amount = self._decoded(columns, row, QUANTITY if which in (1, 2) else AMOUNT)
            found.append(
                Break(
                    Problem.LEG_LOST,
                    (*self.party(page, place), None),
                    f"trade {self._decoded(columns, row, ID)}",
                    amount if which in (1, 3) else -amount,
                    None,
                    None,
                    size_of(amount),
                    int(identities[place]),
                )
            )
        return found

    def party(self, page: TradePage, place: int) -> tuple[Any, Any]:
        """Account and asset of a leg, as the driver decodes them."""
        # In four blocks: see legs_of_trades.
        which, row = divmod(int(page.legs.place[place]), len(page.columns))
        account, asset = (BUYER, BUYER, SELLER, SELLER)[which], (QUOTE, BASE, BASE, QUOTE)[which]
        return self._decoded(page.columns, row, account), self._decoded(page.columns, row, asset)

    def _decoded(self, columns: Columns, row: int, at: int) -> Any:
        return decode([self._table.types[at]], [columns.cell(row, at)])[0]
