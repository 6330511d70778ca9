"""Asking checks, and the rows and profiles that tests of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cassandra.cluster import Session

from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.demo.schema import LEDGER
from balancebook.settings import GatewaySettings, Profile, retarget
from balancebook.verdict import Result
from ports import free_ports

# Long enough for the server to apply a view's update.
GRACE_S = 0.3
WHOLE = 10**8
THREE_ASSETS = 1001
NOBODY = 999_999

Ask = Callable[..., Result]
Book = Callable[..., None]


def run_check(
    code: str,
    profile: Profile,
    *,
    sleep: Callable[[float], None] | None = None,
    within: Context | None = None,
    **params: Any,
) -> Result:
    """The check's result, by a context of its own, or `within` one that is open."""
    if within:
        return CHECKS[code].run(within, **params)
    ctx = Context(profile, sleep=sleep) if sleep else Context(profile)
    try:
        return CHECKS[code].run(ctx, **params)
    finally:
        ctx.close()


def booker(session: Session, keyspace: str) -> Book:
    """book((user, asset, seq, avail, frozen), ...) into the ledger of a keyspace; created_at is 1000 + seq."""
    insert = session.prepare(
        f"INSERT INTO {keyspace}.{LEDGER} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, ?, ?, ?)"
    )

    def book(*rows: tuple[int, int, int, int | None, int | None]) -> None:
        for each in rows:
            session.execute(insert, (*each, 1000 + each[2]))

    return book


def key(user: int, asset: int, seq: int) -> dict[str, int]:
    """The key of a row of ledger and view."""
    return {"user_id": user, "asset_id": asset, "seq": seq}


def row(user: int, asset: int, seq: int, avail: int, frozen: int = 0) -> dict[str, int]:
    """A whole row of the view, as `booker` would have it."""
    return key(user, asset, seq) | {"avail": avail, "frozen": frozen, "created_at": 1000 + seq}


def gateway_of(profile: Profile) -> GatewaySettings:
    """The profile's gateway, which it has."""
    assert profile.gateway is not None
    return profile.gateway


def behind(profile: Profile, url: object) -> Profile:
    """The profile with the gateway at that address."""
    return retarget(profile, gateway_url=str(url).rstrip("/"))


def nowhere() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def unreachable(profile: Profile) -> Profile:
    """The profile of a database that is not there."""
    return profile.model_copy(update={"port": free_ports(1)[0]})


def capped(profile: Profile, rows: int) -> Profile:
    """The profile with a smaller budget of rows."""
    return profile.model_copy(update={"limits": profile.limits.model_copy(update={"max_rows": rows})})
