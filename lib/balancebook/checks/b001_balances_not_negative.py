"""B001 balances_not_negative."""

from __future__ import annotations

from balancebook.checks.base import SAMPLE_LIMIT, Finding, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.verdict import Json


@check("B001", "balances_not_negative")
def balances_not_negative(ctx: Context, *, as_of: str | None = None, extract: str | None = None) -> Finding:
    """Has nobody less than nothing, and every balance a value, as of the extract's moment?

    Totals over balances of which one cannot be are wrong by as much. Asked of the newest entry of every account, by one
    scan or of an extract's file; L003 asks it of every entry. What could not be read makes it unknown, and so do
    balances whose newest entry bears no time.
    """
    # pyarrow and matplotlib take half a second to import, which commands that run no notebook need not wait for.
    from balancebook.explore import extract_for, holdings  # noqa: PLC0415

    found = extract_for(ctx, as_of, extract)
    wrong = holdings.impossible(found, ctx.registry)
    counts = {"balances": found.origin.entries, "wrong": len(wrong), "undated": found.origin.undated}
    if len(wrong):
        first = wrong.iloc[0]
        samples: list[dict[str, Json]] = [
            {str(name): cell if isinstance(cell, int | None) else str(cell) for name, cell in row.items()}
            for row in wrong.head(SAMPLE_LIMIT).to_dict("records")
        ]
        return failed(
            f"{len(wrong):,} of {found.origin.entries:,} balances cannot be. The worst: account {first['account']}, "
            f"{first['asset']}: {first['what']}.",
            counts=counts,
            samples=samples,
        )
    if found.origin.undated:
        return unknown(f"The newest entry of {found.origin.undated:,} balances bears no time.", counts=counts)
    if not found.origin.entries:
        return unknown("There is no balance at all: nothing to judge.", counts=counts)
    return passed(f"All {found.origin.entries:,} balances are there and not below zero.", counts=counts)
