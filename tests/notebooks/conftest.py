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

    def running(mode: str) -> AbstractContextManager[dict[str, str]]:
        return found(trading, environment, "--keyspace", trading.keyspace, "--mode", mode)

    return running


@contextmanager
def found(profile: Profile, environment: dict[str, str], *options: str) -> Iterator[dict[str, str]]:
    """A gateway on the profile's database, where commands and kernels of the environment find it."""
    noted = Path(environment["BALANCEBOOK_STATE"]) / "gateway" / "gateway.json"
    with running_gateway(profile.port, *options) as client:
        noted.parent.mkdir(exist_ok=True)
        noted.write_text(json.dumps({"url": str(client.base_url)}))
        try:
            yield environment
        finally:
            noted.unlink()
