"""One account, as an analyst asks about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from balancebook.assets import label
from balancebook.explore import account, figures
from balancebook.explore.ahead import ahead_note, ahead_table
from balancebook.explore.as_of import as_of_entry, as_of_time, for_people
from balancebook.explore.counterparties import counterparties, trades_of
from balancebook.explore.entries import entries_of
from balancebook.explore.people import table
from balancebook.explore.place import Holder, Place, asset_named, holder_of
from balancebook.explore.when import When, clock_now, rule_of
from balancebook.moment import parse_moment, utc_text


@dataclass(frozen=True)
class Account:
    """Questions about one account; its assets and entries are read when the first question needs them.

    as_of: a time with its offset from UTC, refused at once if it has none. Every answer is of the entries that count
    then (see explore.when), but that of an entry named by its number. clock: what now is, in milliseconds since 1970.
    """

    place: Place
    user_id: int | str
    assets_from: str = "scan"
    as_of: str | None = None
    clock: Callable[[], int] = clock_now

    def __post_init__(self) -> None:
        _ = self.moment

    @cached_property
    def moment(self) -> int | None:
        """The time in milliseconds since 1970, None for now."""
        return None if self.as_of is None else parse_moment(self.as_of)

    @cached_property
    def when(self) -> When:
        """Which entries count."""
        return When(self.moment, self.clock())

    @cached_property
    def holder(self) -> Holder:
        """The account as stored, and its assets."""
        return holder_of(self.place, self.user_id, self.assets_from)

    @cached_property
    def entries(self) -> pd.DataFrame:
        """The newest entries of all its assets that count: see explore.entries."""
        if self.moment is None:
            return self._newest
        return entries_of(self.place, self.holder.account, self.holder.assets, until=self.moment)

    @cached_property
    def _newest(self) -> pd.DataFrame:
        """The newest entries of all its assets, whether or not they count."""
        return entries_of(self.place, self.holder.account, self.holder.assets)

    def asset(self, name: str | int | None) -> Any:
        """The asset of that name; the first, unless one is named."""
        return asset_named(name, self.holder.assets, self.place.registry)

    def balances(self) -> pd.DataFrame:
        """Its balances, now or as of the time: asset, available, held, entry, time (UTC)."""
        found = as_of_time(self.place, self.holder.account, self.holder.assets, self.moment)
        told = for_people(found, self.place.registry)
        told.attrs["note"] = " ".join(filter(None, [self.rule, self.holder.note, self._apart()]))
        return told

    @property
    def rule(self) -> str:
        """Which entries count, in a sentence."""
        return rule_of(utc_text(self.moment))

    def ahead(self) -> pd.DataFrame:
        """See ahead.ahead_table."""
        found = ahead_table(self._newest, self.when, self.place.registry)
        capped = account.capped(self._newest, self.place.registry)
        found.attrs["note"] = " ".join(filter(None, [found.attrs["note"], capped]))
        return found

    def _apart(self) -> str:
        """What of the newest entries is dated ahead of the clock; and, as of a time, how many have no time."""
        told = [ahead_note(self._newest, self.when, self.place.registry)]
        without = int(self._newest["time"].isna().sum()) if self.moment is not None else 0
        told += [f"Entries without a time, which do not count: {without:,}."] if without else []
        return " ".join(filter(None, told))

    def balance_as_of_entry(self, asset: str | int | None, entry: int) -> pd.DataFrame:
        """The balance of an asset after the newest entry up to that number."""
        found = as_of_entry(self.place, self.holder.account, self.asset(asset), entry)
        return for_people(found, self.place.registry)

    def statement(self, asset: str | int | None, rows: int, before: int | None = None) -> pd.DataFrame:
        """The newest entries of an asset that count, of those before an entry if given: see account.statement."""
        found = entries_of(
            self.place,
            self.holder.account,
            [self.asset(asset)],
            most=rows,
            before=before,
            until=self.moment,
        )
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
        columns = {"time (UTC)": times, "available": steps["available"], "held": steps["held"]}
        return table(columns, self._undrawn(asset))

    def history_figure(self, asset: str | int | None) -> Figure:
        """The balance of an asset over time."""
        history = self.history(asset)
        title = f"{label(self.asset(asset), self.place.registry)} of {self.user_id} after each entry"
        target, server = self.place.target, self.place.reader.server
        notes = (self.rule, history.attrs["note"], self._undrawn(asset))
        origin = f"{target.keyspace}.{target.base} on {server.cluster_name}, read at LOCAL_ONE."
        return figures.over_time(history, title, " ".join(filter(None, (origin, *notes))), self.when.clock)

    def _undrawn(self, asset: str | int | None) -> str:
        """How many entries that count have no time at which they could be drawn."""
        count = len(self._of(asset)) - len(self.history(asset))
        return f"Not drawn, without a time that can be shown: {count:,} of its entries." if count else ""

    def counterparties(self) -> pd.DataFrame:
        """See counterparties.counterparties."""
        trades = trades_of(self.place, self.entries)
        return counterparties(self.holder.account, trades, self.place.registry)

    def _of(self, asset: str | int | None) -> pd.DataFrame:
        wanted = self.asset(asset)
        some: pd.DataFrame = self.entries[self.entries["asset"] == wanted].reset_index(drop=True)
        some.attrs["more"] = tuple(each for each in self.entries.attrs["more"] if each == wanted)
        return some
