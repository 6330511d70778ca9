"""The gateway's own asset registry, and how it writes amounts."""

from __future__ import annotations

from decimal import Decimal

REGISTRY = {1: ("BTC", 8), 2: ("USDT", 8), 3: ("ETH", 8)}
"""Asset id -> (symbol, decimals)."""


def plain(raw: int, decimals: int) -> str:
    """The amount in normal form: exact, no exponent, no trailing zeros: 910000000000 of 8 decimals is "9100"."""
    whole, part = divmod(abs(raw), 10**decimals)
    digits = str(part).zfill(decimals).rstrip("0") if part else ""
    return ("-" if raw < 0 else "") + str(whole) + ("." + digits if digits else "")


def plain_decimal(amount: Decimal) -> str:
    """A decimal in the same form: Decimal("1.50") and Decimal("15E-1") are "1.5"."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def balance(asset_id: int, avail: int, frozen: int) -> dict[str, str | bool]:
    """One element of an answer's `data`; an asset that the registry does not know keeps its raw amounts."""
    if asset_id not in REGISTRY:
        return {"asset": f"#{asset_id}", "avail": str(avail), "frozen": str(frozen), "raw": True}
    symbol, decimals = REGISTRY[asset_id]
    return {"asset": symbol, "avail": plain(avail, decimals), "frozen": plain(frozen, decimals)}
