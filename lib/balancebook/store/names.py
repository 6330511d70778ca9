"""Names of keyspaces, tables and columns: quoting, and guessing which one was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def quote(identifier: str) -> str:
    """A name as CQL takes it in any case: in double quotes (reserved words need them too), inner ones doubled."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_if_needed(identifier: str) -> str:
    """A name for a person to read or paste: quoted only if it is not plain lower case."""
    return identifier if _PLAIN.fullmatch(identifier) else quote(identifier)


def close_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, case apart, or None if none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The words " Did you mean X?" for the end of a message, or nothing if no known name is close."""
    close = close_name(name, known)
    return f" Did you mean {close}?" if close else ""
