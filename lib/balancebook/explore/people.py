"""Amounts as people read them: whole units, exact; what the registry does not know as it is stored, and marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from balancebook.assets import Registry, label, to_units


def whole(amount: Any, asset: Any, registry: Registry) -> Decimal | None:
    """The amount in whole units of its asset; of an unknown one as it is stored. None where there is none."""
    return None if amount is None or amount is pd.NA else to_units(amount, asset, registry)


def amounts(cells: Iterable[Any], assets: Iterable[Any], registry: Registry) -> pd.Series[Any]:
    """A column of Decimal or None, of amounts of these assets."""
    pairs = zip(cells, assets, strict=True)
    return pd.Series([whole(cell, asset, registry) for cell, asset in pairs], dtype=object)


def labels(assets: Iterable[Any], registry: Registry) -> pd.Series[Any]:
    """A column of symbols, `#77` for an asset that the registry does not know: then amounts are raw."""
    return pd.Series([label(asset, registry) for asset in assets], dtype=object)


def table(columns: Mapping[str, Iterable[Any]], note: str = "") -> pd.DataFrame:
    """A table to look at: object columns in which every integer and Decimal stays as it is, and a note beside it."""
    frame = pd.DataFrame({name: pd.Series(list(cells), dtype=object) for name, cells in columns.items()})
    frame.attrs["note"] = note
    return frame


def rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> pd.DataFrame:
    """The same of rows, each with a cell for every name; columns for no rows too."""
    return table({name: [row[place] for row in rows] for place, name in enumerate(names)}, note)
