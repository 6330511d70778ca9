"""Settled trades as columns, and the legs that they ought to have in the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np

from balancebook.ledger.breaks import Break, Hashes, Problem
from balancebook.ledger.entries import money_of
from balancebook.ledger.legs import Legs, Trades, among, leg_identities, legs_of_trades
from balancebook.ledger.source import Source, TradeTable
from balancebook.sketch.columns import ColumnReader, Columns
from balancebook.store.raw import RawPage, decode

ID, BUYER, SELLER, BASE, QUOTE, QUANTITY, AMOUNT = range(7)


class TradeReader:
    """Makes trades of raw pages whose columns are those of the source's table of trades."""

    def __init__(self, source: Source, table: TradeTable) -> None:
        self._table, self._by_text = table, source.by_text
        self._held = source.roles.has("delta_held")
        self._columns = ColumnReader(table.cql_types)

    def read(self, page: RawPage) -> tuple[Columns, Legs]:
        """The trades of a page and their legs. Raises PageError."""
        columns = self._columns.read(page.body, page.start, page.rows)
        trades = Trades(
            *(columns.values[:, at] for at in (ID, BUYER, SELLER, BASE, QUOTE)),
            *(
                money_of(columns, at, self._table.cql_types[at], self._table.types[at])
                for at in (QUANTITY, AMOUNT)
            ),
        )
        return columns, legs_of_trades(trades, held=self._held, by_text=self._by_text)

    def named(self, columns: Columns, legs: Legs, wanted: Hashes) -> list[Break]:
        """The wanted legs in full: entries that there ought to be."""
        if not len(wanted):
            return []
        identities = leg_identities(legs.codes)
        found = []
        for place in np.flatnonzero(among(legs.codes, wanted)).tolist():
            # The legs come in four blocks: see legs_of_trades.
            row, which = int(legs.place[place]), place // len(columns)
            account = (BUYER, BUYER, SELLER, SELLER)[which]
            asset = (QUOTE, BASE, BASE, QUOTE)[which]
            amount = self._decoded(columns, row, QUANTITY if which in (1, 2) else AMOUNT)
            found.append(
                Break(
                    Problem.LEG_LOST,
                    (self._decoded(columns, row, account), self._decoded(columns, row, asset), None),
                    f"trade {self._decoded(columns, row, ID)}",
                    amount if which in (1, 3) else -amount,
                    None,
                    None,
                    abs(float(amount)),
                    int(identities[place]),
                )
            )
        return found

    def _decoded(self, columns: Columns, row: int, at: int) -> Any:
        return decode([self._table.types[at]], [columns.cell(row, at)])[0]
