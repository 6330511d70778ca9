"""The application: two contracts over one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from balancebook.demo.gateway.database import LOG, Database
from balancebook.demo.gateway.trading import failure
from balancebook.demo.gateway.waiting import Workers


def build_app(database: Database, workers: Workers, routes: list[Route]) -> Starlette:
    """The application; it connects when it starts, and disconnects when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(database.start)
        yield
        workers.end()
        await asyncio.to_thread(database.stop)

    handlers = {HTTPException: _http_error, Exception: _crash}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False  # an unknown path is an error in JSON, not a redirect
    return app


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return failure(error.status_code, error.detail)


async def _crash(_: Request, error: Exception) -> JSONResponse:
    LOG.error("a request crashed", exc_info=error)
    return failure(500, "Internal error")
