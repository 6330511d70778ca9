"""The parameters that a notebook takes: read from its tagged cell, which is parsed and never executed.

    user_id: int | str = 1001  # whose balances
    rounds: int = 30  # of the measurement [5..10000]
    mode: str = "scan"  # how assets are found {scan|known}

Names, types, defaults, ranges and choices there are the whole schema. Types: int, float, str, bool, int | str (an
account, as the ledger's account column has it), or one of them `| None`. A range is inclusive and of numbers only;
choices are of text only, and so are `<time>` (a time with its offset from UTC, or a date) and `<extract>` (an extract's
file: see explore.extract_file).
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from balancebook.errors import UsageError
from balancebook.runs.values import (
    ACCOUNT,
    Choices,
    ExtractFile,
    Kind,
    Limits,
    Moment,
    Parameter,
    Range,
    ValueRefused,
    kind_text,
    parse_number,
)

Notebook: TypeAlias = Mapping[str, Any]

PARAMETERS_TAG = "parameters"
_TYPES: dict[str, Kind] = {"int": int, "float": float, "str": str, "bool": bool, str(ACCOUNT): ACCOUNT}
_LIMITS = re.compile(
    r"(?P<help>.*?)\s*(?:\[(?P<low>[^\[\]]*?)\.\.(?P<high>[^\[\]]*)\]|\{(?P<choices>[^{}]*)\}|(?P<kind><time>|<extract>))?\s*"
)


_KINDS: dict[str, tuple[str, Limits]] = {
    "<time>": ("a time", Moment()),
    "<extract>": ("the file of an extract", ExtractFile()),
}


@dataclass(frozen=True)
class _Place:
    """Where a complaint about a notebook points to."""

    notebook: str

    def complain(self, what: str, line: int | None = None) -> UsageError:
        where = f", line {line}" if line else ""
        return UsageError(
            f"{self.notebook}: the parameters cell{where}: {what}.",
            "Write one `name: type = default  # help [low..high]` a line.",
        )


def read_schema(nb: Notebook, name: str) -> tuple[Parameter, ...]:
    """The parameters of a notebook, in order; empty when no cell is tagged. Raises UsageError, with the line."""
    place = _Place(name)
    cells = [cell for cell in nb["cells"] if PARAMETERS_TAG in cell.get("metadata", {}).get("tags", [])]
    if not cells:
        return ()
    if len(cells) > 1:
        raise place.complain(f"{len(cells)} cells are tagged `{PARAMETERS_TAG}`, one is allowed")
    if cells[0]["cell_type"] != "code":
        raise place.complain("it is not a code cell")
    return _parse_cell(_text(cells[0]["source"]), place)


def _text(source: str | Sequence[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _parse_cell(source: str, place: _Place) -> tuple[Parameter, ...]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise place.complain(f"it is no Python ({error})") from error
    comments = _comments(source)
    found = [_parse_statement(statement, comments, place) for statement in body]
    for index, parameter in enumerate(found):
        if parameter.name in {earlier.name for earlier in found[:index]}:
            raise place.complain(f"{parameter.name} is given twice")
    return tuple(found)


def _comments(source: str) -> dict[int, str]:
    """Line number -> comment, by Python's own tokenizer: a # inside a string is none."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def _parse_statement(statement: ast.stmt, comments: Mapping[int, str], place: _Place) -> Parameter:
    line = statement.lineno
    if isinstance(statement, ast.Assign):
        raise place.complain("a parameter without a type (name: type = default)", line)
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise place.complain("code; only annotated parameters stand here", line)
    name = statement.target.id
    # isascii: Python folds look-alike letters of other alphabets into one name, a person cannot tell them apart.
    if not name.isascii() or name.startswith("_") or keyword.issoftkeyword(name):
        raise place.complain(f"{name!r} cannot name a parameter", line)
    if statement.value is None:
        raise place.complain(f"{name} has no default", line)
    kind, optional = _annotation(statement.annotation, name, place)
    help_text, limits = _limits(comments.get(statement.end_lineno or line, ""), kind, name, place)
    parameter = Parameter(name, kind, optional, None, help_text, limits)
    return parameter.with_default(_default(statement.value, parameter, place))


def _annotation(node: ast.expr, name: str, place: _Place) -> tuple[Kind, bool]:
    text = ast.unparse(node)
    base = text.removesuffix(" | None")
    if base not in _TYPES:
        raise place.complain(
            f"{name}: the type {text} is not one of {', '.join(_TYPES)} or one of them `| None`", node.lineno
        )
    return _TYPES[base], base != text


def _limits(comment: str, kind: Kind, name: str, place: _Place) -> tuple[str, Limits | None]:
    match = _LIMITS.fullmatch(comment)
    if match is None:
        raise place.complain(f"{name}: the comment {comment!r} cannot be read")
    help_text = match["help"]
    if match["choices"] is not None:
        if kind is not str:
            raise place.complain(f"{name}: choices are of text, this is {kind_text(kind)}")
        return help_text, Choices(tuple(choice.strip() for choice in match["choices"].split("|")))
    if match["kind"] is not None:
        what, limits = _KINDS[match["kind"]]
        if kind is not str:
            raise place.complain(f"{name}: {what} is text, this is {kind_text(kind)}")
        return help_text, limits
    if match["low"] is None:
        return help_text, None
    return help_text, _range(match["low"].strip(), match["high"].strip(), kind, name, place)


def _range(low: str, high: str, kind: Kind, name: str, place: _Place) -> Range:
    if kind not in (int, float):
        raise place.complain(f"{name}: a range is of numbers, this is {kind_text(kind)}")
    try:
        limits = Range(
            _bound(low, kind) if low else None,
            _bound(high, kind) if high else None,
        )
    except ValueRefused as error:
        raise place.complain(f"{name}: the range [{low}..{high}] {error}") from error
    if limits.low is not None and limits.high is not None and limits.low > limits.high:
        raise place.complain(f"{name}: the range [{low}..{high}] is empty")
    return limits


def _bound(text: str, kind: Kind) -> int | float:
    # A whole bound stays an int: it compares exactly, and shows as it was written.
    return parse_number(text, kind if "." in text else int)


def _default(node: ast.expr, parameter: Parameter, place: _Place) -> bool | int | float | str | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise place.complain(f"{parameter.name}: its default is code, not a value", node.lineno) from error
    try:
        return parameter.check(value)
    except ValueRefused as error:
        raise place.complain(f"{parameter.name}: its default {error}", node.lineno) from error
