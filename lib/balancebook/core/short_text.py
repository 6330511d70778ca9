"""Text of a bounded size, for whatever comes from elsewhere: a gateway's answer, a cell of a table, a list of names.

A message, a sample and a cell of a table have a limit each. What is cut says so, and how long it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from balancebook.verdict import Json

LONGEST_MESSAGE = 2_000
LONGEST_CELL = 500
MOST_NAMES = 20
_MOST_PARTS = 200
# Python itself refuses to write integers of more than 4,300 digits.
_LONGEST_INTEGER_BITS = 14_000


def shortened(text: str, limit: int = LONGEST_CELL) -> str:
    """The text, or its first `limit` characters and its length in characters."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def enumerated(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """The first names, each shortened, and how many more there are."""
    more = len(names) - most
    listed = ", ".join(shortened(name, LONGEST_CELL // 5) for name in names[:most])
    return listed + (f" and {more:,} more" if more > 0 else "")


def shortened_json(value: Json) -> Json:
    """A value of a sample: texts shortened, and lists and objects cut to 200 parts, at every depth.

    An integer that Python does not write in decimals becomes text in hexadecimals, shortened.
    """
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _LONGEST_INTEGER_BITS else shortened(hex(value))
    if isinstance(value, Mapping):
        parts = list(value.items())
        kept = {shortened(str(key)): shortened_json(item) for key, item in parts[:_MOST_PARTS]}
        return kept | _left_out(len(parts), "...")
    kept_items = [shortened_json(item) for item in value[:_MOST_PARTS]]
    return kept_items + list(_left_out(len(value), "").values())


def _left_out(count: int, key: str) -> dict[str, Json]:
    return {key: f"and {count - _MOST_PARTS:,} more"} if count > _MOST_PARTS else {}
