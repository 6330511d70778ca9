"""One account, as an analyst asks about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from balancebook.assets import label
from balancebook.explore import account, figures
from balancebook.explore.as_of import as_of_entry, as_of_time, for_people
from balancebook.explore.counterparties import counterparties, trades_of
from balancebook.explore.entries import entries_of
from balancebook.explore.people import table
from balancebook.explore.place import Holder, Place, asset_named, holder_of
from balancebook.moment import parse_moment


@dataclass(frozen=True)
class Account:
    """Questions about one account; its assets and entries are read when the first question needs them.

    as_of: a time with its offset from UTC, refused at once if it has none.
    """

    place: Place
    user_id: int | str
    assets_from: str = "scan"
    as_of: str | None = None

    def __post_init__(self) -> None:
        _ = self.moment

    @cached_property
    def moment(self) -> int | None:
        """The time in milliseconds since 1970, None for now."""
        return None if self.as_of is None else parse_moment(self.as_of)

    @cached_property
    def holder(self) -> Holder:
        """The account as stored, and its assets."""
        return holder_of(self.place, self.user_id, self.assets_from)

    @cached_property
    def entries(self) -> pd.DataFrame:
        """The newest entries of all its assets: see explore.entries."""
        return entries_of(self.place, self.holder.account, self.holder.assets)

    def asset(self, name: str | int | None) -> Any:
        """The asset of that name; the first, unless one is named."""
        return asset_named(name, self.holder.assets, self.place.registry)

    def balances(self) -> pd.DataFrame:
        """Its balances, now or as of the time: asset, available, held, entry, time (UTC)."""
        found = as_of_time(self.place, self.holder.account, self.holder.assets, self.moment)
        told = for_people(found, self.place.registry)
        told.attrs["note"] = self.holder.note
        return told

    def balance_as_of_entry(self, asset: str | int | None, entry: int) -> pd.DataFrame:
        """The balance of an asset after the newest entry up to that number."""
        found = as_of_entry(self.place, self.holder.account, self.asset(asset), entry)
        return for_people(found, self.place.registry)

    def statement(self, asset: str | int | None, rows: int, before: int | None = None) -> pd.DataFrame:
        """The newest entries of an asset, of those before an entry if given: see account.statement."""
        found = entries_of(self.place, self.holder.account, [self.asset(asset)], most=rows, before=before)
        return account.statement(found, self.place.registry)

    def events(self) -> pd.DataFrame:
        """See account.events."""
        return account.events(self.entries, self.place.registry)

    def history(self, asset: str | int | None) -> pd.DataFrame:
        """See account.history."""
        return account.history(self._of(asset), self.place.registry)

    def last_steps(self, asset: str | int | None, most: int = 5) -> pd.DataFrame:
        """The end of what history_figure draws, newest last: time (UTC), available, held."""
        steps = self.history(asset).tail(most)
        times = (
            steps["time"]
            .dt.tz_localize(None)
            .map(lambda each: each.isoformat(sep=" ", timespec="milliseconds"))
        )
        return table({"time (UTC)": times, "available": steps["available"], "held": steps["held"]})

    def history_figure(self, asset: str | int | None) -> Figure:
        """The balance of an asset over time."""
        history = self.history(asset)
        title = f"{label(self.asset(asset), self.place.registry)} of {self.user_id} after each entry"
        target, server = self.place.target, self.place.reader.server
        origin = f"{target.keyspace}.{target.base} on {server.cluster_name}, read at LOCAL_ONE. {history.attrs['note']}"
        return figures.over_time(history, title, origin)

    def counterparties(self) -> pd.DataFrame:
        """See counterparties.counterparties."""
        trades = trades_of(self.place, self.entries)
        return counterparties(self.holder.account, trades, self.place.registry)

    def _of(self, asset: str | int | None) -> pd.DataFrame:
        wanted = self.asset(asset)
        some: pd.DataFrame = self.entries[self.entries["asset"] == wanted].reset_index(drop=True)
        some.attrs["more"] = tuple(each for each in self.entries.attrs["more"] if each == wanted)
        return some
