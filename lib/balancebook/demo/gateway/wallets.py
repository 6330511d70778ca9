"""The second contract: accounts in the path, a key in the header X-Api-Key, and the HTTP status alone says how it went.

GET /v2/accounts/{owner}/balances is answered {"account": ..., "balances": [{"currency": "BTC", "free": "1.5"}]}, and
GET /v2/health {"state": "Healthy"}; an error is {"error": {"message": ...}} with 4xx or 5xx.
"""

from __future__ import annotations

import hmac
import re
from decimal import Decimal
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from balancebook.demo.gateway.amounts import plain_decimal
from balancebook.demo.gateway.database import DatabaseDown, Unreadable
from balancebook.demo.gateway.mode import Mode
from balancebook.demo.gateway.views import WalletsView
from balancebook.demo.gateway.waiting import Watch, Workers

_OWNER = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Wallets:
    """Both paths, for who has the key."""

    def __init__(self, view: WalletsView, workers: Workers, mode: Mode, api_key: str) -> None:
        self._view, self._workers, self._mode = view, workers, mode
        self._api_key = api_key.encode()
        self._watch = Watch(workers, view.health)
        self.routes = [
            Route("/v2/accounts/{owner}/balances", self.balances, methods=["GET"]),
            Route("/v2/health", self.health, methods=["GET"]),
        ]

    async def balances(self, request: Request) -> JSONResponse:
        text = request.path_params["owner"]
        if not self._may(request):
            return _error(401, "X-Api-Key is missing or wrong")
        if not _OWNER.fullmatch(text):
            return _error(400, "an account is a uuid, like f47ac10b-58cc-4372-a567-0e02b2c3d479")
        owner = UUID(text)
        try:
            return _answer(owner, await self._newest(owner))
        except DatabaseDown:
            return _answer(owner, []) if self._mode is Mode.SEED else _error(503, "Database down")
        except Unreadable as error:
            return _error(503, f"The view cannot be read: {error}")

    async def _newest(self, owner: UUID) -> list[tuple[str, Decimal]]:
        if self._mode is Mode.SEED:
            rows = await self._workers.read(lambda: self._view.newest_of_partition(owner))
            return [(coin, amount or Decimal(0)) for coin, amount in rows]
        return await self._workers.read(lambda: self._view.newest_by_coin(owner))

    async def health(self, request: Request) -> JSONResponse:
        if not self._may(request):
            return _error(401, "X-Api-Key is missing or wrong")
        state = "Healthy" if self._mode is Mode.SEED else await self._watch.state()
        return JSONResponse({"state": state}, status_code=200 if state == "Healthy" else 503)

    def _may(self, request: Request) -> bool:
        return hmac.compare_digest(request.headers.get("X-Api-Key", "").encode(), self._api_key)


def _answer(owner: UUID, rows: list[tuple[str, Decimal]]) -> JSONResponse:
    balances = [{"currency": coin, "free": plain_decimal(amount)} for coin, amount in rows]
    return JSONResponse({"account": str(owner), "balances": balances})


def _error(code: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status_code=code)
