"""G002 gateway_contract."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.shown import shown_balances
from balancebook.gateway import GatewayError

# Without an answer there is nothing to compare with the contract; G001 says that the gateway is down, if it is asked.
_DOWN = frozenset({"refused", "timeout"})


@check("G002", "gateway_contract")
def gateway_contract(ctx: Context, *, user_id: int | str) -> Finding:
    """Is the gateway's answer of the agreed shape, to the letter?

    Agreed is what the profile's gateway fields say. Strict, since what parses by luck misleads: one JSON document,
    each asset once, amounts exact and all of one form, no NaN, no redirect, nobody else's balance.
    """
    try:
        answer = shown_balances(ctx, user_id)
    except GatewayError as error:
        reported = error.kind in _DOWN and ctx.gateway_settings.health_path is not None
        judge = unknown if reported or error.kind == "denied" else failed
        return judge(str(error))
    count = len(answer.balances)
    return passed(f"The answer for user {user_id} holds to the contract.", counts={"assets": count})
