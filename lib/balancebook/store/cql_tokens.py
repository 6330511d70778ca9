"""CQL text in tokens, as far as a view's definition needs them.

Grammar: https://cassandra.apache.org/doc/latest/cassandra/developing/cql/definitions.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from balancebook.errors import UsageError
from balancebook.store.names import quote

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<string>'(?:[^']|'')*')
      | (?P<number>\d[\w.]*)
      | (?P<word>\w+)
      | (?P<sign><=|>=|!=|[-+(){}\[\],.;:=<>*?])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset({"IS", "NOT", "NULL", "IN", "TRUE", "FALSE"})


@dataclass(frozen=True, slots=True)
class Token:
    """One token; it begins at `start` of the text. kind: quoted (a name), string, number, word or sign."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where in the text it ends."""
        return self.start + len(self.text)

    @property
    def keyword(self) -> str:
        """A word in upper case, a sign as it is, else nothing."""
        return self.text.upper() if self.kind == "word" else self.text if self.kind == "sign" else ""

    @property
    def identifier(self) -> str:
        """The name that it stands for."""
        # CQL folds an unquoted name to lower case.
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text.lower()

    @property
    def normal(self) -> str:
        """The token in its one spelling."""
        if self.kind in ("quoted", "word") and self.keyword not in _KEYWORDS:
            return quote(self.identifier)
        return self.keyword or self.text


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text, without comments. Raises UsageError for what is none."""
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UsageError(
                f"The view definition cannot be read at {text[at : at + 20]!r}.", "Check the CQL file."
            )
        if match.lastgroup and match.lastgroup != "skip":
            tokens.append(Token(match.lastgroup, match.group(), at))
        at = match.end()
    return tokens


def conditions_of(tokens: list[Token]) -> list[list[Token]]:
    """The conditions of a WHERE: what stands between its ANDs. CQL has no OR."""
    conditions: list[list[Token]] = [[]]
    for token in tokens:
        if token.keyword == "AND":
            conditions.append([])
        else:
            conditions[-1].append(token)
    return conditions
