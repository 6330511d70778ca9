"""What becomes of the calls of a pool of processes when its workers answer, refuse, or die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

import psutil
import pytest

from balancebook.reconcile.worker_pool import WorkerPool

WITHIN_S = 30


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as pool:
        yield pool


class Untold(Exception):
    """Cannot be made again from what it is pickled to."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def whose(value: int, *, seconds: float = 0) -> tuple[int, int]:
    time.sleep(seconds)
    return value, os.getpid()


def refuse(error: type[Exception], *words: object) -> None:
    raise error(*words)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_within_the_answer() -> bytes:
    def first_byte(pipe: Connection, message: bytes) -> None:
        os.write(pipe.fileno(), bytes(message)[:1])
        die()

    Connection._send = first_byte  # type: ignore[attr-defined]
    return b"x" * 100_000


def assert_died(future: Future[Any]) -> None:
    with pytest.raises(BrokenProcessPool, match=r"process \d+ ended \(SIGKILL\) before it answered"):
        future.result(WITHIN_S)


def test_answers_come_from_several_other_processes(pool: WorkerPool) -> None:
    futures = [pool.submit(whose, number, seconds=0.2) for number in range(4)]
    values, pids = zip(*(future.result(WITHIN_S) for future in futures), strict=True)
    assert values == (0, 1, 2, 3)
    assert len({*pids, os.getpid()}) == 3


@pytest.mark.parametrize(
    ("asked", "raised", "told"),
    [
        ((refuse, KeyError, "spoon"), KeyError, "spoon"),
        ((refuse, Untold, 1, 2), RuntimeError, "Untold: 1 and 2"),
        ((whose, lambda: 1), Exception, "pickle"),
    ],
)
def test_what_is_raised_there_is_raised_here_and_the_worker_goes_on(
    asked: tuple[Any, ...], raised: type[Exception], told: str
) -> None:
    with WorkerPool(1) as pool:
        _, pid = pool.submit(whose, 0).result(WITHIN_S)
        with pytest.raises(raised, match=told):
            pool.submit(*asked).result(WITHIN_S)
        assert pool.submit(whose, 1).result(WITHIN_S) == (1, pid)


@pytest.mark.parametrize("way", [die, die_within_the_answer])
def test_a_worker_that_dies_loses_what_it_was_asked_and_nothing_else(pool: WorkerPool, way: Any) -> None:
    assert_died(pool.submit(way))
    left = {pool.submit(whose, number).result(WITHIN_S)[1] for number in range(5)}
    assert len(left) == 1
    assert_died(pool.submit(way))
    for _ in range(3):
        assert_died(pool.submit(whose, 1))


def test_the_end_waits_for_what_runs_and_leaves_no_process() -> None:
    with WorkerPool(1) as pool:
        runs = pool.submit(whose, 1, seconds=0.3)
        while not runs.running():
            time.sleep(0.01)
        waits = pool.submit(whose, 2)
        pool.shutdown(cancel_futures=True)
    value, pid = runs.result(0)
    assert value == 1
    assert waits.cancelled()
    assert not psutil.pid_exists(pid)


def test_killed_workers_end_at_once() -> None:
    began = time.monotonic()
    with WorkerPool(2) as pool:
        futures = [pool.submit(whose, number, seconds=60) for number in range(2)]
        while not all(future.running() for future in futures):
            time.sleep(0.01)
        pool.kill()
    for future in futures:
        assert_died(future)
    assert time.monotonic() - began < WITHIN_S
