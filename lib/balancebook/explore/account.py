"""Questions about one account, answered from its entries: pure functions over the frame of explore.entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from balancebook.assets import Registry, exact_sum, label
from balancebook.core.short_text import enumerated
from balancebook.explore.people import amounts, labels, table
from balancebook.moment import utc_text

_TOTALS = {"delta_available": "available moved", "delta_held": "held moved"}


def statement(entries: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """The entries of one asset, newest first, in whole units.

    Columns entry, time (UTC), type, available moved, held moved, available, held, reference. The note says whether
    there are older entries, and how to see them.
    """
    assets = entries["asset"]
    frame = pd.DataFrame({"entry": entries["entry"].astype(object), "time (UTC)": _times(entries["time"])})
    frame["type"] = entries["type"]
    for role, name in (*_TOTALS.items(), ("available", "available"), ("held", "held")):
        frame[name] = amounts(entries[role], assets, registry)
    frame["reference"] = entries["reference"]
    frame.attrs["note"] = _older(entries)
    return frame


def _older(entries: pd.DataFrame) -> str:
    if not entries.attrs.get("more"):
        return f"All {len(entries):,} entries."
    oldest = entries["entry"].iloc[-1]
    return f"The newest {len(entries):,}; there are older ones: before = {oldest}."


def events(entries: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """How often each type of entry moved each asset, and what it moved in sum.

    Columns asset, type, entries, available moved, held moved, first (UTC), last (UTC); by asset, then by number. The
    sums are exact. The note names the assets of which older entries are not counted.
    """
    rows = []
    for (asset, kind), some in _grouped(entries, "asset", "type"):
        # Of a ledger without held balances nothing was held, which is no zero.
        sums = [exact_sum(some[role]) if some[role].notna().any() else None for role in _TOTALS]
        rows.append((asset, kind, len(some), *sums, some["time"].min(), some["time"].max()))
    rows.sort(key=lambda row: -row[2])
    order = {asset: place for place, asset in enumerate(dict.fromkeys(entries["asset"]))}
    rows.sort(key=lambda row: order[row[0]])
    assets = [row[0] for row in rows]
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "type": [row[1] for row in rows],
        "entries": [row[2] for row in rows],
        **{
            name: amounts((row[at] for row in rows), assets, registry)
            for at, name in enumerate(_TOTALS.values(), 3)
        },
        "first (UTC)": [utc_text(_integer(row[5])) for row in rows],
        "last (UTC)": [utc_text(_integer(row[6])) for row in rows],
    }
    return table(columns, capped(entries, registry))


def capped(entries: pd.DataFrame, registry: Registry) -> str:
    """Which assets have older entries than those of the frame, or nothing."""
    more: Sequence[Any] = entries.attrs.get("more", ())
    if not more:
        return ""
    most = max(int((entries["asset"] == asset).sum()) for asset in more)
    return f"Of {enumerated([label(asset, registry) for asset in more])} only the newest {most:,} entries."


def history(entries: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """The balance of one asset after each of its entries, oldest first.

    Columns time (datetime64[ms, UTC]; entries without a time, or beyond the year 9999, are left out), available, held
    (Decimal in whole units, None where null). The note says if there are older entries.
    """
    oldest_first = entries.iloc[::-1].reset_index(drop=True)
    dated = oldest_first[oldest_first["time"].between(_FIRST_MS, _LAST_MS).fillna(value=False)].reset_index(
        drop=True
    )
    moments = dated["time"].to_numpy(np.int64).astype("datetime64[ms]")
    frame = pd.DataFrame({"time": pd.Series(moments).dt.tz_localize("UTC")})
    for role in ("available", "held"):
        frame[role] = amounts(dated[role], dated["asset"], registry)
    frame.attrs["note"] = capped(entries, registry)
    return frame


# 1678 to 2262: what every reader of the frame can take, nanoseconds too.
_FIRST_MS, _LAST_MS = -9_214_560_000_000, 9_214_646_400_000


def _grouped(entries: pd.DataFrame, *names: str) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """By values of any type, null too; in the order of first appearance."""
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*(entries[name] for name in names), strict=True)):
        places[key].append(place)
    return [(key, entries.iloc[some]) for key, some in places.items()]


def _times(column: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series([utc_text(_integer(each)) for each in column], dtype=object, index=column.index)


def _integer(cell: Any) -> int | None:
    return None if cell is None or cell is pd.NA else int(cell)
