"""Amounts as a gateway sends them: exact, whether JSON text or JSON numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

from balancebook import strict_json
from balancebook.assets import AmountError, parse_amount
from balancebook.gateway.errors import SHOWN, GatewayError, bad_number, bad_shape, quoted

_INTEGER = re.compile(r"-?[0-9]+")
# RFC 8259 section 6 sets an exponent no limit; beyond three digits it is no amount of any store.
_LONGEST_EXPONENT = re.compile(r"[^eE]*(?:[eE][+-]?[0-9]{1,3})?")


def read_amount(
    value: Any, asset: str, place: str, *, kind: Literal["text", "number"], whole: bool
) -> Decimal:
    """The amount, exact. With `whole` it must be an integer. Raises GatewayError for any other value."""
    read = _from_number if kind == "number" else _from_text
    amount = read(value, asset, place)
    if whole and not _INTEGER.fullmatch(value):
        raise bad_number(asset, place, f"{quoted(value)}, though a raw amount is an integer")
    return amount


def _from_text(value: Any, asset: str, place: str) -> Decimal:
    if isinstance(value, strict_json.Number):
        raise bad_number(asset, place, f"the JSON number {value[:SHOWN]}, not text")
    if not isinstance(value, str):
        raise bad_shape(f"has no text `{place}` for {quoted(asset)}")
    try:
        return parse_amount(value)
    except AmountError as error:
        raise bad_number(asset, place, f"{quoted(value)}, which is no plain decimal") from error


def _from_number(value: Any, asset: str, place: str) -> Decimal:
    """The literal's own digits: a float would have rounded them."""
    if not isinstance(value, strict_json.Number):
        raise _no_number(value, asset, place)
    amount = Decimal(value) if _LONGEST_EXPONENT.fullmatch(value) else None
    if amount is None or (amount.is_signed() and not amount):
        raise bad_number(asset, place, f"{value[:SHOWN]}, which is no amount")
    return amount


def _no_number(value: Any, asset: str, place: str) -> GatewayError:
    if isinstance(value, str):
        return bad_number(asset, place, f"the text {quoted(value)}, not a JSON number")
    return bad_shape(f"has no number `{place}` for {quoted(asset)}")
