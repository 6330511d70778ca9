"""The demo exchange as a person has it: all its data, and its gateway as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from balancebook.settings import Profile
from gateway_process import running_gateway

Exchange = Callable[[str], AbstractContextManager[dict[str, str]]]


@pytest.fixture(scope="session")
def exchange(trading: Profile, environment: dict[str, str]) -> Exchange:
    """`with exchange("seed") as env`: the environment in which commands and kernels find exchange and gateway."""

    @contextmanager
    def running(mode: str) -> Iterator[dict[str, str]]:
        noted = Path(environment["BALANCEBOOK_STATE"]) / "gateway" / "gateway.json"
        with running_gateway(trading.port, "--keyspace", trading.keyspace, "--mode", mode) as client:
            noted.parent.mkdir(exist_ok=True)
            noted.write_text(json.dumps({"url": str(client.base_url)}))
            try:
                yield environment
            finally:
                noted.unlink()

    return running
