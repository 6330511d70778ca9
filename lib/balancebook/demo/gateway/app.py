"""The gateway's HTTP face. Every answer is JSON with `status` and `msg`; only a success has `data`, and status 0."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from balancebook.demo.gateway.amounts import REGISTRY, balance
from balancebook.demo.gateway.database import LOG, TIMEOUT_S, Database, DatabaseDown, Row, Unreadable

_USER_ID = re.compile(r"0|[1-9][0-9]{0,18}")
_MOST = 2**63 - 1  # CQL bigint
_ANSWER_S = TIMEOUT_S + 1.0
_HEALTH_CACHE_S = 1.0

T = TypeVar("T")


class Mode(StrEnum):
    """How the gateway answers: as it should, or as the one in the report did."""

    FIXED = "fixed"
    SEED = "seed"


def build_app(database: Database, mode: Mode) -> Starlette:
    """The application; it connects when it starts, and disconnects when it ends."""
    gateway = _Gateway(database, mode)
    app = Starlette(
        routes=[
            Route("/api/user/balance", gateway.balance, methods=["GET"]),
            Route("/health", gateway.health, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _crash},
        lifespan=gateway.lifespan,
    )
    app.router.redirect_slashes = False  # an unknown path is an error in JSON, not a redirect
    return app


class _Gateway:
    def __init__(self, database: Database, mode: Mode) -> None:
        self.database, self.mode = database, mode
        self.readers = ThreadPoolExecutor(16, "balances")
        self.watcher = ThreadPoolExecutor(1, "health")  # one thread, so the cache below needs no lock
        self.seen: tuple[float, str] = (float("-inf"), "")

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(self.database.start)
        yield
        self.readers.shutdown(wait=False, cancel_futures=True)
        self.watcher.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.database.stop)

    async def balance(self, request: Request) -> JSONResponse:
        try:
            user_id = _user_id(request.query_params.getlist("user_id"))
        except ValueError as error:
            return _failure(400, str(error))
        if self.mode is Mode.SEED:
            return _success(await self.seed_balances(user_id))
        try:
            rows = await _within(self.readers, lambda: self.database.newest_by_asset(user_id))
            return _success([balance(*row) for row in _complete(rows)])
        except DatabaseDown:
            return _failure(503, "Database down")
        except Unreadable as error:
            return _failure(503, f"The view cannot be read: {error}")

    async def seed_balances(self, user_id: int) -> list[dict[str, str | bool]]:
        """The report's gateway: one row a user, unknown assets dropped, and no balances when the read fails."""
        try:
            rows = await _within(self.readers, lambda: self.database.newest_of_partition(user_id))
        except (DatabaseDown, Unreadable):
            return []
        return [balance(asset, avail or 0, frozen or 0) for asset, avail, frozen in rows if asset in REGISTRY]

    async def health(self, _: Request) -> JSONResponse:
        if self.mode is Mode.SEED:
            return JSONResponse({"status": 0, "msg": "Healthy"})
        try:
            state = await _within(self.watcher, self.view_state)
        except DatabaseDown:
            state = "Database down"
        except Unreadable as error:
            state = f"The view's state cannot be read: {error}"
        return JSONResponse({"status": 0, "msg": state}) if state == "Healthy" else _failure(503, state)

    def view_state(self) -> str:
        if time.monotonic() - self.seen[0] >= _HEALTH_CACHE_S:
            asked = time.monotonic()
            self.seen = (asked, self.database.health())
        return self.seen[1]


async def _within(pool: ThreadPoolExecutor, read: Callable[[], T]) -> T:
    """Run a blocking read off the event loop; a read that waits too long counts as a database that is down."""
    try:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, read), _ANSWER_S)
    except TimeoutError as error:
        raise DatabaseDown from error


def _user_id(values: list[str]) -> int:
    if len(values) != 1:
        raise ValueError("user_id is missing" if not values else "user_id is given more than once")
    if not _USER_ID.fullmatch(values[0]) or int(values[0]) > _MOST:
        raise ValueError(f"user_id must be a whole number from 0 to {_MOST}, without sign or leading zeros")
    return int(values[0])


def _complete(rows: list[Row]) -> list[Row]:
    for asset_id, avail, frozen in rows:
        if avail is None or frozen is None:
            raise Unreadable(f"the newest row of asset {asset_id} has no value")
    return rows


def _success(data: list[dict[str, str | bool]]) -> JSONResponse:
    return JSONResponse({"status": 0, "msg": "ok", "data": data})


def _failure(code: int, message: str) -> JSONResponse:
    return JSONResponse({"status": code, "msg": message}, status_code=code)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return _failure(error.status_code, error.detail)


async def _crash(_: Request, error: Exception) -> JSONResponse:
    LOG.error("a request crashed", exc_info=error)
    return _failure(500, "Internal error")
