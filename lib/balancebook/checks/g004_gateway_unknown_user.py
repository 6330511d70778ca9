"""G004 gateway_unknown_user."""

from __future__ import annotations

from balancebook.checks.base import Finding, NotAsked, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.shown import is_zero, shown_balances, zeros_are_listed
from balancebook.checks.truth import assets_in_base, newest_entries


@check("G004", "gateway_unknown_user")
def gateway_unknown_user(
    ctx: Context, *, unknown_user_id: int | str, user_id: int | str, assets_from: str = "scan"
) -> Finding:
    """Does the gateway answer empty for a user who does not exist, with its database up behind it?

    Some gateways answer an empty success when their database is down, so an empty answer alone says nothing. It
    counts only together with a balance for a user who has one, asked right after. Balances of zero are empty too.
    """
    nobody, somebody = ctx.account(unknown_user_id, "unknown_user_id"), ctx.account(user_id)
    answer = shown_balances(ctx, unknown_user_id)
    if newest_entries(ctx, nobody, assets_in_base(ctx, nobody, assets_from).assets):
        return unknown(f"User {unknown_user_id} has balances in the base: name one who does not exist.")
    shown = [each for each in answer.balances if not is_zero(ctx, each.available, each.held or 0)]
    if shown:
        names = enumerated([balance.asset for balance in shown])
        return failed(f"The gateway returns {names} for user {unknown_user_id}, who has no row in the base.")
    if nobody == somebody:
        raise NotAsked(f"only user {user_id} was named: whether the gateway is empty for all is not known")
    held = newest_entries(ctx, somebody, assets_in_base(ctx, somebody, assets_from).assets)
    if not zeros_are_listed(ctx):
        zero = ctx.ledger.held is None
        held = {
            asset: each
            for asset, each in held.items()
            if not is_zero(ctx, each.available, 0 if zero else each.held)
        }
    if not held:
        return unknown(
            f"User {user_id} has no balance in the base: name one who has, to tell empty from down."
        )
    if not shown_balances(ctx, user_id).balances:
        return failed(
            f"The gateway answers empty for user {user_id} too, who has balances: it answers empty to all."
        )
    return passed(f"Empty for user {unknown_user_id}, and user {user_id} has balances.")
