"""Moments: what people write, what a ledger holds (milliseconds since 1970), and what is shown (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from balancebook.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMPLE = "2025-06-01T00:00:00+00:00"
DAY_MS = 86_400_000
_MILLISECOND = timedelta(milliseconds=1)


def moment_of(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time with its offset from UTC; what is finer is cut off.

    Raises ValueError, the end of a sentence, for anything else: without an offset the same text is 24 moments.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is no time") from error
    # A bare date is read as midnight by fromisoformat, and has no offset either.
    if moment.tzinfo is None:
        raise ValueError("has no offset from UTC")
    return milliseconds(moment)


def milliseconds(when: datetime) -> int:
    """Milliseconds since 1970 of a time that knows its zone; what is finer is cut off."""
    return (when - EPOCH) // _MILLISECOND


def parse_moment(text: str, parameter: str = "as_of") -> int:
    """As moment_of; raises UsageError, which names the parameter."""
    try:
        return moment_of(text)
    except ValueError as error:
        raise UsageError(
            f"{parameter} {text!r} {error}.", f"Write it like {EXAMPLE}.", parameter=parameter
        ) from error


def utc_text(moment: int | None) -> str | None:
    """The moment in UTC as people read it: "2025-06-01 00:00:00.123"; beyond the years 1 to 9999 its milliseconds."""
    if moment is None:
        return None
    try:
        when = EPOCH + moment * _MILLISECOND
    except OverflowError:
        return f"{moment} ms since 1970"
    return when.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
