"""Blocking reads off the event loop, each for a bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from balancebook.demo.gateway.database import TIMEOUT_S, DatabaseDown, Unreadable

_ANSWER_S = TIMEOUT_S + 1.0
_HEALTH_CACHE_S = 1.0

T = TypeVar("T")


class Workers:
    """The threads that read, and one that watches: a database that hangs holds up its own readers alone."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(16, "balances")
        self._watcher = ThreadPoolExecutor(1, "health")

    async def read(self, read: Callable[[], T]) -> T:
        """What `read` returns; one that waits too long counts as a database that is down."""
        return await self._within(self._readers, read)

    async def watch(self, read: Callable[[], T]) -> T:
        """As `read`, by the one thread of the watch."""
        return await self._within(self._watcher, read)

    def end(self) -> None:
        """Take no more, and wait for none."""
        for pool in (self._readers, self._watcher):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _within(self, pool: ThreadPoolExecutor, read: Callable[[], T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, read), _ANSWER_S)
        except TimeoutError as error:
            raise DatabaseDown from error


class Watch:
    """What a view's health is, asked at most once a second."""

    def __init__(self, workers: Workers, health: Callable[[], str]) -> None:
        self._workers, self._health = workers, health
        self._seen: tuple[float, str] = (float("-inf"), "")  # only the watching thread touches it

    async def state(self) -> str:
        """Healthy, or in words why not."""
        try:
            return await self._workers.watch(self._look)
        except DatabaseDown:
            return "Database down"
        except Unreadable as error:
            return f"The view's state cannot be read: {error}"

    def _look(self) -> str:
        if time.monotonic() - self._seen[0] >= _HEALTH_CACHE_S:
            asked = time.monotonic()
            self._seen = (asked, self._health())
        return self._seen[1]
