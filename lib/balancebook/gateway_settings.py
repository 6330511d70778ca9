"""The gateway as a profile describes it: where it is, what to ask, and where its JSON holds what.

The defaults are one exchange's contract: GET /api/user/balance?user_id=N is answered
{"status": 0, "msg": "ok", "data": [{"asset": "BTC", "avail": "9100", "frozen": "0"}]}, and GET /health
{"status": 0, "msg": "Healthy"}.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from balancebook.config.address import checked_url
from balancebook.errors import UsageError
from balancebook.profile_parts import (
    Model,
    Seconds,
    Secret,
    SettingsError,
    distinct,
    none_if_empty,
    pairs,
    secret_reference,
)

ACCOUNT = "{account}"

# RFC 3986 sections 3.3 and 3.4: what path and query may hold; anything else is percent-encoded.
_CHARACTER = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2}"
_TARGET = re.compile(rf"/(?:{_CHARACTER})*(?:\?(?:{_CHARACTER}|\?)*)?")
# RFC 9110 sections 5.6.2 (a header's name is a token) and 5.5 (its value; no obs-text here).
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[!-~](?:[!-~ \t]*[!-~])?")
# Those by which the client itself keeps an answer whole, plain and of this server.
_OWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "range",
        "te",
    }
    | {"trailer", "transfer-encoding", "upgrade"}
)


def _place(path: str) -> str:
    if not all(part and part.isprintable() for part in path.split(".")):
        raise ValueError('a place in the JSON is a name, or names with dots between them ("error.message")')
    return path


Place = Annotated[StrictStr, AfterValidator(_place)]
OptionalPlace = Annotated[Place | None, BeforeValidator(none_if_empty)]


class GatewayFields(Model):
    """Where an answer holds what: dotted paths. None, in a profile "", where it does not."""

    # From the document; "" is the document itself.
    balances: Annotated[StrictStr, AfterValidator(lambda path: path and _place(path))] = "data"
    # From one of the balances.
    asset: Place = "asset"
    available: Place = "avail"
    held: OptionalPlace = "frozen"
    # true where the gateway does not know the asset: the amounts are then the store's raw integers.
    raw: OptionalPlace = "raw"
    # From document or balance, wherever one is: whose it says that it is.
    account: tuple[Place, ...] = ("user_id", "uid", "userId")
    # From the document. Without a status the HTTP status decides alone, and only an error has a message.
    status: OptionalPlace = "status"
    ok: StrictBool | StrictInt | StrictStr = 0
    message: OptionalPlace = "msg"
    # From the answer of health_path: "Healthy", "Missing" or "Rebuilding n %".
    health: Place = "msg"
    # JSON text or JSON numbers; a number is read from its literal, exactly.
    amounts: Literal["text", "number"] = "text"
    assets: Literal["text", "number"] = "text"
    # Whole units of the asset, or integers of the store's unit.
    units: Literal["whole", "raw"] = "whole"
    # Assets of which the account has nothing: in the answer or not, or always in it, so that a missing one is lost.
    zeros: Literal["either", "listed"] = "either"

    @model_validator(mode="after")
    def _a_list_has_no_status(self) -> GatewayFields:
        if not self.balances and self.status is not None:
            raise ValueError(
                'status: an answer that is itself the list of balances has none; set status = ""'
            )
        return self

    @model_validator(mode="after")
    def _one_place_a_field(self) -> GatewayFields:
        places = {name: getattr(self, name) for name in ("asset", "available", "held", "raw")}
        distinct(places, "place in the JSON")
        return self


def _balance_path(path: str) -> str:
    if path.count(ACCOUNT) != 1:
        raise ValueError(f"it must hold {ACCOUNT} exactly once")
    return _target(path, path.replace(ACCOUNT, "0"))


def _health_path(path: str | None) -> str | None:
    return path and _target(path, path)


def _target(path: str, filled: str) -> str:
    if not _TARGET.fullmatch(filled) or filled.startswith("//"):
        raise ValueError(
            "it must be a path from / on, with a query perhaps; other characters are percent-encoded"
        )
    if _climbs(filled):
        raise ValueError("no part of a path may be . or ..")
    return path


def _climbs(target: str) -> bool:
    return not {".", ".."}.isdisjoint(target.partition("?")[0].split("/"))


Header = tuple[str, Annotated[Secret, BeforeValidator(secret_reference)]]


def _references(value: object) -> object:
    """As pairs. Checked here for an error that names the header; what was given is not repeated."""
    for name, reference in value.items() if isinstance(value, dict) else ():
        try:
            secret_reference(reference if isinstance(reference, str) else "")
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
    return pairs(value)


def _named(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    names = [name.lower() for name, _ in headers]
    for name, _ in headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(
                f"{name!r} is no header's name: it holds more than letters, digits and marks like -"
            )
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is set by the client itself: remove it")
        if names.count(name.lower()) > 1:
            raise ValueError(f"{name} is there more than once, capitals apart")
    return headers


class GatewaySettings(Model):
    """The HTTP gateway that answers balances; seconds and bytes are bounds on one whole answer."""

    url: Annotated[StrictStr, AfterValidator(checked_url)]
    timeout_s: Seconds = 5.0
    max_bytes: int = Field(default=4_000_000, gt=0)
    # {account} stands for the account, in the path or in the query.
    balance_path: Annotated[StrictStr, AfterValidator(_balance_path)] = f"/api/user/balance?user_id={ACCOUNT}"
    # None, in a profile "": the gateway does not speak of its health.
    health_path: Annotated[StrictStr | None, AfterValidator(_health_path), BeforeValidator(none_if_empty)] = (
        "/health"
    )
    # The HTTP status, with a JSON document, by which the gateway says that it does not know the account; without one
    # it answers as for an account that has nothing.
    unknown_account_status: Literal[404, 410] | None = None
    # (name, where its value is), in a profile the table [gateway.headers].
    headers: Annotated[tuple[Header, ...], BeforeValidator(_references), AfterValidator(_named)] = ()
    fields: GatewayFields = GatewayFields()

    @property
    def account_in_query(self) -> bool:
        """Whether the account is asked for in the query, not in the path."""
        return ACCOUNT in self.balance_path.partition("?")[2]

    def target(self, account: str) -> str:
        """What to ask for the account's balances: path and query, the account percent-encoded.

        Raises UsageError for an account that is "." or "..", which would leave its place in a path.
        """
        filled = self.balance_path.replace(ACCOUNT, quote(account, safe=""))
        if _climbs(filled):
            raise UsageError(
                f"The account {account!r} cannot be asked for: in {self.balance_path} it is a step of the path.",
                "Name another account.",
            )
        return filled

    def target_without_account(self) -> str:
        """As `target`, with the parameter of the account left out of the query, or nothing in its place of the path."""
        path, _, query = self.balance_path.partition("?")
        left = [pair for pair in query.split("&") if ACCOUNT not in pair]
        return path.replace(ACCOUNT, "") + (f"?{'&'.join(left)}" if any(left) else "")

    def revealed_headers(self) -> dict[str, str]:
        """Name -> value, as sent. Raises SettingsError for a value that cannot be read, or that no header can have."""
        revealed = {name: secret.reveal() for name, secret in self.headers}
        for name, value in revealed.items():
            if not _VALUE.fullmatch(value):
                raise SettingsError(
                    f"The value of the gateway's header {name} holds a line break, a space at an end, or a character "
                    "beyond ASCII.",
                    "Correct what its reference in the profile leads to.",
                    parameter=f"gateway.headers.{name}",
                )
        return revealed

    def secrets(self) -> tuple[str, ...]:
        """The values of the headers, and those without a scheme before them ("Bearer ..."). Raises SettingsError."""
        return tuple(part for value in self.revealed_headers().values() for part in with_bare_token(value))


def with_bare_token(value: str) -> tuple[str, ...]:
    """The value, and what stands behind a scheme in it ("Bearer ..."): the parts that no output may show."""
    return tuple(part for part in (value, value.partition(" ")[2].strip()) if part)
