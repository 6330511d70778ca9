"""What a profile holds: one target, how to reach it, which columns play which role, and the limits to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from balancebook.assets import Registry
from balancebook.gateway_settings import GatewaySettings
from balancebook.profile_parts import Model, Secret, SettingsError, none_if_empty, pairs, secret_reference

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
    server_hostname: str | None = None


EntryKind = Literal["deposit", "withdraw", "lock", "unlock", "trade_debit", "trade_credit", "refund"]


_Optional = Annotated[str | None, BeforeValidator(none_if_empty)]


class LedgerSchema(Model):
    """Which column of the base table plays which role; None, in a profile "", for a role that the ledger lacks."""

    account: str = "user_id"
    asset: str = "asset_id"
    order: str = "seq"
    available: str = "avail"
    held: _Optional = "frozen"
    delta_available: _Optional = "delta_avail"
    delta_held: _Optional = "delta_frozen"
    type: _Optional = "event_type"
    reference: _Optional = "ref_id"
    time: _Optional = "created_at"
    # Whether the order numbers each account and asset's entries without holes, so that a hole is an entry that is gone.
    gapless: bool = True
    # (what the ledger calls it, what it is; see ledger.rules), in a profile the table [ledger.types].
    types: Annotated[tuple[tuple[str, EntryKind], ...], BeforeValidator(pairs)] = tuple(
        (kind, kind) for kind in get_args(EntryKind)
    )


class TradesSchema(Model):
    """The table of settled trades in the ledger's keyspace, and its columns. Amounts are those of the ledger's entries:
    `quantity` of the base asset, `quote_amount` of the quote asset. An entry's reference is the trade's id."""

    table: str = "settled_trades"
    id: str = "trade_id"
    buyer: str = "buyer_id"
    seller: str = "seller_id"
    base_asset: str = "base_asset_id"
    quote_asset: str = "quote_asset_id"
    quantity: str = "quantity"
    quote_amount: str = "quote_amount"


class Limits(Model):
    """Bounds that keep a reading session gentle."""

    connect_timeout_s: float = Field(default=5.0, gt=0)
    request_timeout_s: float = Field(default=5.0, gt=0)
    max_rows: int = Field(default=1_000_000, gt=0)
    # Beyond it balance queries are too slow: a scan then waits until they are well again.
    balance_p99_ms: float = Field(default=10.0, gt=0)


class Profile(Model):
    """One target and how to reach it."""

    name: str
    embedded: bool = False
    contact_points: Annotated[tuple[str, ...], Field(min_length=1)]
    port: int = Field(default=9042, ge=1, le=65535)
    local_dc: str
    tls: Tls | None = None
    username: str | None = None
    password: Annotated[Secret | None, BeforeValidator(secret_reference)] = None
    dialect: Literal["auto", "cassandra", "scylla"] = "auto"
    keyspace: str = "trading"
    view: str = "user_balances_by_user"
    gateway: GatewaySettings
    ledger: LedgerSchema = LedgerSchema()
    trades: TradesSchema = TradesSchema()
    registry: Registry
    view_definition: Path | None = None
    grace_s: float = Field(default=10.0, ge=0)
    limits: Limits = Limits()

    def secrets(self) -> tuple[str, ...]:
        """The secret values that no output may show. Raises SettingsError if one cannot be read."""
        password = (self.password.reveal(),) if self.password else ()
        return (*password, *self.gateway.secrets())
