"""One account's entries that are dated ahead of the clock: a pure function over the frame of explore.entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from balancebook.assets import Registry, label
from balancebook.explore.people import amounts, labels, table
from balancebook.explore.when import When
from balancebook.moment import utc_text

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Ahead:
    """What of one asset is dated ahead. entries: newer than `settled`, newest first; counted: how many of them count.

    settled: the newest entry that is not dated ahead, as a row of the frame; None if there is none. beneath: how many
    others are dated ahead and older than that one: every balance since has them.
    """

    asset: Any
    entries: pd.DataFrame
    counted: int
    settled: Any
    beneath: int


def dated_ahead(entries: pd.DataFrame, when: When) -> list[Ahead]:
    """Of each asset that has any, the entries dated ahead of the clock; `entries`: all, whether or not they count."""
    found = []
    for asset in dict.fromkeys(entries["asset"]):
        mine = entries[entries["asset"] == asset].reset_index(drop=True)
        flags = mine["time"].gt(when.clock).fillna(value=False).astype(bool)
        if not flags.any():
            continue
        # Without a time: of no date, so that it counts now and is not dated ahead; as of a time it does not count.
        stands = ~flags if when.as_of is None else ~flags & mine["time"].notna()
        end = int(stands.to_numpy().argmax()) if stands.any() else len(mine)
        above = mine.iloc[:end][flags[:end]]
        counted = len(above) if when.as_of is None else int(above["time"].le(when.as_of).sum())
        settled = mine.iloc[end] if end < len(mine) else None
        found.append(Ahead(asset, above, counted, settled, int(flags.sum()) - len(above)))
    return found


def ahead_table(entries: pd.DataFrame, when: When, registry: Registry) -> pd.DataFrame:
    """Which entries are dated ahead of the clock, and what the balances are with and without them.

    Columns asset, entries (their numbers), dated (UTC, of the newest), counted ("2 of 3"), available, available
    without, held, held without: after the newest of them, and by the newest entry that is not dated ahead (None if
    there is none).
    """
    every = dated_ahead(entries, when)
    found = [each for each in every if len(each.entries)]
    assets = [each.asset for each in found]
    newest = [each.entries.iloc[0] for each in found]
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "entries": [_numbers(each.entries["entry"].tolist()) for each in found],
        "dated (UTC)": [utc_text(int(row["time"])) for row in newest],
        "counted": [f"{each.counted:,} of {len(each.entries):,}" for each in found],
    }
    for role in ("available", "held"):
        columns[role] = amounts((row[role] for row in newest), assets, registry)
        without = (None if each.settled is None else each.settled[role] for each in found)
        columns[f"{role} without"] = amounts(without, assets, registry)
    beneath = [f"{label(each.asset, registry)} {each.beneath:,}" for each in every if each.beneath]
    notes = [] if found else ["No balance rests on an entry dated ahead of the clock."]
    if beneath:
        notes.append(
            f"Dated ahead too, but followed by an entry that is not, so in every balance since: {', '.join(beneath)}."
        )
    return table(columns, " ".join(notes))


def ahead_note(entries: pd.DataFrame, when: When, registry: Registry) -> str:
    """In a sentence, of which assets the newest entries are dated ahead, and whether they count; or nothing."""
    some = [each for each in dated_ahead(entries, when) if len(each.entries)]
    if not some:
        return ""
    told = (
        f"{label(each.asset, registry)} {each.counted:,} of {len(each.entries):,} counted" for each in some
    )
    return f"Newest entries dated ahead of the clock, listed apart: {', '.join(told)}."


def _numbers(orders: list[int]) -> str:
    oldest_first = [str(each) for each in reversed(orders)]
    if len(orders) <= _NAMED:
        return ", ".join(oldest_first)
    return f"{oldest_first[0]} to {oldest_first[-1]}: {len(orders):,}"
