"""Balances as of a time or an entry: what the account had then, by the newest entry of each asset until then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from balancebook.assets import Registry
from balancebook.explore.entries import money_column, require_time
from balancebook.explore.newest import narrowed, newest_cql
from balancebook.explore.people import amounts, labels, rows_table, table
from balancebook.explore.place import Place, source_of
from balancebook.ledger.entries import EntryReader, plain
from balancebook.moment import utc_text
from balancebook.store.raw import RawPage, raw_pages

_COLUMNS = ("asset", "available", "held", "entry", "time")


def as_of_time(place: Place, account: Any, assets: Sequence[Any], moment: int | None) -> pd.DataFrame:
    """The newest entry of each asset whose time is not after the moment (milliseconds since 1970; None: now).

    Columns asset (object), available, held (object of int or Decimal, as stored), entry (int), time (int or None). An
    asset without such an entry is left out. The server looks for the entry in the asset's partition, newest first, so
    it reads as many rows as are newer; entries without a time are of no moment. Raises StoreError; BalancebookError if
    a moment is asked for and the ledger has no time.
    """
    require_time(source_of(place), moment)
    if moment is None:
        return _each(place, account, assets, "", ())
    return _each(place, account, assets, "time <= ?", (moment,))


def as_of_entry(place: Place, account: Any, asset: Any, entry: int) -> pd.DataFrame:
    """The newest entry of an asset up to that number; as as_of_time. Raises StoreError, BalancebookError."""
    return _each(place, account, [asset], "order <= ?", (entry,))


def for_people(found: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """The same with symbols, whole units and times: asset, available, held, entry, time (UTC)."""
    columns: dict[str, Any] = {"asset": labels(found["asset"], registry)}
    columns |= {role: amounts(found[role], found["asset"], registry) for role in ("available", "held")}
    columns |= {"entry": found["entry"], "time (UTC)": [utc_text(each) for each in found["time"]]}
    return table(columns)


def _each(
    place: Place, account: Any, assets: Sequence[Any], until: str, params: Sequence[Any]
) -> pd.DataFrame:
    source = narrowed(source_of(place))
    reader = EntryReader(source.roles, source.types)
    cql = newest_cql(source, until)
    # All are asked at once; each answer is one row.
    pending = [(asset, raw_pages(source.reader, cql, [account, asset, *params])) for asset in assets]
    rows = [row for asset, pages in pending for page in pages for row in _row(reader, asset, page)]
    return rows_table(_COLUMNS, rows)


def _row(reader: EntryReader, asset: Any, page: RawPage) -> list[tuple[Any, ...]]:
    entries = reader.read(page)
    if not len(entries):
        return []
    cells = [money_column(entries, role)[0] for role in ("available", "held")]
    return [(asset, *map(_plain, cells), int(entries.order[0]), reader.time(entries, 0))]


def _plain(cell: Any) -> Any:
    """None for pandas' null, an int for numpy's."""
    return None if cell is pd.NA else plain(cell)
