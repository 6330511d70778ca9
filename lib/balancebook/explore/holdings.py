"""Questions about all accounts, answered from an extract: pure functions, exact, without reading anything.

A balance that is null counts as nothing in a sum, and is listed by `impossible`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from balancebook.assets import Registry, exact_sum, label
from balancebook.core.short_text import enumerated
from balancebook.explore.extract import Extract
from balancebook.explore.people import amounts, labels, rows_table, table, whole
from balancebook.moment import DAY_MS, parse_moment, utc_text

TOP = (1, 10, 100)
AHEAD_SINCE = 2
"""The version of extracts since which they tell what rests on entries dated ahead."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """One asset's balances that are not nothing: the extract's columns, and `total`, available and held together."""

    asset: Any
    rows: pa.Table
    extract: Extract

    def money(self, column: str) -> list[Any]:
        """The amounts of a column as they are stored, int or Decimal."""
        return [self.extract.amount(each) for each in self.rows[column].to_pylist()]

    def sum(self, column: str) -> Any:
        """The exact sum of a column."""
        total = pc.sum(self.rows[column]).as_py()
        return 0 if total is None else self.extract.amount(total)

    @property
    def totals(self) -> list[Any]:
        """Available and held together, largest first."""
        return sorted(self.money("total"), reverse=True)


def by_asset(extract: Extract) -> Iterator[Holdings]:
    """The holdings of each asset, in the order of assets."""
    for asset in assets_in(extract):
        yield holdings_of(extract, asset)


def assets_in(extract: Extract) -> list[Any]:
    """The assets of an extract, sorted."""
    return sorted(pc.unique(extract.table["asset"]).to_pylist())


def holdings_of(extract: Extract, asset: Any) -> Holdings:
    """The holdings of one asset, as the store or the extract has it (a uuid or its text)."""
    column = extract.table["asset"]
    wanted = asset if pa.types.is_integer(column.type) else str(asset)
    rows = _with_total(extract.table.filter(pc.equal(column, pa.scalar(wanted, column.type))))
    there = pc.or_(_nonzero(rows["available"]), _nonzero(rows["held"]))
    return Holdings(asset, rows.filter(there), extract)


def totals(extract: Extract, registry: Registry) -> pd.DataFrame:
    """What all accounts have together: asset, accounts (with a balance), available, held, total; whole units, exact."""
    found = list(by_asset(extract))
    assets = [each.asset for each in found]
    sums = {name: [each.sum(name) for each in found] for name in ("available", "held", "total")}
    if not extract.origin.held:
        sums["held"] = [None] * len(found)
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "accounts": [len(each.rows) for each in found],
    }
    columns |= {name: amounts(cells, assets, registry) for name, cells in sums.items()}
    return table(columns, apart(extract))


def top_holders(extract: Extract, registry: Registry, asset: Any, most: int = 10) -> pd.DataFrame:
    """Who holds most of an asset: rank, account, available, held, total (whole units), share % (of all that is held;
    two decimals); equal totals by account."""
    all_of_it = holdings_of(extract, asset)
    rows = all_of_it.rows.sort_by([("total", "descending"), ("account", "ascending")]).slice(0, most)
    ranked, everything = Holdings(asset, rows, extract), all_of_it.sum("total")
    columns: dict[str, Any] = {"rank": range(1, len(rows) + 1), "account": rows["account"].to_pylist()}
    for name in ("available", "held", "total"):
        columns[name] = amounts(ranked.money(name), [asset] * len(rows), registry)
    columns["share %"] = [share(each, everything) for each in ranked.money("total")]
    return table(columns, f"{label(asset, registry)}: {len(all_of_it.rows):,} accounts with a balance.")


def concentration(extract: Extract, registry: Registry) -> pd.DataFrame:
    """How much of each asset its largest holders have: asset, holders (above nothing), top 1, 10 and 100 hold %
    (their share in percent, two decimals; None with fewer holders), half (how many hold half of it)."""
    rows = []
    for each in by_asset(extract):
        positive = [total for total in each.totals if total > 0]
        everything = exact_sum(positive)
        shares = [
            share(exact_sum(positive[:most]), everything) if len(positive) >= most else None for most in TOP
        ]
        rows.append((label(each.asset, registry), len(positive), *shares, _half(positive, everything)))
    names = ("asset", "holders", *(f"top {most} hold %" for most in TOP), "half is held by")
    return rows_table(names, rows)


def dust(extract: Extract, registry: Registry) -> pd.DataFrame:
    """Balances that a person never sees: above nothing, and less than the least that is shown of the asset.

    Columns asset, least shown, accounts, together (whole units). Assets that the registry does not know have no such
    limit and are left out; the note says so.
    """
    rows, unknown = [], []
    for each in by_asset(extract):
        known = registry.by_id(each.asset)
        if known is None:
            unknown.append(label(each.asset, registry))
            continue
        least = Decimal((0, (1,), -known.shown))
        units = (whole(total, each.asset, registry) for total in each.totals)
        small = [unit for unit in units if unit is not None and 0 < unit < least]
        rows.append((known.symbol, least, len(small), exact_sum(small)))
    names = ("asset", "least shown", "accounts", "together")
    note = f"Not judged, since the registry does not know it: {enumerated(unknown)}." if unknown else ""
    return rows_table(names, rows, note)


def impossible(extract: Extract, registry: Registry) -> pd.DataFrame:
    """Balances that cannot be: asset, account, what ("available is negative", "held has no value"), amount (whole
    units), entry, last moved (UTC). The most negative first, within an asset."""
    rows: list[tuple[Any, ...]] = []
    for name in ("available", "held"):
        column = extract.table[name]
        negative = extract.table.filter(pc.less(column, pa.scalar(Decimal(0), column.type)))
        rows += [(*row, f"{name} is negative") for row in _cells(extract, negative, name)]
        if name == "available" or extract.origin.held:
            lacking = extract.table.filter(pc.is_null(column))
            rows += [(*row, f"{name} has no value") for row in _cells(extract, lacking, name)]
    rows.sort(key=lambda row: (str(row[0]), row[2] if row[2] is not None else 0, str(row[1])))
    assets = [row[0] for row in rows]
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "account": [row[1] for row in rows],
        "what": [row[5] for row in rows],
        "amount": amounts((row[2] for row in rows), assets, registry),
        "entry": [row[3] for row in rows],
        "last moved (UTC)": [utc_text(row[4]) for row in rows],
    }
    return table(columns)


def stuck(extract: Extract, registry: Registry, days: int) -> pd.DataFrame:
    """Held balances of which nothing has moved for so many days before the extract's moment, longest first.

    Columns asset, account, held (whole units), entry, last moved (UTC). Such an order may be open, or its lock
    forgotten: the ledger alone does not say. An entry without a time is of no age. The note says how many there are.
    """
    origin = extract.origin
    moment = parse_moment(f"{origin.as_of or origin.read_from}Z")
    held = extract.table.filter(_nonzero(extract.table["held"]))
    old = held.filter(pc.less_equal(held["time"], moment - days * DAY_MS))
    rows = list(_cells(extract, old.sort_by([("time", "ascending"), ("account", "ascending")]), "held"))
    assets = [row[0] for row in rows]
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "account": [row[1] for row in rows],
        "held": amounts((row[2] for row in rows), assets, registry),
        "entry": [row[3] for row in rows],
        "last moved (UTC)": [utc_text(row[4]) for row in rows],
    }
    note = f"{len(rows):,} of {len(held):,} held balances have not moved for {days} days."
    without = held["time"].null_count if origin.as_of is None else 0
    return table(columns, note + (f" Of no age, without a time: {without:,}." if without else ""))


def ahead(extract: Extract, registry: Registry) -> pd.DataFrame:
    """The balances that rest on entries dated ahead of the clock, and what they are without those.

    Columns asset, account, entries (how many are dated ahead), newest (the number of the last), dated (UTC, of that
    one), available, available without, held, held without (whole units; None if there is no other entry). The note
    says what they change in all, by asset, exact.
    """
    rows = resting(extract)
    assets = rows["asset"].to_pylist()
    columns: dict[str, Any] = {
        "asset": labels(assets, registry),
        "account": rows["account"].to_pylist(),
        "entries": rows["ahead"].to_pylist(),
        "newest": rows["entry"].to_pylist(),
        "dated (UTC)": [utc_text(each) for each in rows["time"].to_pylist()],
    }
    for name in ("available", "held"):
        for column, cells in ((name, rows[name]), (f"{name} without", rows[f"settled_{name}"])):
            columns[column] = amounts(map(extract.amount, cells.to_pylist()), assets, registry)
    return table(columns, " ".join([_changes(extract, rows, registry), *_left_out(extract)]))


def resting(extract: Extract) -> pa.Table:
    """The rows of an extract that rest on entries dated ahead, by asset and account."""
    if extract.origin.schema_version < AHEAD_SINCE:
        return _without_ahead(extract.table)
    found = extract.table.filter(pc.greater(extract.table["ahead"], 0))
    return found.sort_by([("asset", "ascending"), ("account", "ascending")])


def negative_without(extract: Extract) -> int:
    """How many balances that rest on entries dated ahead are negative without those."""
    rows = resting(extract)
    flags = [_negative(rows[f"settled_{name}"]) for name in ("available", "held")]
    return len(rows.filter(pc.or_(*flags)))


def _without_ahead(some: pa.Table) -> pa.Table:
    """No row, with the columns of today."""
    none = some.slice(0, 0).append_column("ahead", pa.array([], pa.int64()))
    for name in ("entry", "available", "held"):
        none = none.append_column(f"settled_{name}", pa.array([], some[name].type))
    return none


def _changes(extract: Extract, rows: pa.Table, registry: Registry) -> str:
    """By how much these rows change the totals, by asset."""
    if extract.origin.schema_version < AHEAD_SINCE:
        return "This file is of an earlier version, which did not list them: write another one to see them."
    if not len(rows):
        return "No balance rests on an entry dated ahead of the clock."
    told = []
    for asset in sorted(pc.unique(rows["asset"]).to_pylist()):
        mine = rows.filter(pc.equal(rows["asset"], pa.scalar(asset, rows["asset"].type)))
        parts = []
        for name in ("available", "held") if extract.origin.held else ("available",):
            here, without = (
                exact_sum(extract.amount(each) or 0 for each in mine[column].to_pylist())
                for column in (name, f"settled_{name}")
            )
            parts.append(f"{name} by {whole(exact_sum((here, -without)), asset, registry):+f}")
        told.append(f"{label(asset, registry)} {' and '.join(parts)}")
    return f"They count in all tables of this extract, and change {'; '.join(told)}."


def apart(extract: Extract) -> str:
    """Which entries count in an extract; and how many balances rest on entries dated ahead of the clock, or without a
    time, or leave such entries out."""
    origin = extract.origin
    told = [origin.rule]
    if origin.ahead:
        told.append(
            f"Balances that rest on entries dated ahead of the clock, listed apart: {origin.ahead:,}."
        )
    if origin.undated and origin.as_of is None:
        told.append(f"Balances by an entry without a time: {origin.undated:,}.")
    elif origin.undated:
        told.append(f"Balances with a newer entry without a time, which does not count: {origin.undated:,}.")
    return " ".join([*told, *_left_out(extract)])


def _left_out(extract: Extract) -> list[str]:
    if not extract.origin.left_out:
        return []
    return [
        f"Balances whose newest entry is dated ahead of the clock, and does not count as of then: "
        f"{extract.origin.left_out:,}; without as_of they are listed."
    ]


def shares_by_rank(extract: Extract, asset: Any) -> npt.NDArray[np.float64]:
    """For a figure: the share in percent that the n largest holders have together, n from 1 on."""
    positive = np.array([float(each) for each in holdings_of(extract, asset).totals if each > 0])
    return np.cumsum(positive) / positive.sum() * 100 if len(positive) else positive


def share(part: Any, everything: Any) -> Decimal | None:
    """The part in percent, with two decimals, rounded half to even; None of nothing."""
    if not everything:
        return None
    with localcontext(prec=100):
        return (Decimal(part) * 100 / Decimal(everything)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _half(largest_first: list[Any], everything: Any) -> int | None:
    so_far: Any = 0
    with localcontext(prec=100):
        for number, each in enumerate(largest_first, 1):
            so_far += each
            if 2 * so_far >= everything:
                return number
    return None


def _with_total(some: pa.Table) -> pa.Table:
    zero = [pa.scalar(Decimal(0), some[name].type) for name in ("available", "held")]
    filled = [pc.fill_null(some[name], each) for name, each in zip(("available", "held"), zero, strict=True)]
    return some.append_column("total", pc.add(*filled))


def _negative(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.less(column, pa.scalar(Decimal(0), column.type)), fill_value=False)


def _nonzero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(column, pa.scalar(Decimal(0), column.type)), fill_value=False)


def _cells(extract: Extract, some: pa.Table, money: str) -> Iterator[tuple[Any, ...]]:
    """(asset, account, amount, entry, time) of each row."""
    names = ("asset", "account", money, "entry", "time")
    for asset, account, amount, *rest in zip(*(some[name].to_pylist() for name in names), strict=True):
        yield (asset, account, extract.amount(amount), *rest)
