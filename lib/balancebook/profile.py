"""What a profile holds: one target, how to reach it, which columns play which role, and the limits to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from balancebook.assets import Registry
from balancebook.gateway_settings import GatewaySettings, with_bare_token
from balancebook.profile_parts import (
    Host,
    Identifier,
    Model,
    Name,
    OptionalName,
    Seconds,
    Secret,
    SettingsError,
    distinct,
    pairs,
    secret_reference,
)

__all__ = [
    "GatewaySettings",
    "LedgerSchema",
    "Limits",
    "Profile",
    "Secret",
    "SettingsError",
    "Tls",
    "TradesSchema",
]


class Tls(Model):
    """TLS to the cluster. The server's certificate is always verified against `ca`."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None
    check_hostname: bool = True
    server_hostname: Host | None = None

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Tls:
        if self.key and not self.cert:
            raise ValueError("key without cert: name the certificate too")
        return self


EntryKind = Literal["deposit", "withdraw", "lock", "unlock", "trade_debit", "trade_credit", "refund"]


def _types(value: object) -> object:
    """As pairs. Checked here for an error that names what the ledger calls the type."""
    if isinstance(value, dict):
        for name, kind in value.items():
            if kind not in get_args(EntryKind):
                raise ValueError(f"{name!r} must be one of {', '.join(get_args(EntryKind))}")
        if not value:
            raise ValueError("it names no type; leave the table out for the defaults")
    return pairs(value)


class LedgerSchema(Model):
    """Which column of the base table plays which role; None, in a profile "", for a role that the ledger lacks."""

    account: Name = "user_id"
    asset: Name = "asset_id"
    order: Name = "seq"
    available: Name = "avail"
    held: OptionalName = "frozen"
    delta_available: OptionalName = "delta_avail"
    delta_held: OptionalName = "delta_frozen"
    type: OptionalName = "event_type"
    reference: OptionalName = "ref_id"
    time: OptionalName = "created_at"
    # Whether the order numbers each account and asset's entries without holes, so that a hole is an entry that is gone.
    gapless: bool = True
    # (what the ledger calls it, what it is; see ledger.rules), in a profile the table [ledger.types].
    types: Annotated[tuple[tuple[str, EntryKind], ...], BeforeValidator(_types)] = tuple(
        (kind, kind) for kind in get_args(EntryKind)
    )

    @model_validator(mode="after")
    def _one_column_a_role(self) -> LedgerSchema:
        roles = {
            role: getattr(self, role) for role in type(self).model_fields if role not in ("types", "gapless")
        }
        # Its time, or what its entries refer to, may be what orders them; no other column plays two roles.
        for left_out in (("order",), ("time", "reference")):
            distinct({role: name for role, name in roles.items() if role not in left_out}, "column")
        return self


class TradesSchema(Model):
    """The table of settled trades in the ledger's keyspace, and its columns. Amounts are those of the ledger's entries:
    `quantity` of the base asset, `quote_amount` of the quote asset. An entry's reference is the trade's id."""

    table: Identifier = "settled_trades"
    id: Name = "trade_id"
    buyer: Name = "buyer_id"
    seller: Name = "seller_id"
    base_asset: Name = "base_asset_id"
    quote_asset: Name = "quote_asset_id"
    quantity: Name = "quantity"
    quote_amount: Name = "quote_amount"

    @model_validator(mode="after")
    def _one_column_a_role(self) -> TradesSchema:
        distinct({role: getattr(self, role) for role in type(self).model_fields if role != "table"}, "column")
        return self


class Limits(Model):
    """Bounds that keep a reading session gentle."""

    connect_timeout_s: Seconds = 5.0
    request_timeout_s: Seconds = 5.0
    max_rows: int = Field(default=1_000_000, gt=0)
    # Beyond it balance queries are too slow: a scan is then held back, but never below the floor, in rows/s.
    balance_p99_ms: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    floor_rows_per_s: int = Field(default=5_000, gt=0)


class Profile(Model):
    """One target and how to reach it."""

    name: str
    embedded: bool = False
    contact_points: Annotated[tuple[Host, ...], Field(min_length=1)]
    port: int = Field(default=9042, ge=1, le=65535)
    local_dc: Name
    tls: Tls | None = None
    username: Name | None = None
    password: Annotated[Secret | None, BeforeValidator(secret_reference)] = None
    dialect: Literal["auto", "cassandra", "scylla"] = "auto"
    keyspace: Identifier = "trading"
    view: Identifier = "user_balances_by_user"
    # None: nothing is asked of a gateway, and the checks of one are skipped.
    gateway: GatewaySettings | None = None
    ledger: LedgerSchema = LedgerSchema()
    trades: TradesSchema = TradesSchema()
    registry: Registry
    view_definition: Path | None = None
    grace_s: float = Field(default=10.0, ge=0.1, le=86_400, allow_inf_nan=False)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _login_of_somebody(self) -> Profile:
        if self.password and self.username is None:
            raise ValueError("password without username: name the role too")
        return self

    def secrets(self) -> tuple[str, ...]:
        """The secret values that no output may show. Raises SettingsError if one cannot be read."""
        password = (self.password.reveal(),) if self.password else ()
        return (*password, *(self.gateway.secrets() if self.gateway else ()))

    def readable_secrets(self) -> tuple[str, ...]:
        """As `secrets`, without those that cannot be read: what cannot be read is not sent anywhere either."""
        references = [self.password] if self.password else []
        references += [reference for _, reference in self.gateway.headers] if self.gateway else []
        return tuple(part for each in references for part in _revealed(each))


def _revealed(reference: Secret) -> tuple[str, ...]:
    try:
        return with_bare_token(reference.reveal())
    except SettingsError:
        return ()
