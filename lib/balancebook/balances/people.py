"""Balances as people read them: symbols and whole units."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from balancebook.assets import Registry, label, to_units
from balancebook.balances.asset_list import assets_for
from balancebook.balances.keys import account_of
from balancebook.balances.strategies import read, strategy_named
from balancebook.balances.target import Target, shape_of
from balancebook.store.reader import Reader

if TYPE_CHECKING:
    import pandas as pd


def current(
    reader: Reader,
    target: Target,
    strategy: str,
    account: object,
    registry: Registry,
    assets_from: str = "scan",
) -> pd.DataFrame:
    """An account's balances by one strategy, as a table to look at. `account`: as in `account_of`.

    Columns asset (symbol, or `#77` if the registry does not know it), available and held (Decimal in whole units,
    raw units for an unknown asset, None where the cell is null), order (as the column's type: Int64 for bigint), unit
    ("whole" or "raw"; decimal columns hold whole units). Raises UsageError for an unknown strategy or an account that
    the column cannot hold, StoreError.
    """
    account = account_of(reader, target, account)
    whole = shape_of(reader, target).types([target.ledger.available]) == ["decimal"]
    assets = assets_for(strategy_named(strategy), reader, target, account, registry, assets_from)
    frame = read(reader, target, strategy, account, assets)
    table = frame[["order"]].copy()
    table.insert(0, "asset", [label(asset, registry) for asset in frame["asset"]])
    for column in ("available", "held"):
        pairs = zip(frame["asset"], frame[column].astype(object), strict=True)
        table[column] = _objects([_whole(asset, raw, registry) for asset, raw in pairs])
    table["unit"] = ["whole" if whole or registry.by_id(asset) else "raw" for asset in frame["asset"]]
    return table[["asset", "available", "held", "order", "unit"]]


def _whole(asset: object, raw: object, registry: Registry) -> Decimal | None:
    return to_units(raw, asset, registry) if isinstance(raw, int | Decimal) else None


def _objects(values: list[Decimal | None]) -> pd.Series[Any]:
    import pandas as pd  # noqa: PLC0415 (see strategies)

    return pd.Series(values, dtype=object)
