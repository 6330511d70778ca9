"""Which rows of its base a view selects: conditions on the base's primary key, held by the server itself.

CQL orders the values of each type in its own way, so nothing is compared here: a scan sends the view's conditions
along, and for a single row, of which CQL takes no second condition on a column, the server is asked how the row's key
and the conditions' values are ordered. Every type of a key was so compared with the server's own filtering (5.0.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from balancebook.errors import BalancebookError, UsageError
from balancebook.store.cql_tokens import Token, conditions_of, tokens_of
from balancebook.store.cql_types import has_user_type
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.reader import Reader
from balancebook.store.schema import Table, View

# By the order of the row's value and a value of the condition: -1, 0 or 1. IN holds if it does for any of them.
_HOLDS = {
    "=": (0,),
    "IN": (0,),
    "<": (-1,),
    "<=": (-1, 0),
    ">": (1,),
    ">=": (1, 0),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as CQL text, and its parts: columns (several as a tuple), their common type, operator, values."""

    text: str
    columns: tuple[str, ...]
    cql_type: str
    operator: str
    values: tuple[str, ...]

    def holds(self, sets: Sequence[bytes]) -> bool:
        """Whether it holds for a row. `sets`: of the row's value alone, and of it with each of the values."""
        _, own = _size_and_first(sets[0])
        return any(_order(own, each) in _HOLDS[self.operator] for each in sets[1:])


def _order(own: bytes, both: bytes) -> int:
    size, first = _size_and_first(both)
    return 0 if size == 1 else -1 if first == own else 1


def _size_and_first(encoded: bytes) -> tuple[int, bytes]:
    """Of a set as the native protocol encodes it: [int32 size], then [int32 length][bytes] in the order of the type."""
    length = int.from_bytes(encoded[4:8], "big")
    return int.from_bytes(encoded[:4], "big"), encoded[8 : 8 + length]


@dataclass(frozen=True, slots=True)
class ViewFilter:
    """The conditions under which a row of the base is in the view; without any, all rows are."""

    conditions: tuple[Condition, ...] = ()

    @property
    def where(self) -> str:
        """The conditions as a SELECT takes them, empty for none."""
        return " AND ".join(condition.text for condition in self.conditions)

    def admits(self, reader: Reader, key: Mapping[str, object], *, serialized: bool = False) -> bool:
        """Whether a row of the base with that key (column -> cell, as bytes if `serialized`) satisfies the conditions.

        The server answers, since a set's elements come in the order of their type. Raises StoreError.
        """
        sets, cells = [], []
        for condition in self.conditions:
            marker = ", ".join("?" for _ in condition.columns)
            marker = marker if len(condition.columns) == 1 else f"({marker})"
            for elements in (marker, *(f"{marker}, {value}" for value in condition.values)):
                sets.append(f"(set<{condition.cql_type}>){{{elements}}}")
                cells += [key[name] for name in condition.columns]
        if not sets:
            return True
        # numpy takes 0.1 s to import, which a command that scans nothing need not wait for.
        from balancebook.store.raw import raw_pages  # noqa: PLC0415

        cql = f"SELECT {', '.join(sets)} FROM system.local"
        answers = [
            row for page in raw_pages(reader, cql, cells, serialized=serialized) for row in page.cells()
        ]
        if len(answers) != 1 or None in answers[0]:
            raise StoreError("protocol", "system.local did not say how values are ordered.", "Run it again.")
        found = [cell or b"" for cell in answers[0]]
        for condition in self.conditions:
            mine, found = found[: 1 + len(condition.values)], found[1 + len(condition.values) :]
            if not condition.holds(mine):
                return False
        return True


def filter_of(view: View, base: Table) -> ViewFilter:
    """The filter of a view. Raises BalancebookError for a condition that cannot be compared, and names it.

    IS NOT NULL is no part of it: of the view's key it goes without saying, of other columns it has no effect (seen on
    Cassandra 5.0.6).
    """
    try:
        found = conditions_of(tokens_of(view.where_clause))
    except UsageError as error:
        raise _refusal(view, view.where_clause, _QUOTE) from error
    return ViewFilter(tuple(_condition(view, base, tokens) for tokens in found if not _is_not_null(tokens)))


_QUOTE = "the server's schema does not tell a quote within a text from the text's end"


def _refusal(view: View, text: str, why: str) -> BalancebookError:
    return BalancebookError(
        f"{view.cql_name} filters its rows by {text}, which cannot be compared: {why}.",
        "Only conditions =, <, <=, >, >= and IN on the base's primary key, by literals, can be.",
    )


def _is_not_null(tokens: Sequence[Token]) -> bool:
    return len(tokens) == 4 and [token.keyword for token in tokens[1:]] == ["IS", "NOT", "NULL"]


def _condition(view: View, base: Table, tokens: Sequence[Token]) -> Condition:
    text = view.where_clause[tokens[0].start : tokens[-1].end] if tokens else view.where_clause
    columns, rest = _columns(tokens)
    operator = rest[0].keyword if rest else ""
    if not columns or operator not in _HOLDS or len(rest) < 2:
        raise _refusal(view, text, "it is of no known form")
    if why := _why_no_literal(rest[1:]):
        raise _refusal(view, text, why)
    types = {column.name: column.cql_type for column in (*base.partition_key, *base.clustering_key)}
    if others := [name for name in columns if name not in types]:
        raise _refusal(view, text, f"{quote(others[0])} is not in the base's primary key")
    kinds = [types[name] for name in columns]
    if any(has_user_type(kind) for kind in kinds):
        raise _refusal(view, text, "its type is made by CREATE TYPE")
    return Condition(
        text=text,
        columns=columns,
        cql_type=kinds[0] if len(kinds) == 1 else f"frozen<tuple<{', '.join(kinds)}>>",
        operator=operator,
        values=_values(view.where_clause, rest[1:], several=operator == "IN"),
    )


def _columns(tokens: Sequence[Token]) -> tuple[tuple[str, ...], Sequence[Token]]:
    """The columns before the operator, name or (name, name), and the tokens from the operator on."""
    if tokens and tokens[0].kind in ("quoted", "word"):
        return (tokens[0].identifier,), tokens[1:]
    end = next((at for at, token in enumerate(tokens) if token.keyword == ")"), 0)
    return tuple(token.identifier for token in tokens[1:end:2]), tokens[end + 1 :]


def _why_no_literal(tokens: Sequence[Token]) -> str:
    for token, after in pairwise([*tokens, Token("sign", "", 0)]):
        texts = [token.kind, after.kind].count("string")
        if "''" in token.text[1:-1] or (texts and token.kind != "sign" and after.kind != "sign"):
            return _QUOTE
        if token.kind in ("word", "quoted") and after.text == "(":
            return f"{token.text} is a function"
        if token.keyword == "NULL":
            return "nothing compares with NULL"
    return ""


def _values(where: str, tokens: Sequence[Token], *, several: bool) -> tuple[str, ...]:
    """The text of each value: what IN has between its brackets, split at the commas, or all of it."""
    if not several:
        return (where[tokens[0].start : tokens[-1].end],)
    depth, begins, values = 0, tokens[0].end, []
    for token in tokens:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if (token.text == "," and depth == 1) or depth == 0:
            values.append(where[begins : token.start].strip())
            begins = token.end
    return tuple(value for value in values if value)
