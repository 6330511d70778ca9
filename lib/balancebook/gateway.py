"""Client of the balance gateway: strict about every answer, for a wrong answer that parses is the costliest.

The gateway answers GET /api/user/balance?user_id=N with
{"status": 0, "msg": "ok", "data": [{"asset": "BTC", "avail": "9100", "frozen": "0"}]} and GET /health with
{"status": 0, "msg": "Healthy"}. Fields that are not known are tolerated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from balancebook import strict_json
from balancebook.assets import AmountError, parse_amount
from balancebook.errors import BalancebookError
from balancebook.settings import GatewaySettings

if TYPE_CHECKING:
    from balancebook.bounded_http import Answer, BoundedHttp

Kind: TypeAlias = Literal[
    "refused",
    "timeout",
    "too_large",
    "truncated",
    "not_http",
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
    "http_status": "See the gateway's log.",
    "redirect": "Set the profile's gateway url to the address that answers.",
    "not_json": "Check that the profile's gateway url names the gateway, not a proxy or a web page.",
    "duplicate_key": "Mend the gateway: readers differ on which of two equal keys counts.",
    "duplicate_asset": "Mend the gateway: one asset has one balance.",
    "bad_number": "Mend the gateway: amounts are plain decimal text, never JSON numbers or exponents.",
    "bad_shape": "Mend the gateway, or point the profile at the one of this contract.",
    "wrong_user": "Stop serving balances from this gateway until it is mended.",
    "error_status": "See the gateway's log.",
}

_USER_KEYS = ("user_id", "uid", "userId")
_REBUILDING = re.compile(r"Rebuilding\s+([0-9]{1,3}(?:\.[0-9]+)?)\s*%")
_RAW = re.compile(r"-?[0-9]+")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,8})")
_SHOWN = 80


class GatewayError(BalancebookError):
    """An answer that is no balance. `kind` names what is wrong with it; no balance is ever read from it."""

    code = "gateway"

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message, _REMEDY[kind])
        self.kind = kind


@dataclass(frozen=True, slots=True)
class GatewayBalance:
    """One asset's balance. With `raw` the gateway does not know the asset: amounts are raw integers of the store."""

    asset: str
    avail: Decimal
    frozen: Decimal
    raw: bool


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What the gateway says of the user asked for, in its order; no balances for a user that it does not know."""

    user_id: str
    balances: tuple[GatewayBalance, ...]


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """What /health says: its text ("Healthy", "Missing", "Rebuilding" or its own words), the percentage while
    rebuilding, its status field and the HTTP status."""

    state: str
    percent: float | None
    status: int
    http_status: int


@dataclass(frozen=True, slots=True)
class Probe:
    """How a bad question was answered. `status` is None where the body is no such answer; `has_data`: any entry."""

    http_status: int
    status: int | None
    has_data: bool


class GatewayClient:
    """Thread-safe; reuses connections. Each call ends within the settings' timeout_s and max_bytes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._place = _place(settings.url)

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        http = self.__dict__.pop("_http", None)
        if http:
            http.close()

    def balance(self, user_id: str | int) -> GatewayAnswer:
        """The balances of a user, exact. Raises GatewayError for anything but a right answer."""
        with self._named():
            answer = self._get(f"/api/user/balance?user_id={quote(str(user_id), safe='')}")
            if answer.status != 200:
                raise GatewayError("http_status", f"answered HTTP {answer.status}{_said(answer)}.")
            return GatewayAnswer(str(user_id), _balances(_document(answer), str(user_id)))

    def health(self) -> GatewayHealth:
        """What the gateway says of itself, healthy or not. Raises GatewayError if it says nothing that counts."""
        with self._named():
            answer = self._get("/health")
            if answer.status not in (200, 503):
                raise GatewayError(
                    "http_status", f"answered /health with HTTP {answer.status}{_said(answer)}."
                )
            return _health(_document(answer), answer.status)

    def probe(self, query: str) -> Probe:
        """How a balance question with the raw `query` ("user_id=abc") is answered, a redirect too.

        Raises GatewayError only if no whole answer came.
        """
        with self._named():
            answer = self._fetch(f"/api/user/balance?{quote(query, safe='=&%')}")
        try:
            document = _document(answer)
            return Probe(answer.status, _status(document), bool(document.get("data")))
        except GatewayError:
            return Probe(answer.status, None, False)

    @cached_property
    def _http(self) -> BoundedHttp:
        # Imported at the first question: httpx takes 50-80 ms that a run without a gateway need not spend.
        from balancebook.bounded_http import BoundedHttp  # noqa: PLC0415

        return BoundedHttp(self._settings.url, self._settings.timeout_s, self._settings.max_bytes)

    def _fetch(self, target: str) -> Answer:
        from balancebook.bounded_http import HttpError  # noqa: PLC0415 (see _http)

        try:
            return self._http.get(target)
        except HttpError as error:
            raise GatewayError(error.kind, f"gave no usable answer: {error.detail}.") from error

    def _get(self, target: str) -> Answer:
        answer = self._fetch(target)
        if 300 <= answer.status < 400:
            raise GatewayError("redirect", f"answered HTTP {answer.status}, a redirect; none is followed.")
        return answer

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Puts the gateway's address before the message of an error."""
        try:
            yield
        except GatewayError as error:
            raise GatewayError(error.kind, f"The gateway at {self._place} {error.message}") from error


def _place(url: str) -> str:
    """The address without a user name or password that it may hold."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _said(answer: Answer) -> str:
    """The gateway's own words on its error, if it gave any."""
    try:
        return f" ({_message(_document(answer))})"
    except GatewayError:
        return ""


def _document(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer, whatever its HTTP status."""
    if answer.content_encoding not in ("", "identity"):
        raise GatewayError("not_json", f"sent {_quoted(answer.content_encoding)} encoded data, unasked.")
    media_type = answer.content_type.partition(";")[0].strip()
    if media_type != "application/json":
        raise GatewayError("not_json", f"sent {_quoted(media_type)}, not application/json.")
    try:
        document = strict_json.parse(answer.body)
    except strict_json.StrictJsonError as error:
        raise GatewayError(error.kind, f"sent an answer that {error.detail}.") from error
    if not isinstance(document, dict):
        raise _bad_shape("is no JSON object")
    return document


def _status(document: dict[str, Any]) -> int:
    status = document.get("status")
    if not isinstance(status, strict_json.Number) or not _INTEGER.fullmatch(status):
        raise _bad_shape("has no integer `status`")
    return int(status)


def _message(document: dict[str, Any]) -> str:
    message = _text(document.get("msg"))
    if message is None:
        raise _bad_shape("has no printable text `msg`")
    return message[:_SHOWN]


def _health(document: dict[str, Any], http_status: int) -> GatewayHealth:
    status, message = _status(document), _message(document)
    rebuilding = _REBUILDING.fullmatch(message)
    if rebuilding and float(rebuilding[1]) <= 100:
        return GatewayHealth("Rebuilding", float(rebuilding[1]), status, http_status)
    return GatewayHealth(message, None, status, http_status)


def _balances(document: dict[str, Any], user_id: str) -> tuple[GatewayBalance, ...]:
    status, message, entries = _status(document), _message(document), document.get("data")
    if status != 0:
        raise GatewayError("error_status", f"answered with status {status} ({message}).")
    _refuse_other_user(document, user_id)
    if not isinstance(entries, list):
        raise _bad_shape("has no list `data`")
    balances = tuple(_balance(entry, user_id) for entry in entries)
    repeated = [asset for asset, times in Counter(balance.asset for balance in balances).items() if times > 1]
    if repeated:
        raise GatewayError("duplicate_asset", f"sent more than one balance of {_quoted(repeated[0])}.")
    return balances


def _balance(entry: Any, user_id: str) -> GatewayBalance:
    if not isinstance(entry, dict):
        raise _bad_shape("has an entry of `data` that is no object")
    _refuse_other_user(entry, user_id)
    asset, raw = _text(entry.get("asset")), entry.get("raw", False)
    if not asset or len(asset) > _SHOWN:
        raise _bad_shape("has an entry of `data` without a printable `asset`")
    if not isinstance(raw, bool):
        raise _bad_shape(f"has {_quoted(asset)} with a `raw` that is neither true nor false")
    avail, frozen = (_amount(entry, asset, key, raw=raw) for key in ("avail", "frozen"))
    return GatewayBalance(asset, avail, frozen, raw)


def _amount(entry: dict[str, Any], asset: str, key: str, *, raw: bool) -> Decimal:
    text = entry.get(key)
    if isinstance(text, strict_json.Number):
        raise _bad_number(asset, key, f"the JSON number {text[:_SHOWN]}, not text")
    if not isinstance(text, str):
        raise _bad_shape(f"has no text `{key}` for {_quoted(asset)}")
    if raw and not _RAW.fullmatch(text):
        raise _bad_number(asset, key, f"{_quoted(text)}, though a raw amount is an integer")
    try:
        return parse_amount(text)
    except AmountError as error:
        raise _bad_number(asset, key, f"{_quoted(text)}, which is no plain decimal") from error


def _refuse_other_user(holder: dict[str, Any], user_id: str) -> None:
    for key in _USER_KEYS:
        if key in holder and str(holder[key]) != user_id:
            raise GatewayError(
                "wrong_user", f"was asked for user {user_id} and sent {key} {_quoted(holder[key])}."
            )


def _text(value: object) -> str | None:
    """The value if it is text that a terminal can show: no number, control character or lone surrogate."""
    shown = isinstance(value, str) and not isinstance(value, strict_json.Number) and value.isprintable()
    return str(value) if shown else None


def _bad_shape(detail: str) -> GatewayError:
    return GatewayError("bad_shape", f"sent an answer that {detail}.")


def _bad_number(asset: str, key: str, detail: str) -> GatewayError:
    return GatewayError("bad_number", f"sent {key} of {_quoted(asset)} as {detail}.")


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
