"""With whom an account traded: its trade entries name trades, and a trade names both sides."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from balancebook.assets import exact_sum
from balancebook.errors import BalancebookError
from balancebook.explore.people import amounts, labels, table
from balancebook.explore.place import Place, source_of
from balancebook.ledger.rules import CREDIT, DEBIT
from balancebook.ledger.source import TradeTable
from balancebook.store.names import quote

MOST = 1_000
"""Trades that are looked up unless more are asked for, one read each."""
_IN_FLIGHT = 16


@dataclass(frozen=True, slots=True)
class Trade:
    """One settled trade as stored: amounts int or Decimal."""

    id: Any
    buyer: Any
    seller: Any
    base_asset: Any
    quote_asset: Any
    quantity: Any
    quote_amount: Any


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of an account. more: how many others its entries name; lost: ids that no trade has."""

    found: tuple[Trade, ...]
    more: int
    lost: tuple[Any, ...]


def trades_of(place: Place, entries: pd.DataFrame, most: int = MOST) -> Trades:
    """The newest `most` trades that these entries of one account name, each read by its id at LOCAL_ONE.

    Raises StoreError; BalancebookError if there is no table of trades, or if it cannot be read by the trade's id.
    """
    source = source_of(place)
    if source.trades is None:
        why = source.no_trades or source.trades_error.rstrip(".")
        raise BalancebookError(f"Trades cannot be looked up: {why}.", "See [trades] in the profile.")
    cql = _by_id(source.trades)
    legs = entries[entries["kind"].isin([DEBIT, CREDIT])].sort_values("time", ascending=False, kind="stable")
    ids = list(dict.fromkeys(each for each in legs["reference"] if each is not None))
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="trades") as pool:
        answers = list(pool.map(lambda each: place.reader.rows(cql, (each,)), ids[:most]))
    found = tuple(Trade(*row) for rows in answers for row in rows)
    lost = tuple(each for each, rows in zip(ids, answers, strict=False) if not rows)
    return Trades(found, max(0, len(ids) - most), lost)


def _by_id(trades: TradeTable) -> str:
    key = [column.name for column in trades.table.partition_key]
    if key != [trades.columns[0]]:
        raise BalancebookError(
            f"{trades.table.cql_name} is partitioned by {', '.join(key)}: a trade cannot be read by its id.",
            "Counterparties need a table of trades with the trade's id as partition key.",
        )
    columns = ", ".join(map(quote, trades.columns))
    return f"SELECT {columns} FROM {trades.table.cql_name} WHERE {quote(trades.columns[0])} = ?"


def counterparties(account: Any, trades: Trades, registry: Any) -> pd.DataFrame:
    """Who was on the other side, most trades first: one row for each account and pair of assets.

    Columns counterparty, pair ("BTC/USDT": base and quote asset), trades, bought, sold (of the base asset), paid,
    received (of the quote asset), in whole units, exact. A trade of an account with itself is bought and sold. The note
    says what is not in the table.
    """
    groups: dict[tuple[Any, Any, Any], list[Trade]] = {}
    for trade in trades.found:
        other = trade.seller if trade.buyer == account else trade.buyer
        groups.setdefault((other, trade.base_asset, trade.quote_asset), []).append(trade)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    base, quoted = ([key[at] for key, _ in ranked] for at in (1, 2))
    sides = {
        "bought": (base, "quantity", "buyer"),
        "sold": (base, "quantity", "seller"),
        "paid": (quoted, "quote_amount", "buyer"),
        "received": (quoted, "quote_amount", "seller"),
    }
    pairs = zip(labels(base, registry), labels(quoted, registry), strict=True)
    columns: dict[str, Sequence[Any]] = {
        "counterparty": [key[0] for key, _ in ranked],
        "pair": [f"{one}/{other}" for one, other in pairs],
        "trades": [len(some) for _, some in ranked],
    }
    for name, (assets, amount, side) in sides.items():
        sums = [
            exact_sum(getattr(each, amount) for each in some if getattr(each, side) == account)
            for _, some in ranked
        ]
        columns[name] = list(amounts(sums, assets, registry))
    return table(columns, _left_out(trades))


def _left_out(trades: Trades) -> str:
    told = [f"{trades.more:,} older trades are not in it."] if trades.more else []
    if trades.lost:
        shown = ", ".join(str(each) for each in trades.lost[:5])
        told.append(f"Entries name {len(trades.lost):,} trades that are not there: {shown}.")
    return " ".join(told)
