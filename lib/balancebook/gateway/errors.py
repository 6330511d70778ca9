"""What can be wrong with an answer, each with its name and its remedy."""

from __future__ import annotations

from typing import Literal, TypeAlias

from balancebook.errors import BalancebookError

Kind: TypeAlias = Literal[
    "refused",
    "timeout",
    "too_large",
    "truncated",
    "not_http",
    "denied",
    "http_status",
    "redirect",
    "not_json",
    "duplicate_key",
    "duplicate_asset",
    "bad_number",
    "bad_shape",
    "wrong_user",
    "error_status",
]

_REMEDY: dict[Kind, str] = {
    "refused": "Start the gateway, or correct the profile's gateway url.",
    "timeout": "See what the gateway waits for, or raise the profile's gateway timeout_s.",
    "too_large": "See what the gateway sends, or raise the profile's gateway max_bytes.",
    "truncated": "See the gateway's log for a crash or a proxy that cuts answers.",
    "not_http": "Check that the profile's gateway url names the gateway.",
    "denied": "Correct the profile's gateway headers, or what the gateway allows to them.",
    "http_status": "See the gateway's log.",
    "redirect": "Set the profile's gateway url to the address that answers.",
    "not_json": "Check that the profile's gateway url names the gateway, not a proxy or a web page.",
    "duplicate_key": "Mend the gateway: readers differ on which of two equal keys counts.",
    "duplicate_asset": "Mend the gateway: one asset has one balance.",
    "bad_number": "Mend the gateway, or say in the profile's gateway fields how it writes amounts.",
    "bad_shape": "Mend the gateway, or name its fields in the profile's gateway fields.",
    "wrong_user": "Stop serving balances from this gateway until it is mended.",
    "error_status": "See the gateway's log.",
}

SHOWN = 80


class GatewayError(BalancebookError):
    """An answer that is no balance. `kind` names what is wrong with it; no balance is ever read from it."""

    code = "gateway"

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message, _REMEDY[kind])
        self.kind = kind


def bad_shape(detail: str) -> GatewayError:
    return GatewayError("bad_shape", f"sent an answer that {detail}.")


def bad_number(asset: str, place: str, detail: str) -> GatewayError:
    return GatewayError("bad_number", f"sent {place} of {quoted(asset)} as {detail}.")


def quoted(value: object) -> str:
    """What the gateway sent, as an error shows it: bounded, and harmless to a terminal."""
    text = str(value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
