"""HTTP GET with hard bounds: one deadline for the whole exchange and a limit on the size of the answer.

httpx bounds each network call, not their sum: a server that drips a byte a second is never late. Here every
call gets only what is left of one deadline. Only the lookup of a host name is outside it.
No redirect is followed, nothing is decompressed, and no proxy is taken from the environment.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import httpcore
import httpx

Kind: TypeAlias = Literal["refused", "timeout", "too_large", "truncated", "not_http"]

# Below the 5 s after which common servers (uvicorn) close an idle connection, so that none is reused as it dies.
_KEEPALIVE_S = 2.0
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "balancebook"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status code, the two headers that matter (lower case, "" when absent) and the raw body."""

    status: int
    content_type: str
    content_encoding: str
    body: bytes


class HttpError(Exception):
    """No whole answer came; `kind` names why."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail


class BoundedHttp:
    """A thread-safe client of one server, reusing connections. Each `get` has its own deadline."""

    def __init__(
        self, base_url: str, timeout_s: float, max_bytes: int, headers: Mapping[str, str] | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._deadline = _Deadline()
        # The system's authorities, as a company's own are there; made only for TLS, for it takes 20-60 ms.
        tls = ssl.create_default_context() if base_url.startswith("https:") else None
        transport = _Transport(self._deadline, tls)
        sent = _HEADERS | dict(headers or {})
        self._client = httpx.Client(transport=transport, timeout=timeout_s, trust_env=False, headers=sent)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def get(self, target: str) -> Answer:
        """The answer to one GET of `target` ("/path?query"), whatever its status. Raises HttpError."""
        self._deadline.start(self._timeout_s)
        try:
            with self._client.stream("GET", self._base_url + target, follow_redirects=False) as response:
                return Answer(
                    response.status_code,
                    response.headers.get("content-type", "").lower(),
                    response.headers.get("content-encoding", "").lower(),
                    self._body(response),
                )
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise self._http_error(error) from error
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol) as error:
            raise HttpError("refused", f"the address cannot be used ({error})") from error

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise HttpError("too_large", f"the answer is larger than {self._max_bytes} bytes")
        return bytes(body)

    def _http_error(self, error: Exception) -> HttpError:
        if isinstance(error, httpcore.TimeoutException):
            return HttpError("timeout", f"no whole answer within {self._timeout_s:g} s")
        if isinstance(error, httpcore.ConnectError):
            return HttpError("refused", f"no connection ({error})")
        if isinstance(error, httpcore.NetworkError) or "without sending" in str(error):
            return HttpError("truncated", f"the connection was closed before the answer was whole ({error})")
        return HttpError("not_http", f"the answer is not HTTP ({error})")


class _Deadline(threading.local):
    """The end of the exchange that the current thread is in; httpcore does its I/O in the calling thread."""

    at = 0.0

    def start(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def left(self, timeout: float | None, expired: type[httpcore.TimeoutException]) -> float:
        """The seconds that one call may take. Raises `expired` when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise expired("deadline passed")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._inner = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        inner = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(inner, self._deadline)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Transport(httpx.BaseTransport):
    """httpx over an httpcore pool whose network calls keep to the deadline."""

    def __init__(self, deadline: _Deadline, tls: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=32,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=_Backend(deadline),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        self._pool.close()
