"""Q002 unknown_user_is_empty."""

from __future__ import annotations

from balancebook.assets import label
from balancebook.checks.answers import read_answer
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.truth import assets_in_base, newest_entries


@check("Q002", "unknown_user_is_empty")
def unknown_user_is_empty(
    ctx: Context, *, strategy: str, unknown_user_id: int | str, assets_from: str = "scan"
) -> Finding:
    """Does the balance query return nothing for a user who does not exist?

    A balance that appears from nowhere is another user's, or an orphan of the view. If the base has rows for this
    user, the question was put to the wrong user, and the answer is unknown.
    """
    account = ctx.account(unknown_user_id, "unknown_user_id")
    listed = assets_in_base(ctx, account, assets_from)
    known = newest_entries(ctx, account, listed.assets)
    if known:
        return unknown(
            f"User {unknown_user_id} has {len(known)} assets in the base: name one who does not exist."
        )
    answer = read_answer(ctx, strategy, account, listed.assets)
    in_base = newest_entries(ctx, account, answer)
    orphans = [asset for asset in answer if asset not in in_base]
    counts = {"returned": len(answer), "wrong": len(orphans)}
    if orphans:
        names = enumerated([label(asset, ctx.registry) for asset in orphans])
        return failed(
            f"{strategy} returns {names} for user {unknown_user_id}, who has no row in the base.",
            counts=counts,
        )
    if answer:
        return unknown(f"User {unknown_user_id} got a first balance just now: name one who does not exist.")
    unseen = f" {listed.note}" if listed.source == "known" else ""
    return passed(
        f"{strategy} returns nothing for user {unknown_user_id}, and the base has nothing.{unseen}",
        counts=counts,
    )
