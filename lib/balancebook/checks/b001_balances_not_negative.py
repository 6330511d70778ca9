"""B001 balances_not_negative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancebook.checks.base import SAMPLE_LIMIT, Finding, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.verdict import Json

if TYPE_CHECKING:
    from balancebook.explore.extract import Extract


@check("B001", "balances_not_negative")
def balances_not_negative(ctx: Context, *, as_of: str | None = None, extract: str | None = None) -> Finding:
    """Is no balance negative, and does every one have a value, now or as of a time?

    Totals over balances of which one is impossible are wrong by as much. It judges the newest entry of every account
    and asset, whatever its date; as of a time the newest dated at most then. One scan, or the file of an extract; L003
    judges every entry. What could not be read makes it unknown, and so do, as of a time, newer entries without a time.
    """
    # pyarrow and matplotlib take half a second to import, which commands that run no notebook need not wait for.
    from balancebook.explore import extract_for, holdings  # noqa: PLC0415

    found = extract_for(ctx, as_of, extract)
    wrong = holdings.impossible(found, ctx.registry)
    origin = found.origin
    counts = {
        "balances": origin.entries,
        "wrong": len(wrong),
        "undated": origin.undated,
        "ahead": origin.ahead,
        "left_out": origin.left_out,
    }
    apart = _apart(found)
    if len(wrong):
        first = wrong.iloc[0]
        samples: list[dict[str, Json]] = [
            {str(name): cell if isinstance(cell, int | None) else str(cell) for name, cell in row.items()}
            for row in wrong.head(SAMPLE_LIMIT).to_dict("records")
        ]
        return failed(
            f"{len(wrong):,} of {origin.entries:,} balances cannot be. The worst: account {first['account']}, "
            f"{first['asset']}: {first['what']}.{apart}",
            counts=counts,
            samples=samples,
        )
    if origin.undated and origin.as_of is not None:
        return unknown(
            f"Of {origin.undated:,} balances a newer entry has no time, so what they were as of then is not known."
            f"{apart}",
            counts=counts,
        )
    if not origin.entries:
        return unknown(f"There is no balance at all: nothing to judge.{apart}", counts=counts)
    return passed(f"All {origin.entries:,} balances are there and not below zero.{apart}", counts=counts)


def _apart(found: Extract) -> str:
    """What of the balances rests on entries dated ahead of the clock, and would be impossible without those."""
    from balancebook.explore import holdings  # noqa: PLC0415 (as above)

    told = ""
    if found.origin.ahead:
        told += f" Resting on entries dated ahead of the clock: {found.origin.ahead:,}"
        negative = holdings.negative_without(found)
        told += f"; negative without those: {negative:,}." if negative else "."
    if found.origin.left_out:
        told += (
            f" With a newest entry dated ahead, which does not count as of then: {found.origin.left_out:,}."
        )
    return told
