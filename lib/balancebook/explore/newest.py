"""One scan of a ledger for the newest entry of every account and asset, as of a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from balancebook.errors import BalancebookError
from balancebook.ledger.entries import Entries, EntryReader, Flags, Numbers
from balancebook.ledger.source import Source
from balancebook.store.names import quote
from balancebook.store.pace import Pace
from balancebook.store.ranges import RANGES, Progress, tasks_by_turns
from balancebook.store.raw import RawPage, encode, raw_pages
from balancebook.store.raw_scan import raw_scan

_LOOKUPS = 32


@dataclass(frozen=True, slots=True)
class Found:
    """Some newest entries. undated: how many of the entries read bear no time, and so are of no moment."""

    entries: Sequence[Entries]
    undated: int


def narrowed(source: Source) -> Source:
    """The same ledger, of which only the columns that tell a balance are read."""
    wanted = [
        role for role in ("account", "asset", "order", "available", "held", "time") if source.roles.has(role)
    ]
    places = [source.roles.at[role] for role in wanted]
    roles = replace(
        source.roles,
        columns=tuple(source.roles.columns[place] for place in places),
        types=tuple(source.roles.types[place] for place in places),
        at={role: place for place, role in enumerate(wanted)},
    )
    return replace(source, roles=roles, types=tuple(source.types[place] for place in places))


def newest_entries(
    source: Source,
    moment: int | None,
    budget_rows: int,
    *,
    recent: bool,
    pace: Pace | None = None,
    progress: Progress | None = None,
) -> Iterator[Found]:
    """The newest entry of each account and asset whose time is not after the moment (milliseconds; None: now).

    recent: few entries are later than the moment. Then, in a ledger kept newest first, the server is asked for the
    first entry of each partition, and again for those partitions in which that one is later. Else all entries are read.
    At LOCAL_ONE. Raises BalancebookError unless all of it could be read, StoreError for what no retry mends.
    """
    finder = _Finder(narrowed(source), moment)
    first_only = recent and source.roles.descending
    scan = raw_scan(
        source.reader,
        [source.base],
        finder.source.roles.columns,
        lambda _, pages: finder.of_firsts(pages) if first_only else finder.of_all(pages),
        tasks_by_turns(RANGES, 1),
        budget_rows=budget_rows,
        progress=progress,
        first_only=first_only,
        pace=pace,
    )
    for part in scan:
        if part.whole:
            yield part.gathered
    why = scan.report.why_incomplete(source.base.cql_name, budget_rows)
    if why:
        remedy = "Run it again when the cluster is up: totals of a part would say nothing."
        raise BalancebookError(
            f"{why[0]}.", "Raise limits.max_rows in the profile." if scan.report.truncated else remedy
        )


class _Finder:
    """Finds the wanted entries of whole ranges. Called from several threads."""

    def __init__(self, source: Source, moment: int | None) -> None:
        self.source, self._moment = source, moment
        self._reader = EntryReader(source.roles, source.types)

    def of_firsts(self, pages: Iterator[RawPage]) -> Found:
        """Of the first entry of each partition."""
        found, undated = list[Entries](), 0
        for page in pages:
            entries = self._reader.read(page)
            wanted, without_time = self._wanted(entries)
            found.append(entries.take(np.flatnonzero(wanted)))
            found += self._looked_up(entries, np.flatnonzero(~wanted).tolist())
            undated += without_time
        return _found(found, undated)

    def of_all(self, pages: Iterator[RawPage]) -> Found:
        """Of all entries of whole partitions: the first wanted one of each, or the last of one kept oldest first."""
        found, undated, open_one = list[Entries](), 0, None
        for page in pages:
            entries = self._reader.read(page)
            wanted, without_time = self._wanted(entries)
            undated += without_time
            some = entries.take(np.flatnonzero(wanted))
            some = some.after(open_one) if open_one is not None else some
            if not len(some):
                continue
            one_each = some.take(_one_of_each(some, first=self.source.roles.descending))
            # The last partition may go on in the next page.
            found.append(one_each.take(slice(0, -1)))
            open_one = one_each.take(slice(-1, None)).trimmed()
        return _found([*found, *([open_one] if open_one is not None else [])], undated)

    def _wanted(self, entries: Entries) -> tuple[Flags, int]:
        """Which of them are of the moment or before; and how many bear no time."""
        if self._moment is None:
            return np.ones(len(entries), bool), 0
        undated = entries.missing["time"]
        return ~undated & (entries.other["time"] <= self._moment), int(undated.sum())

    def _looked_up(self, entries: Entries, places: Sequence[int]) -> Iterator[Entries]:
        """The wanted entries of these partitions, each asked for by itself."""
        roles = self.source.roles
        cql = newest_cql(self.source, "" if self._moment is None else "time <= ?")
        last = [] if self._moment is None else [encode(self.source.types[roles.at["time"]], self._moment)]
        for start in range(0, len(places), _LOOKUPS):
            some = places[start : start + _LOOKUPS]
            keys = ([entries.raw(place, roles.at[role]) for role in ("account", "asset")] for place in some)
            pending = [raw_pages(self.source.reader, cql, [*key, *last], serialized=True) for key in keys]
            for pages in pending:
                yield from (self._reader.read(page) for page in pages)


def _one_of_each(entries: Entries, *, first: bool) -> Numbers:
    """The place of the first, or the last, entry of each partition."""
    begins = (entries.account[1:] != entries.account[:-1]) | (entries.asset[1:] != entries.asset[:-1])
    cuts = np.flatnonzero(begins)
    return np.concatenate([[0], cuts + 1]) if first else np.concatenate([cuts, [len(entries) - 1]])


def _found(some: Sequence[Entries], undated: int) -> Found:
    return Found([each.trimmed() for each in some if len(each)], undated)


def newest_cql(source: Source, until: str = "") -> str:
    """The statement for the newest entry of one account and asset; `until`: "time <= ?", "order <= ?" or nothing.

    By the order the server finds it at once; for the time it looks through the partition, newest first.
    """
    columns = dict(zip(source.roles.at, map(quote, source.roles.columns), strict=True))
    role, _, rest = until.partition(" ")
    condition = f" AND {columns[role]} {rest}" if until else ""
    return (
        f"SELECT {', '.join(columns.values())} FROM {source.base.cql_name} WHERE {columns['account']} = ? "
        f"AND {columns['asset']} = ?{condition} ORDER BY {columns['order']} DESC LIMIT 1"
        f"{' ALLOW FILTERING' if role == 'time' else ''}"
    )
