"""G006 gateway_knows_every_asset."""

from __future__ import annotations

from balancebook.assets import label
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.shown import is_zero, shown_balances, zeros_are_listed
from balancebook.checks.truth import Entry, assets_in_base, newest_entries
from balancebook.verdict import Json


@check("G006", "gateway_knows_every_asset")
def gateway_knows_every_asset(ctx: Context, *, user_id: int | str, assets_from: str = "scan") -> Finding:
    """Does the gateway name every asset that the user has in the base?

    A gateway that drops what its registry does not know hides money. One that shows it raw ("#77") loses nothing,
    yet its registry lacks the asset: that fails too, and says so. One of which the user has nothing may be left out,
    unless the profile says that zeros are listed.
    """
    account = ctx.account(user_id)
    listed = assets_in_base(ctx, account, assets_from)
    held = newest_entries(ctx, account, listed.assets)
    if not held:
        return unknown(f"User {user_id} has no asset in the base: name one who has. {listed.note}")
    answer = {balance.asset: balance for balance in shown_balances(ctx, user_id).balances}
    names = [
        name
        for asset, entry in held.items()
        if (name := label(asset, ctx.registry)) in answer or not _may_be_absent(ctx, entry)
    ]
    if not names:
        return unknown(f"User {user_id} has no balance other than zero: name one who has. {listed.note}")
    samples: list[dict[str, Json]] = [
        {"asset": name, "problem": "not shown"} for name in names if name not in answer
    ]
    samples += [
        {"asset": name, "problem": "shown raw"} for name in names if name in answer and answer[name].raw
    ]
    counts = {"assets": len(names), "unknown": len(samples)}
    if samples:
        said = enumerated([f"{sample['asset']} {sample['problem']}" for sample in samples])
        return failed(f"User {user_id}: {said}.", counts=counts, samples=samples)
    return passed(f"Every asset of user {user_id} is named. {listed.note}", counts=counts)


def _may_be_absent(ctx: Context, entry: Entry) -> bool:
    held = 0 if ctx.ledger.held is None else entry.held
    return not zeros_are_listed(ctx) and is_zero(ctx, entry.available, held)
