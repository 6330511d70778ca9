"""What a profile holds: one target, how to reach it, which columns play which role, and the limits to keep."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from balancebook.assets import Registry
from balancebook.errors import UsageError

_SECRET_TIMEOUT_S = 30


class SettingsError(UsageError):
    """A profile that cannot be used: the key is in `parameter`."""

    code = "settings"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Secret(_Model):
    """A reference to a secret; the value is read when it is needed and kept nowhere."""

    kind: Literal["env", "file", "command"]
    value: str

    def reveal(self) -> str:
        """The secret itself. Raises SettingsError if the reference leads nowhere."""
        secret = {"env": self._from_env, "file": self._from_file, "command": self._from_command}[self.kind]()
        if not secret:
            raise SettingsError(
                f"The secret {self.kind}:{self.value} is empty.", "Set it, or name another reference."
            )
        return secret

    def _from_env(self) -> str:
        if self.value not in os.environ:
            raise SettingsError(
                f"The variable {self.value} is not set.", f"export {self.value}=... and run again."
            )
        return os.environ[self.value]

    def _from_file(self) -> str:
        try:
            return Path(self.value).expanduser().read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"The secret file {self.value} cannot be read: {getattr(error, 'strerror', error)}.",
                "Check its path.",
            ) from error

    def _from_command(self) -> str:
        try:
            argv = shlex.split(self.value)
        except ValueError as error:
            raise SettingsError(
                f"The secret command cannot be split into words: {error}.", "Balance its quotes."
            ) from error
        try:
            # The command comes from the user's own profile: running it is its documented purpose.
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECRET_TIMEOUT_S, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise SettingsError(
                f"The secret command {argv[0]!r} failed ({type(error).__name__}).",
                "Run it by hand to see why.",
            ) from error
        return done.stdout.rstrip("\r\n")


def _secret_reference(value: object) -> object:
    if not isinstance(value, str):
        return value
    kind, colon, rest = value.partition(":")
    if not colon or kind not in ("env", "file", "command") or not rest.strip():
        # The value is not repeated: it may be the password itself.
        raise ValueError("a secret is given by reference: env:NAME, file:PATH or command:PROGRAM ARGS")
    return {"kind": kind, "value": rest.strip()}


class Tls(_Model):
    """TLS to the cluster. The server's certificate is always verified against `ca`."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None
    check_hostname: bool = True
    server_hostname: str | None = None


class GatewaySettings(_Model):
    """The HTTP gateway that answers balances; seconds and bytes are bounds on one whole answer."""

    url: str = Field(pattern=r"^https?://[^\s/?#]+$")
    timeout_s: float = Field(default=5.0, gt=0)
    max_bytes: int = Field(default=4_000_000, gt=0)


EntryKind = Literal["deposit", "withdraw", "lock", "unlock", "trade_debit", "trade_credit", "refund"]


def _pairs(value: object) -> object:
    """A table as pairs, which unlike it can be hashed."""
    return tuple(value.items()) if isinstance(value, dict) else value


def _none_if_empty(value: object) -> object:
    """TOML has no null."""
    return None if value == "" else value


_Optional = Annotated[str | None, BeforeValidator(_none_if_empty)]


class LedgerSchema(_Model):
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
    # (what the ledger calls it, what it is; see ledger.rules), in a profile the table [ledger.types].
    types: Annotated[tuple[tuple[str, EntryKind], ...], BeforeValidator(_pairs)] = tuple(
        (kind, kind) for kind in get_args(EntryKind)
    )


class TradesSchema(_Model):
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


class Limits(_Model):
    """Bounds that keep a reading session gentle."""

    connect_timeout_s: float = Field(default=5.0, gt=0)
    request_timeout_s: float = Field(default=5.0, gt=0)
    max_rows: int = Field(default=1_000_000, gt=0)
    # Beyond it balance queries are too slow: a scan then waits until they are well again.
    balance_p99_ms: float = Field(default=10.0, gt=0)


class Profile(_Model):
    """One target and how to reach it."""

    name: str
    embedded: bool = False
    contact_points: Annotated[tuple[str, ...], Field(min_length=1)]
    port: int = Field(default=9042, ge=1, le=65535)
    local_dc: str
    tls: Tls | None = None
    username: str | None = None
    password: Annotated[Secret | None, BeforeValidator(_secret_reference)] = None
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
        return (self.password.reveal(),) if self.password else ()
