"""Moments: what people write, what a ledger holds (milliseconds since 1970), and what is shown (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from balancebook.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def parse_moment(text: str, parameter: str = "as_of") -> int:
    """Milliseconds since 1970 of an ISO 8601 time with its offset from UTC; what is finer is cut off.

    Raises UsageError for anything else: without an offset the same text is 24 moments, and none of them is meant.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    # A bare date is read as midnight by fromisoformat, and has no offset either.
    if moment is None or moment.tzinfo is None:
        what = "is no time" if moment is None else "has no offset from UTC"
        raise UsageError(
            f"{parameter} {text!r} {what}.",
            "Write it like 2025-06-01T00:00:00+00:00 or 2025-06-01T09:30Z.",
            parameter=parameter,
        )
    return (moment - EPOCH) // _MILLISECOND


def utc_text(moment: int | None) -> str | None:
    """The moment as people read it: "2025-06-01 00:00:00.123 UTC"; beyond the years 1 to 9999 its milliseconds."""
    if moment is None:
        return None
    try:
        when = EPOCH + moment * _MILLISECOND
    except OverflowError:
        return f"{moment} ms since 1970"
    return f"{when.replace(tzinfo=None).isoformat(sep=' ', timespec='milliseconds')} UTC"
