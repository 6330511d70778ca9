"""JSON read without a guess: what two readers could read differently is refused, and numbers keep their text."""

from __future__ import annotations

import json
from typing import Any, Literal, NoReturn, TypeAlias

Kind: TypeAlias = Literal["not_json", "truncated", "duplicate_key", "bad_number", "bad_shape"]


class StrictJsonError(ValueError):
    """A document that is refused. `kind` names why, `detail` says it in words that follow "the answer"."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail


class Number(str):
    """A JSON number as it was written. No float is made of it, nor an integer of unbounded length."""

    __slots__ = ()


def parse(body: bytes) -> Any:
    """The document in `body`: dict, list, str, bool, None or Number.

    Raises StrictJsonError for what RFC 8259 refuses (NaN and Infinity too), for a byte that is not UTF-8, for a
    key that an object holds twice (RFC 8259 section 4: what is read then is unpredictable), and for nesting
    beyond what the parser can hold.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError("not_json", f"is not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise StrictJsonError("truncated", "is empty")
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise _syntax_error(text, error) from error
    except RecursionError as error:
        raise StrictJsonError("bad_shape", "is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StrictJsonError("duplicate_key", f"holds the key {key[:40]!r} twice in one object")
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise StrictJsonError("bad_number", f"holds {name}, which is no JSON number")


def _syntax_error(text: str, error: json.JSONDecodeError) -> StrictJsonError:
    begun = text.lstrip().startswith(("{", "["))
    if begun and (error.pos >= len(text.rstrip()) or not text.rstrip().endswith(("}", "]"))):
        return StrictJsonError("truncated", f"is JSON cut short after {len(text)} characters")
    return StrictJsonError(
        "not_json", f"is not JSON: {error.msg} at character {error.pos}; it starts {text[:40]!r}"
    )
