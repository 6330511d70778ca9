"""The gateway client against a real server on loopback that lies in one way at a time."""

import gzip
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal

import pytest

from balancebook.gateway import (
    GatewayAnswer,
    GatewayBalance,
    GatewayClient,
    GatewayError,
    GatewayHealth,
    Probe,
)
from balancebook.settings import GatewaySettings
from scripted_gateway import Behaviour, Server, entries, entry, http, raw, silent

TIMEOUT_S = 0.5


@contextmanager
def client_of(behave: Behaviour, max_bytes: int = 100_000) -> Iterator[tuple[GatewayClient, Server]]:
    with closing(Server(behave)) as server:
        settings = GatewaySettings(url=server.url, timeout_s=TIMEOUT_S, max_bytes=max_bytes)
        with GatewayClient(settings) as client:
            yield client, server


def drip(first: bytes, drop: bytes) -> Behaviour:
    """Never late for a single read, never done: a drop each 50 ms."""

    def behave(connection: socket.socket, _target: str) -> None:
        connection.sendall(first)
        while True:
            time.sleep(0.05)
            connection.sendall(drop)

    return behave


def endless(connection: socket.socket, _target: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def avail(text: str) -> Behaviour:
    """An answer whose amount is the JSON text given, as it stands."""
    return http('{"status":0,"msg":"ok","data":[{"asset":"BTC","avail":' + text + ',"frozen":"0"}]}')


OK = '{"status":0,"msg":"ok","data":[]}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

LIES: dict[str, tuple[str, Behaviour]] = {
    "error status": ("http_status", http('{"status":5,"msg":"database down"}', 503)),
    "not found": ("http_status", http("<html>", 404, "Content-Type: text/html\r\n")),
    "no content": ("http_status", raw(b"HTTP/1.1 204 No Content\r\n\r\n")),
    "redirect": ("redirect", http(OK, 302, "Location: /api/user/balance?user_id=1001\r\n")),
    "permanent redirect": ("redirect", http(OK, 308, "Location: http://127.0.0.1:1/\r\n")),
    "html with 200": ("not_json", http("<html>login</html>", 200, "Content-Type: text/html\r\n")),
    "html called json": ("not_json", http("<html>login</html>")),
    "json called text": ("not_json", http(OK, 200, "Content-Type: text/plain\r\n")),
    "no content type": ("not_json", http(OK, 200, "")),
    "not utf-8": ("not_json", http(b'{"status":0,"msg":"\xff","data":[]}')),
    "utf-16": ("not_json", http(OK.encode("utf-16"))),
    "compressed": (
        "not_json",
        http(gzip.compress(OK.encode()), 200, "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"),
    ),
    "two documents": ("not_json", http(OK + OK)),
    "single quotes": ("not_json", http("{'status':0}")),
    "empty body": ("truncated", http("")),
    "cut json": ("truncated", http(OK[:-5])),
    "cut after an entry": ("truncated", http('{"status":0,"msg":"ok","data":[{"asset":"BTC"}')),
    "cut in text": ("truncated", http('{"status":0,"msg":"o')),
    "shorter than announced": ("truncated", raw(JSON_HEAD + b"Content-Length: 500\r\n\r\n" + OK.encode())),
    "cut chunks": ("truncated", raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n21\r\n{")),
    "closed at once": ("truncated", raw(b"")),
    "closed in the headers": ("truncated", raw(b"HTTP/1.1 200 OK\r\nContent-Ty")),
    "not http": ("not_http", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "two lengths": ("not_http", raw(JSON_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}")),
    "duplicate key": ("duplicate_key", http('{"status":0,"msg":"ok","data":[],"data":[]}')),
    "duplicate key, escaped": ("duplicate_key", http('{"status":0,"msg":"ok","data":[],"d\\u0061ta":[]}')),
    "duplicate key within": ("duplicate_key", http(OK.replace("[]", '[{"asset":"BTC","asset":"ETH"}]'))),
    "duplicate asset": ("duplicate_asset", entries(entry(), entry(avail="1"))),
    "float": ("bad_number", avail("9100.0")),
    "integer": ("bad_number", avail("9100")),
    "huge integer": ("bad_number", avail("9" * 5000)),
    "NaN": ("bad_number", avail("NaN")),
    "NaN in an unknown field": ("bad_number", http('{"status":0,"msg":"ok","data":[],"x":NaN}')),
    "NaN as text": ("bad_number", avail('"NaN"')),
    "infinity": ("bad_number", avail('"Infinity"')),
    "exponent": ("bad_number", avail('"9.1e3"')),
    "negative zero": ("bad_number", avail('"-0"')),
    "negative zero with decimals": ("bad_number", avail('"-0.00"')),
    "leading zero": ("bad_number", avail('"09100"')),
    "plus": ("bad_number", avail('"+1"')),
    "comma": ("bad_number", avail('"9,100"')),
    "underscore": ("bad_number", avail('"9_100"')),
    "space": ("bad_number", avail('" 9100"')),
    "no digits": ("bad_number", avail('""')),
    "other digits": ("bad_number", avail('"\\u0669"')),
    "raw amount with a point": ("bad_number", entries(entry(asset="#77", raw=True, avail="1.5"))),
    "null amount": ("bad_shape", avail("null")),
    "amount missing": ("bad_shape", entries({"asset": "BTC", "avail": "1"})),
    "asset missing": ("bad_shape", entries({"avail": "1", "frozen": "0"})),
    "asset empty": ("bad_shape", entries(entry(asset=""))),
    "asset a number": ("bad_shape", entries(entry(asset=1))),
    "asset a terminal escape": ("bad_shape", entries(entry(asset="\x1b[2J"))),
    "asset half a character": ("bad_shape", entries(entry(asset="\ud800"))),
    "raw not a bool": ("bad_shape", entries(entry(raw="yes"))),
    "entry no object": ("bad_shape", entries("BTC")),
    "data an object": ("bad_shape", http('{"status":0,"msg":"ok","data":{}}')),
    "data null": ("bad_shape", http('{"status":0,"msg":"ok","data":null}')),
    "data missing": ("bad_shape", http('{"status":0,"msg":"ok"}')),
    "status missing": ("bad_shape", http('{"msg":"ok","data":[]}')),
    "status text": ("bad_shape", http('{"status":"0","msg":"ok","data":[]}')),
    "status true": ("bad_shape", http('{"status":false,"msg":"ok","data":[]}')),
    "status a float": ("bad_shape", http('{"status":0.0,"msg":"ok","data":[]}')),
    "msg missing": ("bad_shape", http('{"status":0,"data":[]}')),
    "a list": ("bad_shape", http("[]")),
    "a string": ("bad_shape", http('"ok"')),
    "null": ("bad_shape", http("null")),
    "nested too deeply": ("bad_shape", http("[" * 50_000 + "]" * 50_000)),
    "another user": ("wrong_user", entries(entry(), user_id=1002)),
    "another user in an entry": ("wrong_user", entries(entry(uid="1002"))),
    "another user's, beside no data": ("wrong_user", entries(user_id=None)),
    "its own error": ("error_status", http('{"status":7,"msg":"database down"}')),
    "too large": ("too_large", http(" " * 100_001)),
    "endless": ("too_large", endless),
    "silent": ("timeout", silent),
    "drips its headers": ("timeout", drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")),
    "drips its body": ("timeout", drip(JSON_HEAD + b"\r\n", b" ")),
    "says continue for ever": ("timeout", drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
}


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_has_its_name(lie: str) -> None:
    kind, behave = LIES[lie]
    with client_of(behave) as (client, server):
        began = time.monotonic()
        with pytest.raises(GatewayError) as caught:
            client.balance(1001)
        seconds = time.monotonic() - began
    assert caught.value.kind == kind
    assert server.url in caught.value.message
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert seconds < TIMEOUT_S + 2


def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    client = GatewayClient(GatewaySettings(url=f"http://127.0.0.1:{port}"))
    with pytest.raises(GatewayError) as caught:
        client.balance(1001)
    assert caught.value.kind == "refused"


def test_a_plain_server_asked_for_tls() -> None:
    with closing(Server(http(OK))) as server:
        client = GatewayClient(
            GatewaySettings(url=server.url.replace("http:", "https:"), timeout_s=TIMEOUT_S)
        )
        with pytest.raises(GatewayError) as caught:
            client.balance(1001)
    assert caught.value.kind in ("refused", "timeout")


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with client_of(http(OK)) as (client, _):
        assert client.balance(999999) == GatewayAnswer("999999", ())


def test_a_right_answer_is_exact_and_keeps_its_order() -> None:
    data = [
        entry(),
        entry(asset="USDT", avail="10100000", frozen="0.00000001"),
        entry(asset="#77", avail="-9223372036854775808", frozen="0", raw=True),
    ]
    with client_of(entries(*data)) as (client, server):
        answer = client.balance(1001)
    assert server.targets == ["/api/user/balance?user_id=1001"]
    assert answer == GatewayAnswer(
        "1001",
        (
            GatewayBalance("BTC", Decimal(9100), Decimal(0), raw=False),
            GatewayBalance("USDT", Decimal(10100000), Decimal("0.00000001"), raw=False),
            GatewayBalance("#77", Decimal(-9223372036854775808), Decimal(0), raw=True),
        ),
    )


def test_unknown_fields_are_tolerated() -> None:
    with client_of(entries(entry(note=[1.5, None]), user_id=1001, took=0.3)) as (client, _):
        assert [balance.asset for balance in client.balance(1001).balances] == ["BTC"]


def test_the_user_id_cannot_leave_its_place() -> None:
    with client_of(http(OK)) as (client, server):
        client.balance("1&user_id=2#/../ü")
    assert server.targets == ["/api/user/balance?user_id=1%26user_id%3D2%23%2F..%2F%C3%BC"]


def test_connections_are_reused() -> None:
    with client_of(http(OK)) as (client, server):
        for _ in range(5):
            client.balance(1001)
    assert server.connections == 1


def test_a_lie_does_not_spoil_the_next_answer() -> None:
    answers = iter([http("[" + " " * 100_001), http(OK)])

    def behave(connection: socket.socket, target: str) -> None:
        next(answers)(connection, target)

    with client_of(behave) as (client, _):
        with pytest.raises(GatewayError):
            client.balance(1001)
        assert client.balance(1001).balances == ()


def test_many_threads_each_get_their_own_answer() -> None:
    def echo(connection: socket.socket, target: str) -> None:
        entries(entry(avail=target.partition("=")[2]))(connection, target)

    with client_of(echo) as (client, _), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.balance, range(1, 65)))
    assert [int(answer.balances[0].available) for answer in answers] == list(range(1, 65))


def test_a_closed_client_opens_again() -> None:
    with client_of(http(OK)) as (client, _):
        client.balance(1001)
        client.close()
        assert client.balance(1001).balances == ()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '{"status":0,"msg":"Healthy"}', GatewayHealth("Healthy", None, 0, 200, ok=True)),
        (503, '{"status":1,"msg":"Missing"}', GatewayHealth("Missing", None, 1, 503, ok=False)),
        (503, '{"status":2,"msg":"Rebuilding 37 %"}', GatewayHealth("Rebuilding", 37.0, 2, 503, ok=False)),
        (503, '{"status":2,"msg":"Rebuilding 99.5%"}', GatewayHealth("Rebuilding", 99.5, 2, 503, ok=False)),
        (
            503,
            '{"status":2,"msg":"Rebuilding 250 %"}',
            GatewayHealth("Rebuilding 250 %", None, 2, 503, ok=False),
        ),
        (200, '{"status":0,"msg":"ok"}', GatewayHealth("ok", None, 0, 200, ok=True)),
    ],
)
def test_health(status: int, body: str, expected: GatewayHealth) -> None:
    with client_of(http(body, status)) as (client, server):
        assert client.health() == expected
    assert server.targets == ["/health"]


@pytest.mark.parametrize(
    ("kind", "behave"),
    [
        ("http_status", http("", 404)),
        ("not_json", http("OK", 200, "Content-Type: text/plain\r\n")),
        ("not_json", http("OK", 503, "Content-Type: text/html\r\n")),
        ("bad_shape", http('{"status":0}')),
        ("redirect", http("", 301, "Location: /elsewhere\r\n")),
        ("timeout", silent),
    ],
)
def test_health_that_says_nothing(kind: str, behave: Behaviour) -> None:
    with client_of(behave) as (client, _), pytest.raises(GatewayError) as caught:
        client.health()
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        (http('{"status":3,"msg":"bad user_id","data":[]}', 400), Probe(400, False, False)),
        (http('{"status":3,"msg":"bad user_id"}', 400), Probe(400, False, False)),
        (entries(entry()), Probe(200, True, True)),
        (http("Bad Request", 400, "Content-Type: text/plain\r\n"), Probe(400, None, False)),
        (http("", 302, "Location: /\r\n"), Probe(302, None, False)),
    ],
)
def test_probe(behave: Behaviour, expected: Probe) -> None:
    with client_of(behave) as (client, server):
        assert client.probe("1; DROP&user_id=007") == expected
        assert client.probe(None) == expected
    assert server.targets == ["/api/user/balance?user_id=1%3B%20DROP%26user_id%3D007", "/api/user/balance"]


def test_probe_of_a_dead_gateway_is_an_error() -> None:
    with client_of(raw(b"")) as (client, _), pytest.raises(GatewayError):
        client.probe("abc")
