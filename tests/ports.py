"""Ports for servers that tests start."""

from __future__ import annotations

import os
import random
import socket

# Below the range from which systems give ports to clients: else, while a server is down, a client's own connection
# may take its port, or even connect to itself. Each worker of pytest-xdist has a share of its own: a port is free
# until its server listens, and two workers could be told the same.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(20_000, 32_000)[_WORKER::_WORKERS]


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on now, all different."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if _is_free(address, port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports on {address}")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
