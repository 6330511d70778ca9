"""Assets and exact amounts: what a raw integer of the store means. Never a float.

A raw amount is an integer in the smallest unit of its asset: with 8 decimals, 9100 is stored as 910000000000.
"""

from __future__ import annotations

import operator
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cached_property
from typing import Annotated, Any, SupportsIndex

from pydantic import Field, StrictInt, StrictStr, field_validator, model_validator
from pydantic.dataclasses import dataclass

from balancebook.errors import BalancebookError

# An ERC-20 token states its decimals as a uint8, the widest range in use.
MAX_DECIMALS = 255

# No sum of decimals that people hold has so many digits; one that had would be an error, never rounded.
EXACT = Context(prec=100_000, traps=[Inexact, InvalidOperation])

_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class AmountError(BalancebookError):
    """An amount that is no exact plain decimal, or that does not fit its asset's smallest unit."""

    code = "amount"


@dataclass(frozen=True)
class Asset:
    """One asset of the registry.

    `id` is its value in the ledger's asset column, `decimals` the power of ten between raw and whole units,
    `shown` the decimals that a person usually sees (display only: nothing is compared at that precision).
    """

    id: StrictInt | Annotated[StrictStr, Field(min_length=1)]
    symbol: Annotated[StrictStr, Field(min_length=1)]
    decimals: Annotated[StrictInt, Field(ge=0, le=MAX_DECIMALS)]
    shown: Annotated[StrictInt, Field(ge=0)]

    @field_validator("symbol")
    @classmethod
    def _not_like_an_unknown_asset(cls, symbol: str) -> str:
        if symbol.startswith("#") or symbol != symbol.strip() or not symbol.isprintable():
            raise ValueError(
                f"symbol {symbol[:60]!r} may not start with '#' (kept for unknown assets), be padded or hold "
                "invisible characters"
            )
        return symbol

    @model_validator(mode="after")
    def _shows_what_there_is(self) -> Asset:
        if self.shown > self.decimals:
            raise ValueError(f"asset {self.symbol}: shown ({self.shown}) exceeds decimals ({self.decimals})")
        return self


@dataclass(frozen=True)
class Registry:
    """The known assets, in the order given. A duplicate raises pydantic's ValidationError (a ValueError)."""

    assets: tuple[Asset, ...] = ()

    @model_validator(mode="after")
    def _no_duplicates(self) -> Registry:
        # 1 and "1" would both be shown as #1, so they count as the same id.
        _refuse_repeated("asset id", [str(asset.id) for asset in self.assets])
        _refuse_repeated("asset symbol", [asset.symbol for asset in self.assets])
        return self

    def __iter__(self) -> Iterator[Asset]:
        return iter(self.assets)

    def __len__(self) -> int:
        return len(self.assets)

    @cached_property
    def _ids(self) -> dict[str, Asset]:
        return {str(asset.id): asset for asset in self.assets}

    @cached_property
    def _symbols(self) -> dict[str, Asset]:
        return {asset.symbol: asset for asset in self.assets}

    def by_id(self, asset_id: object) -> Asset | None:
        """The asset of that id, or None. An id of another CQL type (uuid) is found by its text."""
        return self._ids.get(_id_text(asset_id))

    def by_symbol(self, symbol: str) -> Asset | None:
        """The asset of exactly that symbol, or None."""
        return self._symbols.get(symbol)


def _refuse_repeated(what: str, values: list[str]) -> None:
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} is there more than once")


def label(asset_id: object, registry: Registry) -> str:
    """What a person sees for an asset: its symbol, or `#77` when the registry does not know it."""
    asset = registry.by_id(asset_id)
    return asset.symbol if asset else f"#{_id_text(asset_id)}"


def _id_text(asset_id: object) -> str:
    return f"0x{asset_id.hex()}" if isinstance(asset_id, bytes) else str(asset_id)


def to_decimal(raw: SupportsIndex, decimals: int) -> Decimal:
    """The raw amount in whole units, exact under any decimal context. Raises AmountError on a non-integer."""
    number = _integer(raw)
    # Not by str, which refuses an int of more than 4,300 digits.
    digits = Decimal(abs(number)).as_tuple().digits
    # Built from its digits: arithmetic would round to the context's precision.
    return Decimal((number < 0, digits, -_checked_decimals(decimals)))


def to_units(raw: SupportsIndex | Decimal, asset_id: object, registry: Registry) -> Decimal:
    """The raw amount in whole units of its asset; of an asset that the registry does not know, as it is.

    A Decimal is in whole units already: a ledger with decimal columns has no smallest unit.
    """
    if isinstance(raw, Decimal):
        return raw
    known = registry.by_id(asset_id)
    return to_decimal(raw, known.decimals if known else 0)


def to_raw(amount: Decimal, decimals: int) -> int:
    """The amount in the asset's smallest unit. Raises AmountError on NaN, infinity or what does not fit."""
    if not isinstance(amount, Decimal):
        raise AmountError(f"amount {amount!r} is not a Decimal.", "Parse it with parse_amount first.")
    sign, digits, exponent = _finite(amount).as_tuple()
    shift = _checked_decimals(decimals) + int(exponent)
    number = int(Decimal((0, digits, 0)))
    if number and not 0 <= shift + len(digits) <= _MAX_DIGITS:
        raise _does_not_fit(amount, decimals)
    whole, rest = (number * 10**shift, 0) if shift >= 0 else divmod(number, 10**-shift)
    if rest:
        raise _does_not_fit(amount, decimals)
    return int(-whole if sign else whole)


# No store column holds more; it bounds the work on an amount such as 1E+999999999.
_MAX_DIGITS = 1000


def _does_not_fit(amount: Decimal, decimals: int) -> AmountError:
    return AmountError(
        f"amount {amount} does not fit {decimals} decimals exactly.",
        "Give no more decimals than the asset has; nothing is rounded.",
    )


def exact_sum(amounts: Iterable[Any]) -> int | Decimal:
    """The sum of a column of amounts, exact at any size (pandas wraps beyond 2^63) and under any decimal context.

    Nulls (None, pandas' NA) count for nothing. An int if all are integers, and of none 0; else a Decimal. Raises
    AmountError on a float, a NaN, an infinity, or a sum of more than 100,000 digits.
    """
    whole, decimals = 0, list[Decimal]()
    for amount in amounts:
        if _is_null(amount):
            continue
        if isinstance(amount, Decimal):
            decimals.append(_finite(amount))
        else:
            whole += _integer(amount)
    if not decimals:
        return whole
    total = Decimal(whole)
    try:
        for amount in decimals:
            total = EXACT.add(total, amount)
    except (Inexact, InvalidOperation) as error:
        raise AmountError("a sum has more than 100,000 digits.", "See the amounts.") from error
    return total


def _is_null(amount: object) -> bool:
    # An NA cannot be here unless pandas is imported already; this module need not wait for it.
    pandas = sys.modules.get("pandas")
    return amount is None or (pandas is not None and amount is pandas.NA)


def _finite(amount: Decimal) -> Decimal:
    if not amount.is_finite():
        raise AmountError(f"amount {amount} is not a number.", "Give a finite decimal.")
    return amount


def format_exact(raw: SupportsIndex, decimals: int) -> str:
    """The raw amount in normal form: "9100", "0.00000001", "-0.5", "0"; no exponent, no trailing zeros."""
    number, places = _integer(raw), _checked_decimals(decimals)
    digits = str(Decimal(abs(number))).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return ("-" if number < 0 else "") + whole + ("." + fraction if fraction else "")


def format_amount(amount: Decimal) -> str:
    """A finite amount in the same normal form; unlike Decimal.normalize() it never rounds."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def parse_amount(text: str) -> Decimal:
    """The exact Decimal of plain decimal text: optional "-", digits, optional "." and digits.

    Raises AmountError on anything else: exponent, NaN, "+", "_", spaces, leading zeros, "-0".
    Trailing zeros are taken: "9100.00" equals "9100".
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text) or _is_negative_zero(text):
        raise AmountError(f"amount {_shortened(text)} is not plain decimal text.", 'Write it like "-12.5".')
    return Decimal(text)


def _is_negative_zero(text: str) -> bool:
    return text.startswith("-") and not text.strip("-0.")


def _shortened(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def _integer(raw: SupportsIndex) -> int:
    # operator.index takes numpy's integers, and refuses floats, decimals and text.
    if isinstance(raw, bool) or not hasattr(raw, "__index__"):
        raise AmountError(f"raw amount {raw!r} is not an integer.", "Read it from an integer column.")
    return operator.index(raw)


def _checked_decimals(decimals: int) -> int:
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        raise AmountError(
            f"decimals {decimals!r} is not an integer in [0..{MAX_DECIMALS}].", "See the registry."
        )
    return decimals
