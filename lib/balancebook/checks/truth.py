"""What the base table says of one account: the independent source that an answer is held against.

Its statements are its own, not those of the strategies under test: judge and judged share no query.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from balancebook.balances import AssetList, assets_of
from balancebook.checks.context import Context
from balancebook.store.cql.decoding import readable
from balancebook.store.schema import quote

_IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger row: its order and the running balances after it, raw integers, or Decimals in whole units where the
    columns are decimal; its time in ms, or a datetime (UTC) where the column is a timestamp (Undecoded beyond
    the year 9999). None where null."""

    order: int
    available: int | Decimal | None
    held: int | Decimal | None
    time: int | datetime | bytes | None


def assets_in_base(ctx: Context, account: Any, assets_from: str) -> AssetList:
    """The assets of the account and how they were found: `scan` of the base, or the `known` ones."""
    return assets_of(ctx.reader, ctx.target, account, assets_from, ctx.registry)


def newest_entries(ctx: Context, account: Any, assets: Iterable[Any]) -> dict[Any, Entry]:
    """The newest ledger row of each asset that the account has; assets without a row are absent."""
    cql = _cql(ctx, f"ORDER BY {quote(ctx.ledger.order)} DESC LIMIT 1")
    wanted = list(assets)
    found: dict[Any, Entry] = {}
    for start in range(0, len(wanted), _IN_FLIGHT):
        some = wanted[start : start + _IN_FLIGHT]
        pending = [ctx.reader.execute_async(cql, (account, asset)) for asset in some]
        for asset, answer in zip(some, pending, strict=True):
            for row in answer.rows():
                # A partition that holds a static cell alone has a row without an order, and no entry.
                if row[0] is not None:
                    found[asset] = _entry(ctx, row)
    return found


def entries_between(ctx: Context, account: Any, asset: Any, low: int, high: int) -> list[Entry]:
    """The ledger rows of one asset from order `low` to `high`, both included."""
    order = quote(ctx.ledger.order)
    cql = _cql(ctx, f"AND {order} >= ? AND {order} <= ?")
    return [_entry(ctx, row) for row in ctx.reader.rows(cql, (account, asset, low, high))]


def _roles(ctx: Context) -> tuple[str | None, ...]:
    return (ctx.ledger.order, ctx.ledger.available, ctx.ledger.held, ctx.ledger.time)


def _cql(ctx: Context, tail: str) -> str:
    columns = ", ".join(quote(column) for column in _roles(ctx) if column)
    where = f"{quote(ctx.ledger.account)} = ? AND {quote(ctx.ledger.asset)} = ?"
    return f"SELECT {columns} FROM {ctx.target.base_name} WHERE {where} {tail}"


def _entry(ctx: Context, row: tuple[Any, ...]) -> Entry:
    cells = iter(row)
    order, available, held, time = (next(cells) if role else None for role in _roles(ctx))
    for role, cell in zip(_roles(ctx), (order, available, held), strict=False):
        readable(cell, f"{ctx.target.base}.{role}")
    return Entry(cast(int, order), available, held, time)


@dataclass(frozen=True, slots=True)
class Window:
    """What the base said before and after an answer was read: between the two, every newest row is right.

    A view lags a little, and writers do not wait. So an answer is wrong only if it is wrong still after the
    grace period, against a window that begins before it.
    """

    before: dict[Any, Entry]
    after: dict[Any, Entry]

    def extended(self, ctx: Context, account: Any, assets: Iterable[Any]) -> Window:
        """The same beginning, and the base as it is now, over these assets and those already looked at."""
        return Window(
            self.before, newest_entries(ctx, account, dict.fromkeys([*self.before, *self.after, *assets]))
        )
