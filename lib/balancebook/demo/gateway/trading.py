"""The first contract. Every answer is JSON with `status` and `msg`; only a success has `data`, and status 0."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from balancebook.demo.gateway.amounts import REGISTRY, balance
from balancebook.demo.gateway.database import DatabaseDown, Unreadable
from balancebook.demo.gateway.mode import Mode
from balancebook.demo.gateway.views import TradingView
from balancebook.demo.gateway.waiting import Watch, Workers

_USER_ID = re.compile(r"0|[1-9][0-9]{0,18}")
_MOST = 2**63 - 1  # CQL bigint


class Trading:
    """GET /api/user/balance?user_id=N and GET /health."""

    def __init__(self, view: TradingView, workers: Workers, mode: Mode) -> None:
        self._view, self._workers, self._mode = view, workers, mode
        self._watch = Watch(workers, view.health)
        self.routes = [
            Route("/api/user/balance", self.balance, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
        ]

    async def balance(self, request: Request) -> JSONResponse:
        try:
            user_id = _user_id(request.query_params.getlist("user_id"))
        except ValueError as error:
            return failure(400, str(error))
        if self._mode is Mode.SEED:
            return _success(await self._seed_balances(user_id))
        try:
            rows = await self._workers.read(lambda: self._view.newest_by_asset(user_id))
            return _success([balance(*row) for row in rows])
        except DatabaseDown:
            return failure(503, "Database down")
        except Unreadable as error:
            return failure(503, f"The view cannot be read: {error}")

    async def _seed_balances(self, user_id: int) -> list[dict[str, str | bool]]:
        """The report's gateway: one row a user, unknown assets dropped, and no balances when the read fails."""
        try:
            rows = await self._workers.read(lambda: self._view.newest_of_partition(user_id))
        except (DatabaseDown, Unreadable):
            return []
        return [balance(asset, avail or 0, frozen or 0) for asset, avail, frozen in rows if asset in REGISTRY]

    async def health(self, _: Request) -> JSONResponse:
        state = "Healthy" if self._mode is Mode.SEED else await self._watch.state()
        return JSONResponse({"status": 0, "msg": state}) if state == "Healthy" else failure(503, state)


def failure(code: int, message: str) -> JSONResponse:
    """An error of this contract, and of every path that is in none."""
    return JSONResponse({"status": code, "msg": message}, status_code=code)


def _user_id(values: list[str]) -> int:
    if len(values) != 1:
        raise ValueError("user_id is missing" if not values else "user_id is given more than once")
    if not _USER_ID.fullmatch(values[0]) or int(values[0]) > _MOST:
        raise ValueError(f"user_id must be a whole number from 0 to {_MOST}, without sign or leading zeros")
    return int(values[0])


def _success(data: list[dict[str, str | bool]]) -> JSONResponse:
    return JSONResponse({"status": 0, "msg": "ok", "data": data})
