"""One account's ledger entries as a frame, newest first, from which its questions are answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from balancebook.balances import Target
from balancebook.errors import BalancebookError
from balancebook.explore.place import Place, source_of
from balancebook.ledger.entries import MONEY, Entries, EntryReader
from balancebook.ledger.source import Source
from balancebook.sketch.columns import is_number
from balancebook.store.cql.values import text_of
from balancebook.store.names import quote
from balancebook.store.raw import decode, raw_pages

MOST = 20_000
"""Entries of one asset that are read unless more are asked for: 0.1 s of one partition."""
_PAGE = 5_000


def entries_of(
    place: Place,
    account: Any,
    assets: Sequence[Any],
    *,
    most: int = MOST,
    before: int | None = None,
    until: int | None = None,
) -> pd.DataFrame:
    """The newest `most` entries of each of these assets, at LOCAL_ONE; of those before an entry's number, if given, and
    dated at most `until` (milliseconds since 1970), if given: those without a time are not.

    Columns asset (object), entry (Int64), time (Int64, milliseconds since 1970), kind (object: what the profile says
    the type is, None if it does not), type (object, as stored), delta_available, delta_held, available, held (Int64
    of integer columns, else object of int or Decimal; as stored; null as null; all null where the ledger has no such
    column), reference (object). Ordered by asset, then newest first. attrs["more"]: the assets with older entries.
    Raises StoreError; BalancebookError also if a time is given and the ledger has none.
    """
    source = source_of(place)
    require_time(source, until)
    frames, more = [], []
    for asset in assets:
        # One more, to know whether there are more.
        found = _newest(source, place.target, (account, asset), most + 1, before, until)
        if len(found) > most:
            more.append(asset)
            found = found.iloc[:most]
        found.insert(0, "asset", pd.Series([asset] * len(found), dtype=object, index=found.index))
        frames.append(found)
    frame = pd.concat(frames, ignore_index=True) if frames else _no_entries(source)
    frame.attrs["more"] = tuple(more)
    return frame


def require_time(source: Source, moment: int | None) -> None:
    """Raises BalancebookError if a moment is asked for and the ledger has no time."""
    if moment is not None and not source.roles.has("time"):
        raise BalancebookError(
            "The ledger has no column for the time of an entry.", "Ask for a balance as of an entry instead."
        )


def _newest(
    source: Source, target: Target, of: tuple[Any, Any], limit: int, before: int | None, until: int | None
) -> pd.DataFrame:
    ledger = target.ledger
    order = quote(ledger.order)
    bounds = {f"{order} <": before, f"{quote(ledger.time or '')} <=": until}
    given = {condition: bound for condition, bound in bounds.items() if bound is not None}
    cql = (
        f"SELECT {', '.join(map(quote, source.roles.columns))} FROM {target.base_name} "
        f"WHERE {quote(ledger.account)} = ? AND {quote(ledger.asset)} = ?"
        f"{''.join(f' AND {condition} ?' for condition in given)} ORDER BY {order} DESC LIMIT {limit}"
        # Within one partition, so the server reads no more than it.
        f"{' ALLOW FILTERING' if until is not None else ''}"
    )
    entry_reader = EntryReader(source.roles, source.types)
    pages = raw_pages(source.reader, cql, [*of, *given.values()], page_size=_PAGE)
    return pd.concat([_frame(source, entry_reader.read(page)) for page in pages], ignore_index=True)


def _frame(source: Source, entries: Entries) -> pd.DataFrame:
    types = [None if each is None else text_of(each) for each in _decoded(source, entries, "type")]
    columns: dict[str, Any] = {
        "entry": pd.array(entries.order, dtype="Int64"),
        "time": _numbers(entries, "time"),
        "kind": pd.Series([source.kinds.get(each) if each else None for each in types], dtype=object),
        "type": pd.Series(types, dtype=object),
        **{role: money_column(entries, role) for role in (*MONEY[2:], *MONEY[:2])},
        "reference": pd.Series(list(_decoded(source, entries, "reference")), dtype=object),
    }
    return pd.DataFrame(columns)


def money_column(entries: Entries, role: str) -> Any:
    """The amounts of a role as a pandas array or series; null where the cell is, or where there is no such column."""
    if role not in entries.money:
        return pd.Series([None] * len(entries), dtype=object)
    cells, missing = entries.money[role], entries.missing[role]
    if cells.dtype == object:
        return pd.Series(
            [None if absent else cell for cell, absent in zip(cells, missing, strict=True)], dtype=object
        )
    return pd.arrays.IntegerArray(cells.copy(), missing.copy())


def _numbers(entries: Entries, role: str) -> Any:
    if role not in entries.other:
        return pd.array([None] * len(entries), dtype="Int64")
    return pd.arrays.IntegerArray(entries.other[role].copy(), entries.missing[role].copy())


def _decoded(source: Source, entries: Entries, role: str) -> Iterator[Any]:
    at = source.roles.at.get(role)
    if at is None:
        return (None for _ in range(len(entries)))
    kind = [source.types[at]]
    return (decode(kind, [entries.raw(row, at)])[0] for row in range(len(entries)))


def _no_entries(source: Source) -> pd.DataFrame:
    names = ("asset", "entry", "time", "kind", "type", *MONEY[2:], *MONEY[:2], "reference")
    numbers = {"entry", "time"}
    numbers |= {
        role
        for role in MONEY
        if source.roles.has(role) and is_number(source.roles.types[source.roles.at[role]])
    }
    return pd.DataFrame({n: pd.Series([], dtype="Int64" if n in numbers else object) for n in names})
