"""The gateway's balances under the names that the base's assets have, whatever the gateway calls them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from balancebook.assets import Registry, to_units
from balancebook.checks.context import Context
from balancebook.gateway import GatewayAnswer, GatewayBalance
from balancebook.gateway.answers import refuse_repeated


def shown_balances(ctx: Context, account: object) -> GatewayAnswer:
    """The gateway's answer, its assets named as `assets.label` names them, amounts in whole units of those known.

    Raises GatewayError for anything but a right answer, also for one asset under two names.
    """
    answer = ctx.gateway.balance(account)
    in_raw_units = ctx.gateway_settings.fields.units == "raw"
    shown = tuple(_shown(balance, ctx.registry, in_raw_units=in_raw_units) for balance in answer.balances)
    refuse_repeated([balance.asset for balance in shown])
    return replace(answer, balances=shown)


def is_zero(ctx: Context, available: object, held: object) -> bool:
    """Whether a balance is nothing to the gateway: a null is not zero, and held amounts count where it shows them."""
    return available == 0 and (held == 0 or ctx.gateway_settings.fields.held is None)


def zeros_are_listed(ctx: Context) -> bool:
    """Whether an asset of which the account has nothing must be in the gateway's answer."""
    return ctx.gateway_settings.fields.zeros == "listed"


def _shown(balance: GatewayBalance, registry: Registry, *, in_raw_units: bool) -> GatewayBalance:
    name = asset_name(balance.asset, registry)
    asset = registry.by_symbol(name)
    if not in_raw_units or asset is None:
        return replace(balance, asset=name)

    def whole(amount: Decimal) -> Decimal:
        return to_units(int(amount), asset.id, registry)

    held = None if balance.held is None else whole(balance.held)
    return replace(balance, asset=name, available=whole(balance.available), held=held)


def asset_name(given: str, registry: Registry) -> str:
    """The symbol of an asset that a gateway gives by symbol or, failing that, by id; `#77` for one of an id unknown."""
    asset = registry.by_symbol(given) or registry.by_id(given)
    if asset:
        return asset.symbol
    return given if given.startswith("#") else f"#{given}"
