"""Tables that set answers side by side for people. They decide nothing: the checks do."""

from __future__ import annotations

from collections.abc import Callable, Container
from decimal import Decimal
from typing import Any

import pandas as pd

from balancebook.assets import format_amount, label, to_units
from balancebook.balances import AccountRefused
from balancebook.checks.answers import read_answer
from balancebook.checks.context import Context
from balancebook.checks.shown import shown_balances
from balancebook.checks.truth import Entry, assets_in_base, newest_entries
from balancebook.errors import BalancebookError
from balancebook.gateway import GatewayBalance
from balancebook.store.estimate import estimate
from balancebook.store.health import view_health
from balancebook.store.schema import Table, read_table

_HELD = " (held "
_ABSENT = "—"


def layers(ctx: Context, user_id: int | str, assets_from: str = "scan") -> pd.DataFrame:
    """One row an asset that any layer knows: asset, base, view, gateway if the profile has one (text: available and, if
    the ledger has it, held), differs.

    `differs` names the layers that are not as the base. A layer that cannot be read shows "?" in every row.
    """
    account = ctx.account(user_id)
    base = newest_entries(ctx, account, assets_in_base(ctx, account, assets_from).assets)
    known = {label(asset, ctx.registry): _amounts(ctx, asset, entry) for asset, entry in base.items()}
    sides = {
        "base": known,
        "view": _readable(lambda: _view(ctx, account)),
    }
    if ctx.profile.gateway:
        sides["gateway"] = _readable(lambda: _gateway(ctx, user_id))
    names = dict.fromkeys(name for side in sides.values() for name in side or ())
    rows = [(name, *(_shown(side, name) for side in sides.values())) for name in names]
    frame = pd.DataFrame(rows, columns=["asset", *sides], dtype=object)
    # A gateway may leave out a zero, or show one: G003 judges it by the profile.
    zeros: dict[str, tuple[str, ...]] = {"view": (), "gateway": ("0", _text(ctx, Decimal(0), Decimal(0)))}
    beside = [layer for layer in sides if layer != "base"]
    frame["differs"] = [
        ", ".join(
            layer
            for layer in beside
            if row[layer] != "?" and not _is_as(row["base"], row[layer], zeros[layer])
        )
        for _, row in frame.iterrows()
    ]
    return frame


def is_nobody(ctx: Context, user_id: int | str, assets_from: str = "scan") -> bool:
    """Whether the base has no entry of the user. False too if that could not be read: the checks say so by themselves.

    Raises AccountRefused for an account that the ledger cannot have.
    """
    try:
        account = ctx.account(user_id)
        return not newest_entries(ctx, account, assets_in_base(ctx, account, assets_from).assets)
    except AccountRefused:
        raise
    except BalancebookError:
        return False


def _view(ctx: Context, account: Any) -> dict[str, str]:
    answer = read_answer(ctx, "group_by", account, ())
    return {label(asset, ctx.registry): _amounts(ctx, asset, entry) for asset, entry in answer.items()}


def _gateway(ctx: Context, user_id: int | str) -> dict[str, str]:
    balances = shown_balances(ctx, user_id).balances
    return {balance.asset: _shown_amounts(ctx, balance) for balance in balances}


def _shown_amounts(ctx: Context, balance: GatewayBalance) -> str:
    if balance.held is None:
        return format_amount(balance.available)
    return _text(ctx, balance.available, balance.held)


def _is_as(base: str, shown: str, zeros: Container[str]) -> bool:
    """Whether a layer's amounts are the base's; one that shows no held amount is compared without. zeros: what is as
    good as absent in that layer."""
    if (base == _ABSENT and shown in zeros) or (shown == _ABSENT and base in zeros):
        return True
    return shown in (base, base.partition(_HELD)[0])


def _readable(read: Callable[[], dict[str, str]]) -> dict[str, str] | None:
    try:
        return read()
    except BalancebookError:
        return None


def _shown(side: dict[str, str] | None, name: str) -> str:
    return "?" if side is None else side.get(name, _ABSENT)


def _amounts(ctx: Context, asset: Any, entry: Entry) -> str:
    cells = (entry.available, entry.held)
    return _text(ctx, *(None if cell is None else to_units(cell, asset, ctx.registry) for cell in cells))


def _text(ctx: Context, available: Decimal | None, held: Decimal | None) -> str:
    return f"{_plain(available)}{_HELD}{_plain(held)})" if ctx.ledger.held else _plain(available)


def _plain(amount: Decimal | None) -> str:
    return "null" if amount is None else format_amount(amount)


def columns(ctx: Context) -> pd.DataFrame:
    """One row a column of base or view: column, type, and its place in either ("partition key", "clustering desc",
    "regular", or "—" where it is not selected). All text."""
    base = read_table(ctx.reader, ctx.keyspace, ctx.view.base_name)
    places = [
        {c.name: _place(c.kind, c.clustering_order) for c in side.columns}
        for side in (base, ctx.view)
        if side
    ]
    types = {column.name: column.cql_type for side in (ctx.view, base) if side for column in side.columns}
    rows = [(name, types[name], *(side.get(name, "—") for side in places)) for name in types]
    return pd.DataFrame(rows, columns=["column", "type", "in the base", "in the view"])


def _place(kind: str, order: str) -> str:
    return f"clustering {order}" if kind == "clustering" else kind.replace("_", " ")


def build(ctx: Context) -> pd.DataFrame:
    """One row a node: node, status, percent (whole, rounded down; None if it is not known)."""
    nodes = view_health(ctx.reader, ctx.keyspace, ctx.profile.view).nodes
    rows = [
        (node.address, node.status, None if node.percent is None else int(node.percent)) for node in nodes
    ]
    return pd.DataFrame(rows, columns=["node", "status", "percent"], dtype=object)


def cost(ctx: Context) -> pd.DataFrame:
    """What reading all of base and view would cost, by the server's own estimate: table, rows, MiB, seconds
    (None: it has none yet), and the profile's budget of rows."""
    base = read_table(ctx.reader, ctx.keyspace, ctx.view.base_name)
    budget = ctx.profile.limits.max_rows
    rows = [(side.name, *_cost(ctx, side), budget) for side in (base, ctx.view) if side]
    return pd.DataFrame(rows, columns=["table", "rows", "MiB", "seconds", "budget of rows"], dtype=object)


def _cost(ctx: Context, table: Table) -> tuple[int | None, int | None, float | None]:
    found = estimate(ctx.reader, table)
    return found.rows, None if found.bytes is None else found.bytes // 2**20, found.seconds
