"""What the audited entries come to by asset, as a table for people. It decides nothing: L007 does."""

from __future__ import annotations

from typing import Any

import pandas as pd

from balancebook.assets import exact_sum, label, to_units
from balancebook.checks.audited import Scope, audited
from balancebook.checks.context import Context
from balancebook.ledger.audit import AuditReport
from balancebook.ledger.sums import FRESH, IN, NEWEST, OTHER, OUT, TRADED, AssetSums

_MOVED = {"deposits": (IN,), "withdrawals": (OUT,), "trades": (TRADED, FRESH), "other entries": (OTHER,)}


def asset_sums(
    ctx: Context, *, user_id: int | str | None = None, sample: int | None = None, assets_from: str = "scan"
) -> pd.DataFrame:
    """One row an asset of the audited entries: asset (its label), conserves, newest balances, all entries, deposits,
    withdrawals, trades, other entries.

    conserves: "yes" or "NO"; "—" of a part, where it need not, where not all was read, and where a cell is missing.
    Amounts are exact Decimals, available and held together, in whole units; of an asset that the registry does not
    know, and where the ledger holds decimals, as they are stored. Withdrawals are negative; "all entries" is the sum of
    the four after it.
    Raises StoreError, BalancebookError.
    """
    report = audited(ctx, Scope(user_id, sample, assets_from))
    rows = sorted((_row(ctx, sums, report) for sums in report.sums), key=lambda row: str(row[0]))
    return pd.DataFrame(
        rows, columns=["asset", "conserves", "newest balances", "all entries", *_MOVED], dtype=object
    )


def _row(ctx: Context, sums: AssetSums, report: AuditReport) -> tuple[Any, ...]:
    moved = (exact_sum([sums.moved[place] for place in places]) for places in _MOVED.values())
    amounts = [sums.moved[NEWEST], sums.deltas, *moved]
    shown = [to_units(each, sums.asset, ctx.registry) for each in amounts]
    return label(sums.asset, ctx.registry), _conserves(sums, report), *shown


def _conserves(sums: AssetSums, report: AuditReport) -> str:
    if report.of_part or report.reasons or report.no_sums or sums.missing or sums.untyped:
        return "—"
    if sums.asset in report.changing:
        return "—"
    return "NO" if sums.asset in report.uneven else "yes"
