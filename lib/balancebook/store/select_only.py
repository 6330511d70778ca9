"""The gate of the reading session: one plain SELECT passes, everything else is refused before it is sent.

The server parses exactly one statement, and its kind is decided by its first word: what begins with SELECT cannot
write. The rest (comments, `;`) is refused so that what is written is also what is read by a person.
"""

from __future__ import annotations

import re

from balancebook.store.errors import StoreError

# re.ASCII: without it the long s (U+017F) would match S; the whitespace is that of Cassandra's Lexer.g.
_SELECT = re.compile(r"[ \t\r\n]*SELECT(?![A-Z0-9_$])", re.ASCII | re.IGNORECASE)
# In Lexer.g's terms: STRING_LITERAL, PG_STYLE_STRING_LITERAL, QUOTED_NAME. Inside them nothing has a meaning.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\$\$.*?\$\$|\"(?:[^\"]|\"\")*\"", re.DOTALL)
_FORBIDDEN = (
    (";", "a ';'"),
    ("--", "a comment"),
    ("//", "a comment"),
    ("/*", "a comment"),
    ("'", "an unclosed quote"),
    ('"', "an unclosed quote"),
    ("$$", "an unclosed quote"),
    ("\0", "a NUL character"),
)


def require_select(cql: str) -> None:
    """Return if `cql` is one SELECT without comments and without `;`; else raise StoreError (refused_statement)."""
    if not isinstance(cql, str):
        raise _refusal(f"a {type(cql).__name__}", "it is no text")
    if not _SELECT.match(cql):
        raise _refusal(cql, "it does not begin with SELECT")
    bare = _QUOTED.sub(" ", cql)
    for sign, name in _FORBIDDEN:
        if sign in bare:
            raise _refusal(cql, f"it holds {name}")


def _refusal(statement: str, why: str) -> StoreError:
    shown = " ".join(statement.split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return StoreError(
        "refused_statement",
        f"Refused, nothing was sent: {why}: {shown!r}.",
        "This session reads only: give one SELECT, without comments and without ';'.",
    )
