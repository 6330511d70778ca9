"""The definition of a view as CQL text and as parts that can be compared.

Grammar: https://cassandra.apache.org/doc/latest/cassandra/developing/cql/mvs.html
Two definitions are equal when they make the same rows in the same order; storage options (compaction, caching,
comment) are not part of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.errors import UsageError
from balancebook.store.cql_tokens import Token, conditions_of, tokens_of
from balancebook.store.schema import View, quote


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """What decides a view's rows: `columns` is None for SELECT *; `where` holds the conditions in normal form."""

    base: str
    columns: frozenset[str] | None
    where: frozenset[str]
    partition_key: tuple[str, ...]
    clustering: tuple[tuple[str, str], ...]

    def differences(self, other: ViewDefinition) -> list[tuple[str, str, str]]:
        """(part, here, there) for each part that differs."""
        parts = ("base", "columns", "where", "partition_key", "clustering")
        both = [(part, _text(getattr(self, part)), _text(getattr(other, part))) for part in parts]
        return [(part, here, there) for part, here, there in both if here != there]


def _text(part: object) -> str:
    if part is None:
        return "*"
    if isinstance(part, frozenset):
        return ", ".join(sorted(part))
    if isinstance(part, tuple):
        return ", ".join(item if isinstance(item, str) else " ".join(item) for item in part)
    return str(part)


def definition_of(view: View) -> ViewDefinition:
    """The definition that the server gives for a view."""
    return ViewDefinition(
        base=view.base_name,
        columns=None if view.include_all else frozenset(column.name for column in view.columns),
        where=_conditions(tokens_of(view.where_clause)),
        partition_key=tuple(column.name for column in view.partition_key),
        clustering=tuple((column.name, column.clustering_order.upper()) for column in view.clustering_key),
    )


def to_cql(view: View) -> str:
    """The CREATE MATERIALIZED VIEW statement that makes this view anew, without its storage options."""
    columns = "*" if view.include_all else ", ".join(quote(column.name) for column in view.columns)
    partition = ", ".join(quote(column.name) for column in view.partition_key)
    key = ", ".join([f"({partition})", *(quote(column.name) for column in view.clustering_key)])
    order = ", ".join(
        f"{quote(column.name)} {column.clustering_order.upper()}" for column in view.clustering_key
    )
    return (
        f"CREATE MATERIALIZED VIEW {quote(view.keyspace)}.{quote(view.name)} AS\n"
        f"  SELECT {columns}\n"
        f"  FROM {quote(view.keyspace)}.{quote(view.base_name)}\n"
        f"  WHERE {view.where_clause}\n"
        f"  PRIMARY KEY ({key})" + (f"\n  WITH CLUSTERING ORDER BY ({order})" if order else "") + ";\n"
    )


def parse_definition(text: str) -> ViewDefinition:
    """The definition in a CQL file of one CREATE MATERIALIZED VIEW statement. Raises UsageError for anything else."""
    parser = _Parser(tokens_of(text))
    parser.expect("CREATE", "MATERIALIZED", "VIEW")
    parser.skip_optional("IF", "NOT", "EXISTS")
    parser.name()
    parser.expect("AS", "SELECT")
    columns = parser.selection()
    base = parser.name()
    parser.expect("WHERE")
    where = _conditions(parser.until("PRIMARY"))
    parser.expect("PRIMARY", "KEY")
    partition, clustering = parser.primary_key()
    orders = parser.orders()
    return ViewDefinition(
        base=base,
        columns=columns,
        where=where,
        partition_key=partition,
        clustering=tuple((column, orders.get(column, "ASC")) for column in clustering),
    )


def _conditions(tokens: list[Token]) -> frozenset[str]:
    """The conditions, each in one spelling; their order means nothing."""
    return frozenset(" ".join(token.normal for token in condition) for condition in conditions_of(tokens))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at].keyword if self._at < len(self._tokens) else ""

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise UsageError(
                "The view definition ends too early.", "Write one whole CREATE MATERIALIZED VIEW."
            )
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, *keywords: str) -> None:
        for keyword in keywords:
            token = self._next()
            if token.keyword != keyword:
                raise UsageError(
                    f"The view definition has {token.text!r} where {keyword} belongs.",
                    "Write one CREATE MATERIALIZED VIEW statement, as `balancebook view pin` does.",
                )

    def skip_optional(self, *keywords: str) -> None:
        if self._peek() == keywords[0]:
            self.expect(*keywords)

    def name(self) -> str:
        """The last part of a name that may carry its keyspace."""
        name = self._next().identifier
        while self._peek() == ".":
            self.expect(".")
            name = self._next().identifier
        return name

    def until(self, keyword: str) -> list[Token]:
        taken = []
        while self._peek() != keyword:
            taken.append(self._next())
        return taken

    def selection(self) -> frozenset[str] | None:
        tokens = self.until("FROM")
        self.expect("FROM")
        if [token.keyword for token in tokens] == ["*"]:
            return None
        return frozenset(token.identifier for token in tokens if token.keyword != ",")

    def primary_key(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        self.expect("(")
        partition = self._names() if self._peek() == "(" else (self._next().identifier,)
        clustering = []
        while self._peek() == ",":
            self.expect(",")
            clustering.append(self._next().identifier)
        self.expect(")")
        return partition, tuple(clustering)

    def _names(self) -> tuple[str, ...]:
        self.expect("(")
        names = [self._next().identifier]
        while self._peek() == ",":
            self.expect(",")
            names.append(self._next().identifier)
        self.expect(")")
        return tuple(names)

    def orders(self) -> dict[str, str]:
        """CLUSTERING ORDER BY, wherever it stands among the options; the other options are passed over."""
        orders: dict[str, str] = {}
        while self._at < len(self._tokens):
            if self._next().keyword != "CLUSTERING":
                continue
            self.expect("ORDER", "BY", "(")
            while True:
                column = self._next().identifier
                orders[column] = self._next().keyword if self._peek() in ("ASC", "DESC") else "ASC"
                if self._next().keyword != ",":
                    break
        return orders
