"""A real HTTP server on loopback that answers as a test says: for what the demo gateway never does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

Behaviour = Callable[[socket.socket, str], None]
BALANCE = "/api/user/balance?"


class Server:
    """Answers each request on each connection as `behave` does; notes targets, headers (names in lower case) and the
    connections."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.targets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Shut down first: closing alone does not wake the accepting thread.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while request := _read_request(connection):
                target, headers = request
                self.targets.append(target)
                self.headers.append(headers)
                self._behave(connection, target)


def _read_request(connection: socket.socket) -> tuple[str, dict[str, str]] | None:
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(4096)
        if not received:
            return None
        request += received
    first, *lines = request.decode().rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first.split()[1], headers


def raw(answer: bytes, *, close: bool = True) -> Behaviour:
    """These bytes, and then the end of the connection."""

    def behave(connection: socket.socket, _target: str) -> None:
        connection.sendall(answer)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return behave


def http(
    body: bytes | str, status: int = 200, headers: str = "Content-Type: application/json\r\n"
) -> Behaviour:
    """One HTTP answer."""
    content = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} Status\r\n{headers}Content-Length: {len(content)}\r\n\r\n"
    return raw(head.encode() + content, close=False)


def entries(*data: object, **more: object) -> Behaviour:
    """A success with these entries of `data`."""
    return http(json.dumps({"status": 0, "msg": "ok", "data": data, **more}))


def entry(**fields: object) -> dict[str, object]:
    """One entry of `data`: 9100 BTC, unless told otherwise."""
    return {"asset": "BTC", "avail": "9100", "frozen": "0", **fields}


def by_target(answers: Mapping[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    """Answers each request target of the mapping in its own way."""

    def behave(connection: socket.socket, target: str) -> None:
        answers.get(target, otherwise)(connection, target)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Answers the first request in the first way, and so on; the last way from then on."""
    left = list(behaviours)

    def behave(connection: socket.socket, target: str) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection, target)

    return behave


def silent(connection: socket.socket, _target: str) -> None:
    """No answer, until the client goes."""
    connection.recv(1)


@contextmanager
def serving(behave: Behaviour) -> Iterator[str]:
    """The URL of such a server, which ends with the block."""
    with closing(Server(behave)) as server:
        yield server.url
