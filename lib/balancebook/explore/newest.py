"""One scan of a ledger for the balance of every account and asset: the newest of its entries that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from balancebook.errors import BalancebookError
from balancebook.explore.when import When, undated
from balancebook.ledger.entries import Entries, EntryReader, Flags, Numbers
from balancebook.ledger.source import Source
from balancebook.store.names import quote
from balancebook.store.pace import Pace, waiting
from balancebook.store.ranges import RANGES, Progress, tasks_by_turns
from balancebook.store.raw import RawPage, encode, raw_pages
from balancebook.store.raw_scan import raw_scan

_LOOKUPS = 32
# What is looked for is mostly among the newest few; a page that is kept shall not hold a thousand rows for one.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Leading:
    """A balance by an entry dated ahead of the clock.

    shown: that entry. settled: the newest entry below it that counts and is not dated ahead, None if there is none.
    ahead: how many entries, `shown` with them, are dated ahead and newer than `settled`.
    """

    shown: Entries
    settled: Entries | None
    ahead: int


@dataclass(frozen=True, slots=True)
class Found:
    """The balances of some accounts. entries: the newest that count, except those of `leading`.

    undated: how many balances have a newer entry without a time (as of a time), or are by such an entry (now).
    left_out: how many have a newest entry that is dated ahead of the clock, and does not count as of the time.
    """

    entries: Sequence[Entries]
    leading: Sequence[Leading]
    undated: int
    left_out: int

    @property
    def shown(self) -> list[Entries]:
        """The newest entries that count, all of them."""
        return [*self.entries, *(each.shown for each in self.leading)]


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
    when: When,
    budget_rows: int,
    *,
    recent: bool,
    pace: Pace | None = None,
    progress: Progress | None = None,
) -> Iterator[Found]:
    """The newest entry that counts of each account and asset.

    recent: few entries are newer than those. Then, in a ledger kept newest first, the server is asked for the first
    entry of each partition, and again for those partitions in which that one does not count. Else all entries are read.
    Partitions whose entry is dated ahead of the clock are asked again for what is below it. At LOCAL_ONE. Raises
    BalancebookError unless all of it could be read, StoreError for non-retryable errors.
    """
    finder = _Finder(narrowed(source), when, pace)
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
    """Finds the newest entries that count, of whole ranges. Called from several threads."""

    def __init__(self, source: Source, when: When, pace: Pace | None) -> None:
        self.source, self._when, self._pace = source, when, pace
        self._reader = EntryReader(source.roles, source.types)

    def of_firsts(self, pages: Iterator[RawPage]) -> Found:
        """Of the first entry of each partition."""
        shown, without_time, left_out = list[Entries](), 0, 0
        for page in pages:
            entries = self._reader.read(page)
            counts = self._when.counts(entries)
            shown.append(entries.take(np.flatnonzero(counts)))
            without_time += int((counts & undated(entries)).sum())
            left_out += int((~counts & self._when.ahead(entries)).sum())
            tops = entries.take(np.flatnonzero(~counts))
            below = self._below(tops, self._when.counts, undated)
            for itself, (found, passed) in zip(undated(tops).tolist(), below, strict=True):
                without_time += itself or passed > 0
                shown += [found] if found is not None else []
        return self._found(shown, without_time, left_out)

    def of_all(self, pages: Iterator[RawPage]) -> Found:
        """Of all entries of whole partitions."""
        shown, or_undated, newest = (_OneOfEach(first=self.source.roles.descending) for _ in range(3))
        for page in pages:
            entries = self._reader.read(page)
            counts = self._when.counts(entries)
            shown.add(entries.take(np.flatnonzero(counts)))
            or_undated.add(entries.take(np.flatnonzero(counts | undated(entries))))
            newest.add(entries)
        ahead = (self._when.ahead(each) & ~self._when.counts(each) for each in newest.of_each())
        without_time = sum(int(undated(each).sum()) for each in or_undated.of_each())
        return self._found(shown.of_each(), without_time, sum(int(each.sum()) for each in ahead))

    def _found(self, shown: Sequence[Entries], without_time: int, left_out: int) -> Found:
        plain, leading = list[Entries](), list[Leading]()
        for some in shown:
            ahead = self._when.ahead(some)
            plain.append(some.take(np.flatnonzero(~ahead)))
            tops = some.take(np.flatnonzero(ahead))
            below = self._below(tops, self._settled, self._when.ahead)
            for place, (settled, more) in enumerate(below):
                leading.append(Leading(tops.take(slice(place, place + 1)).trimmed(), settled, 1 + more))
        return Found([each.trimmed() for each in plain if len(each)], leading, without_time, left_out)

    def _settled(self, entries: Entries) -> Flags:
        return self._when.counts(entries) & ~self._when.ahead(entries)

    def _below(
        self, tops: Entries, wanted: Callable[[Entries], Flags], noted: Callable[[Entries], Flags]
    ) -> Iterator[tuple[Entries | None, int]]:
        """For each of these, in its partition the newest wanted entry below it, if there is one; and how many of the
        entries between the two are noted."""
        few, rest = (older_cql(self.source, limit) for limit in (_FEW, None))
        order_type = self.source.types[self.source.roles.at["order"]]
        wait = waiting(self._pace)
        for start in range(0, len(tops), _LOOKUPS):
            some = tops.take(slice(start, start + _LOOKUPS))
            keys = [self._key(some, place) for place in range(len(some))]
            pending = [raw_pages(self.source.reader, few, key, serialized=True, wait=wait) for key in keys]
            for key, pages in zip(keys, pending, strict=True):
                found, count, last = self._walk(pages, wanted, noted)
                if found is None and last is not None:
                    older = [*key[:2], encode(order_type, last)]
                    more = raw_pages(self.source.reader, rest, older, serialized=True, wait=wait)
                    found, further, _ = self._walk(more, wanted, noted)
                    count += further
                yield found, count

    def _key(self, entries: Entries, place: int) -> list[bytes | None]:
        return [entries.raw(place, self.source.roles.at[role]) for role in ("account", "asset", "order")]

    def _walk(
        self, pages: Iterator[RawPage], wanted: Callable[[Entries], Flags], noted: Callable[[Entries], Flags]
    ) -> tuple[Entries | None, int, int | None]:
        """The first wanted entry, and how many before it are noted. If there is none: the order of the last one, below
        which there may be more."""
        count, seen, last = 0, 0, None
        for page in pages:
            entries = self._reader.read(page)
            there = np.flatnonzero(wanted(entries))
            end = int(there[0]) if len(there) else len(entries)
            count += int(noted(entries)[:end].sum())
            if len(there):
                return entries.take(slice(end, end + 1)).trimmed(), count, None
            seen += len(entries)
            last = int(entries.order[-1]) if len(entries) else last
        return None, count, last if seen >= _FEW else None


class _OneOfEach:
    """Of entries in the order of a scan the first of each partition, or the last."""

    def __init__(self, *, first: bool) -> None:
        self._first, self._found = first, list[Entries]()
        # The last partition may go on in the next page.
        self._open: Entries | None = None

    def add(self, some: Entries) -> None:
        """The next ones."""
        some = some.after(self._open) if self._open is not None else some
        if not len(some):
            return
        one_each = some.take(_one_of_each(some, first=self._first))
        self._found.append(one_each.take(slice(0, -1)))
        self._open = one_each.take(slice(-1, None)).trimmed()

    def of_each(self) -> list[Entries]:
        """What was found."""
        return [*self._found, *([self._open] if self._open is not None else [])]


def _one_of_each(entries: Entries, *, first: bool) -> Numbers:
    """The place of the first, or the last, entry of each partition."""
    begins = (entries.account[1:] != entries.account[:-1]) | (entries.asset[1:] != entries.asset[:-1])
    cuts = np.flatnonzero(begins)
    return np.concatenate([[0], cuts + 1]) if first else np.concatenate([cuts, [len(entries) - 1]])


def newest_cql(source: Source, until: str = "") -> str:
    """The statement for the newest entry of one account and asset; `until`: "time <= ?", "order <= ?" or nothing.

    By the order the server finds it at once; for the time it looks through the partition, newest first.
    """
    filtering = " ALLOW FILTERING" if until.startswith("time") else ""
    return f"{_newest_first(source, until)} LIMIT 1{filtering}"


def older_cql(source: Source, limit: int | None) -> str:
    """The statement for the entries of one account and asset below an order, newest first."""
    return _newest_first(source, "order < ?") + (f" LIMIT {limit}" if limit is not None else "")


def _newest_first(source: Source, until: str) -> str:
    columns = dict(zip(source.roles.at, map(quote, source.roles.columns), strict=True))
    role, _, rest = until.partition(" ")
    condition = f" AND {columns[role]} {rest}" if until else ""
    return (
        f"SELECT {', '.join(columns.values())} FROM {source.base.cql_name} WHERE {columns['account']} = ? "
        f"AND {columns['asset']} = ?{condition} ORDER BY {columns['order']} DESC"
    )
