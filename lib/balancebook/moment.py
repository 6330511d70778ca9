"""Moments: what people write, what a ledger holds (milliseconds since 1970), and what is shown (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from balancebook.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMPLE = "2025-06-01T00:00:00+00:00"
DAY_MS = 86_400_000
_MILLISECOND = timedelta(milliseconds=1)
# RFC 3339 section 5.6, and full-date alone. The ranges of the parts are datetime's to check; a leap second (:60), which
# the milliseconds of a ledger do not count, is refused there too.
_RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[Tt ](?P<hour>[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,9})?"
    r"(?P<offset>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?)?",
    re.ASCII,
)


def moment_of(text: str) -> int:
    """Milliseconds since 1970 of a time with its offset from UTC, or of a date: the start of that day in UTC.

    The time is written as in RFC 3339, section 5.6 (with "T" or one space before it); what is finer than a millisecond
    is cut off. Raises ValueError, the end of a sentence, for anything else: without an offset the same text is 24
    moments; and for a moment that is not in the years 1 to 9999 in UTC.
    """
    written = _RFC_3339.fullmatch(text)
    if written is None:
        raise ValueError("is not a time or a date")
    if written["hour"] and not written["offset"]:
        raise ValueError("has no offset from UTC")
    try:
        # A date alone is midnight, without a zone.
        moment = datetime.fromisoformat(text.upper())
        return milliseconds(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC))
    except OverflowError as error:
        raise ValueError("is not in the years 1 to 9999 in UTC") from error
    except ValueError as error:
        raise ValueError("is not a time or a date") from error


def is_date(text: str) -> bool:
    """Whether a moment was given as a date alone."""
    return len(text) == len("2025-06-01")


def milliseconds(when: datetime) -> int:
    """Milliseconds since 1970 of a time that knows its zone; what is finer is cut off."""
    return (when - EPOCH) // _MILLISECOND


def parse_moment(text: str, parameter: str = "as_of") -> int:
    """As moment_of; raises UsageError, which names the parameter."""
    try:
        return moment_of(text)
    except ValueError as error:
        raise UsageError(
            f"{parameter} {text[:60]!r} {error}.",
            f"Write it like {EXAMPLE}, or as a date.",
            parameter=parameter,
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
