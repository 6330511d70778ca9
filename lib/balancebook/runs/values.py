"""One parameter's value: strict from text (the command line) and strict from Python.

Nothing is guessed: what papermill's YAML would read as something else (007, 1_000, "false", nan, [1]) is refused.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from types import UnionType
from typing import TypeAlias

from balancebook.moment import EXAMPLE, moment_of

Value: TypeAlias = bool | int | float | str | None
Kind: TypeAlias = type | UnionType
ACCOUNT = int | str
"""The type of a parameter that names an account, as the ledger's account column has it."""

# re.ASCII matters: \d would take digits of every alphabet.
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
# Python itself refuses to convert longer decimal texts; no column that is asked about holds more.
_MAX_DIGITS = 400
_SHOWN = 60


class ValueRefused(ValueError):
    """Why a value is refused, as the end of a sentence that begins with the parameter's name."""


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive; None is open."""

    low: int | float | None
    high: int | float | None

    def check(self, value: int | float) -> None:
        """Raises ValueRefused for a value outside."""
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ValueRefused(f"is {shown(value)}, outside the range {self}")

    def __str__(self) -> str:
        ends = ["" if end is None else str(end) for end in (self.low, self.high)]
        return f"[{'..'.join(ends)}]"


@dataclass(frozen=True, slots=True)
class Choices:
    """A closed set of texts."""

    values: tuple[str, ...]

    def check(self, value: str) -> None:
        """Raises ValueRefused for any other text."""
        if value not in self.values:
            raise ValueRefused(f"is {shown(value)}, not one of {self}")

    def __str__(self) -> str:
        return "{" + "|".join(self.values) + "}"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time with its offset from UTC, or a date: the start of that day in UTC."""

    def check(self, value: str) -> None:
        """Raises ValueRefused for any other text."""
        try:
            moment_of(value)
        except ValueError as error:
            raise ValueRefused(f"is {shown(value)}, which {error}") from error

    def __str__(self) -> str:
        return f"<time, like {EXAMPLE}, or a date: its start in UTC>"


@dataclass(frozen=True, slots=True)
class ExtractFile:
    """The file of an extract, to be read or, if it is not there, to be written."""

    def check(self, value: str) -> None:
        """Raises UsageError for what cannot be either."""
        # Only now: the explorer brings pandas and the driver with it.
        from balancebook.explore.extract_file import usable_path  # noqa: PLC0415

        usable_path(value)

    def __str__(self) -> str:
        return "<extract>"


Limits: TypeAlias = Range | Choices | Moment | ExtractFile


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    kind: Kind
    optional: bool
    default: Value
    help: str
    limits: Limits | None

    @property
    def type_text(self) -> str:
        """As written in the cell: `int`, `str | None`, `int | str`."""
        return kind_text(self.kind) + (" | None" if self.optional else "")

    def with_default(self, default: Value) -> Parameter:
        """The same parameter with this default."""
        return replace(self, default=default)

    def parse(self, text: str) -> Value:
        """The value that a command-line text spells. Raises ValueRefused."""
        if self.optional and text in ("", "none"):
            return None
        if self.kind is str:
            return self.check(text)
        if self.kind is bool:
            if text not in ("true", "false"):
                raise ValueRefused(f"is {shown(text)}, not true or false")
            return text == "true"
        if self.kind == ACCOUNT:
            return self.check(_number_or_text(text))
        return self.check(parse_number(text, self.kind))

    def check(self, value: object) -> Value:
        """The value itself if it is of this type and within the limits. Raises ValueRefused.

        True is no int, 5.0 is no int, 5 is a float (exactly), NaN and infinity are nothing.
        """
        if value is None and self.optional:
            return None
        if self.kind is float and type(value) is int:
            value = _exact_float(value)
        if type(value) not in ((int, str) if self.kind == ACCOUNT else (self.kind,)):
            raise ValueRefused(f"is {shown(value)} ({type(value).__name__}), not {self.type_text}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueRefused(f"is {value}, not a finite number")
        if isinstance(value, str):
            _check_text(value)
        if value == "" and self.kind == ACCOUNT:
            raise ValueRefused("is empty, which names no account")
        if self.limits is not None:
            self.limits.check(value)  # type: ignore[arg-type]  # the schema pairs ranges with numbers, the others with text
        return value  # type: ignore[return-value]  # its type is self.kind, one of Value's


def kind_text(kind: Kind) -> str:
    """A type as it is written in a cell."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _number_or_text(text: str) -> int | str:
    """The number that a text is in its only spelling, else the text: whether it is an account its column says."""
    plain = len(text) <= _MAX_DIGITS and _INT.fullmatch(text) and text != "-0"
    return int(text) if plain else text


def parse_number(text: str, kind: Kind) -> int | float:
    """A plain decimal number: no leading zeros, no +, no _, no spaces, no nan or inf. Raises ValueRefused."""
    pattern = _INT if kind is int else _FLOAT
    if len(text) > _MAX_DIGITS or not pattern.fullmatch(text):
        plain = "a plain integer" if kind is int else "a plain number"
        raise ValueRefused(
            f"is {shown(text)}, not {plain} (digits, no leading zeros, no + _ or spaces, no exponent)"
        )
    if kind is int:
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise ValueRefused(f"is {shown(text)}, too large for a number")
    return number


def shown(value: object) -> str:
    """A value as it may appear in one line of a message: quoted, escaped, cut."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _exact_float(value: int) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueRefused(f"is {shown(value)}, too large for a number") from error
    if int(number) != value:
        raise ValueRefused(f"is {shown(value)}, which no float holds exactly")
    return number


def _check_text(text: str) -> None:
    """Refuse what cannot be seen: control and formatting characters, line ends, lone surrogates."""
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise ValueRefused(f"holds the invisible character U+{ord(character):04X}")
