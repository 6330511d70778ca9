"""The demo gateway as its own process, for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import httpx

_COMMAND = (sys.executable, "-m", "balancebook.demo.gateway")


@contextmanager
def running_gateway(cql_port: int, *options: str) -> Iterator[httpx.Client]:
    """A client of a gateway on a free port, which ends with the block."""
    command = [*_COMMAND, "--port", "0", "--cql-port", str(cql_port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own command)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1]
        with httpx.Client(base_url=url, timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def run_gateway(*options: str) -> subprocess.CompletedProcess[str]:
    """A gateway that is expected to end by itself."""
    command = [*_COMMAND, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 (as above)


def balance(client: httpx.Client, user_id: int) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the document."""
    answer = client.get(f"/api/user/balance?user_id={user_id}")
    return answer.status_code, answer.json()


def health(client: httpx.Client) -> tuple[int, str]:
    """The HTTP status and the text; the document's status must agree with it."""
    answer = client.get("/health")
    assert set(answer.json()) == {"status", "msg"}
    assert (answer.json()["status"] == 0) == (answer.status_code == 200)
    return answer.status_code, answer.json()["msg"]


def eventually(ask: Callable[[], object], expected: object, within_s: float) -> None:
    """Fails unless `ask` gives `expected` within these seconds."""
    deadline = monotonic() + within_s
    while (got := ask()) != expected:
        assert monotonic() < deadline, f"still {got!r} after {within_s} s, not {expected!r}"
        sleep(0.1)
