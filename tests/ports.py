"""Ports for servers that tests start."""

from __future__ import annotations

import random
import socket

# Below the range from which systems give ports to clients: else, while a server is down, a client's own connection
# may take its port, or even connect to itself.
_PORTS = range(20_000, 32_000)


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
