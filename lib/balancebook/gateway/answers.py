"""What an answer says, read from its JSON by the profile's mapping of fields."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from balancebook import strict_json
from balancebook.gateway.amounts import read_amount
from balancebook.gateway.errors import SHOWN, GatewayError, bad_shape, quoted
from balancebook.gateway_settings import GatewayFields

Status = int | str | bool

_REBUILDING = re.compile(r"Rebuilding\s+([0-9]{1,3}(?:\.[0-9]+)?)\s*%")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,8})")
_ASSET_ID = re.compile(r"-?(?:0|[1-9][0-9]*)")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class GatewayBalance:
    """One asset's balance; `held` is None where the gateway shows none. With `raw` the gateway does not know the
    asset: amounts are raw integers of the store."""

    asset: str
    available: Decimal
    held: Decimal | None
    raw: bool


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What the gateway says of the account asked for, in its order; no balances for one that it does not know."""

    account: str
    balances: tuple[GatewayBalance, ...]


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """What the gateway says of its health: its text ("Healthy", "Missing", "Rebuilding" or its own words), the
    percentage while rebuilding, its status field (None where the contract has none), the HTTP status, and whether
    these two say that all is well."""

    state: str
    percent: float | None
    status: Status | None
    http_status: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """How a bad question was answered. `ok`: whether the answer calls itself a success (None where the body is no
    answer of the contract); `has_data`: whether it holds anything where balances are."""

    http_status: int
    ok: bool | None
    has_data: bool


class AnswerReader:
    """Reads documents by one mapping. Raises GatewayError for what is not as the mapping says."""

    def __init__(self, fields: GatewayFields) -> None:
        self._fields = fields

    def balances(self, document: Any, account: object) -> GatewayAnswer:
        """The balances of a success; an answer that calls itself an error raises."""
        place = self._fields.balances
        if self._fields.status is not None:
            status = self._status(document)
            words = f" ({self.message(document)})" if self._fields.message else ""
            if status != self._fields.ok:
                raise GatewayError("error_status", f"answered with status {status}{words}.")
        self._refuse_other_account(document, account)
        entries = _at(document, place)
        if not isinstance(entries, list):
            raise bad_shape(f"has no list `{place}`" if place else "is no list")
        balances = tuple(self._balance(entry, account) for entry in entries)
        refuse_repeated([balance.asset for balance in balances])
        return GatewayAnswer(str(account), balances)

    def health(self, document: Any, http_status: int) -> GatewayHealth:
        """What the answer of health_path says."""
        status = None if self._fields.status is None else self._status(document)
        ok = http_status == 200 and status in (None, self._fields.ok)
        text = _printable(document, self._fields.health)
        rebuilding = _REBUILDING.fullmatch(text)
        if rebuilding and float(rebuilding[1]) <= 100:
            return GatewayHealth("Rebuilding", float(rebuilding[1]), status, http_status, ok)
        return GatewayHealth(text, None, status, http_status, ok)

    def probe(self, document: Any, http_status: int) -> Probe:
        """How the answer to a bad question looks; `document` is None where the body was no JSON."""
        ok: bool | None = 200 <= http_status < 300
        if self._fields.status is not None:
            try:
                ok = self._status(document) == self._fields.ok
            except GatewayError:
                ok = None
        entries = _at(document, self._fields.balances)
        if not self._fields.balances and not isinstance(entries, list):
            entries = None  # the document of an error
        return Probe(http_status, ok, entries is not _MISSING and bool(entries))

    def message(self, document: Any) -> str:
        """The gateway's own words."""
        if self._fields.message is None:
            raise bad_shape("has no message")
        return _printable(document, self._fields.message)

    def _status(self, document: Any) -> Status:
        place, ok = self._fields.status or "", self._fields.ok
        status = _at(document, place)
        if isinstance(ok, bool):
            if not isinstance(status, bool):
                raise bad_shape(f"has no `{place}` that is true or false")
            return status
        if isinstance(ok, str):
            return _printable(document, place)
        if not isinstance(status, strict_json.Number) or not _INTEGER.fullmatch(status):
            raise bad_shape(f"has no integer `{place}`")
        return int(status)

    def _balance(self, entry: Any, account: object) -> GatewayBalance:
        fields = self._fields
        if not isinstance(entry, dict):
            raise bad_shape(f"has an entry of {_named(fields.balances)} that is no object")
        self._refuse_other_account(entry, account)
        asset = self._asset(entry)
        raw = _at(entry, fields.raw) if fields.raw is not None else False
        raw = False if raw is _MISSING else raw
        if not isinstance(raw, bool):
            raise bad_shape(f"has {quoted(asset)} with a `{fields.raw}` that is neither true nor false")

        def amount(place: str) -> Decimal:
            whole = raw or fields.units == "raw"
            return read_amount(_at(entry, place), asset, place, kind=fields.amounts, whole=whole)

        held = None if fields.held is None else amount(fields.held)
        return GatewayBalance(asset, amount(fields.available), held, raw)

    def _asset(self, entry: dict[str, Any]) -> str:
        value, place = _at(entry, self._fields.asset), self._fields.asset
        if self._fields.assets == "number":
            if not isinstance(value, strict_json.Number) or not _ASSET_ID.fullmatch(value[:SHOWN]):
                raise bad_shape(
                    f"has an entry of {_named(self._fields.balances)} without an integer `{place}`"
                )
            return str(value)
        asset = _text(value)
        if not asset or len(asset) > SHOWN:
            raise bad_shape(f"has an entry of {_named(self._fields.balances)} without a printable `{place}`")
        return asset

    def _refuse_other_account(self, holder: Any, account: object) -> None:
        for place in self._fields.account:
            said = _at(holder, place)
            if said is not _MISSING and not _same(said, account):
                raise GatewayError(
                    "wrong_user", f"was asked for user {account} and sent {place} {quoted(said)}."
                )


def refuse_repeated(assets: list[str]) -> None:
    """Raises GatewayError if an asset is there more than once."""
    repeated = [asset for asset, times in Counter(assets).items() if times > 1]
    if repeated:
        raise GatewayError("duplicate_asset", f"sent more than one balance of {quoted(repeated[0])}.")


def _at(holder: Any, place: str) -> Any:
    """What stands at a dotted path of objects, or _MISSING."""
    for key in place.split(".") if place else ():
        if not isinstance(holder, dict) or key not in holder:
            return _MISSING
        holder = holder[key]
    return holder


def _named(place: str) -> str:
    return f"`{place}`" if place else "the list"


def _same(said: object, account: object) -> bool:
    if str(said) == str(account):
        return True
    try:
        # RFC 9562 section 4: a uuid is the same in upper case.
        return str(said).lower() == str(UUID(str(account)))
    except ValueError:
        return False


def _printable(document: Any, place: str) -> str:
    text = _text(_at(document, place))
    if text is None:
        raise bad_shape(f"has no printable text `{place}`")
    return text[:SHOWN]


def _text(value: object) -> str | None:
    """The value if it is text that a terminal can show: no number, control character or lone surrogate."""
    shown = isinstance(value, str) and not isinstance(value, strict_json.Number) and value.isprintable()
    return str(value) if shown else None
