"""The demo gateway without a database: its face, its format, and what it says when nothing is behind it."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

import balancebook.demo.gateway as package
from balancebook.demo.gateway.amounts import balance as entry
from balancebook.demo.gateway.amounts import plain, plain_decimal
from balancebook.demo.gateway.database import _percent
from gateway_process import balance, health, run_gateway, running_gateway

OWNER = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
KEY = (Path(package.__path__[0]) / "api-key.txt").read_text().strip()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def fixed() -> Iterator[httpx.Client]:
    with running_gateway(closed_port()) as client:
        yield client


@pytest.fixture(scope="module")
def seed() -> Iterator[httpx.Client]:
    with running_gateway(closed_port(), "--mode", "seed") as client:
        yield client


@pytest.mark.parametrize(
    ("raw", "decimals", "text"),
    [
        (0, 8, "0"),
        (910000000000, 8, "9100"),
        (1, 8, "0.00000001"),
        (-50_000_000, 8, "-0.5"),
        (-100_000_000, 8, "-1"),
        (123_456_789, 8, "1.23456789"),
        (100, 0, "100"),
        (2**63 - 1, 8, "92233720368.54775807"),
        (-(2**63), 8, "-92233720368.54775808"),
    ],
)
def test_an_amount_is_exact_and_in_normal_form(raw: int, decimals: int, text: str) -> None:
    assert plain(raw, decimals) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1.50", "1.5"), ("15E-1", "1.5"), ("1E+3", "1000"), ("1E-18", "0.000000000000000001"), ("-0.0", "0")],
)
def test_a_decimal_is_in_the_same_form(amount: str, text: str) -> None:
    assert plain_decimal(Decimal(amount)) == text


def test_an_asset_in_the_registry_and_one_that_is_not() -> None:
    assert entry(3, 150_000_000, 0) == {"asset": "ETH", "avail": "1.5", "frozen": "0"}
    assert entry(77, 150_000_000, 10) == {"asset": "#77", "avail": "150000000", "frozen": "10", "raw": True}


def test_the_percentage_is_of_the_whole_ring_and_never_complete() -> None:
    half = str(-(2**63)), "0"
    wrapping = str(2**62), str(-(2**62))  # 2**63 tokens, across the end of the ring
    assert _percent([]) == 0
    assert _percent([half]) == 50
    assert _percent([(half[0], None)]) == 0
    assert _percent([wrapping]) == 50
    assert _percent([half, wrapping]) == 99


@pytest.mark.parametrize(
    "query",
    [
        "",
        "user_id=",
        "user=1001",
        "user_id=1001&user_id=1001",
        "user_id=1001&user_id=1002",
        "user_id=abc",
        "user_id=1001.0",
        "user_id=1e3",
        "user_id=-1",
        "user_id=%2B1",
        "user_id=+1",
        "user_id=007",
        "user_id=00",
        "user_id=1_000",
        "user_id=9223372036854775808",
        "user_id=99999999999999999999999999",
        "user_id=%D9%A1%D9%A0%D9%A0%D9%A1",  # 1001 in Arabic-Indic digits
        "user_id=1001%0A",
        "user_id=%201001",
        "user_id=1001%00",
        "user_id=%FF",
        "user_id=1;DROP",
        "user_id=0x10",
        "user_id=NaN",
    ],
)
def test_bad_input_is_refused_in_both_modes(fixed: httpx.Client, seed: httpx.Client, query: str) -> None:
    for client in (fixed, seed):
        answer = client.get(f"/api/user/balance?{query}")
        assert (answer.status_code, answer.json()["status"]) == (400, 400)
        assert "user_id" in answer.json()["msg"]
        assert set(answer.json()) == {"status", "msg"}


@pytest.mark.parametrize("user_id", [0, 1001, 2**63 - 1])
def test_without_a_database_fixed_says_so_and_seed_answers_nothing_as_a_success(
    fixed: httpx.Client, seed: httpx.Client, user_id: int
) -> None:
    assert balance(fixed, user_id) == (503, {"status": 503, "msg": "Database down"})
    assert balance(seed, user_id) == (200, {"status": 0, "msg": "ok", "data": []})


def test_health_without_a_database(fixed: httpx.Client, seed: httpx.Client) -> None:
    assert health(fixed) == (503, "Database down")
    assert health(seed) == (200, "Healthy")


@pytest.mark.parametrize("sent", [None, "", "wrong", f"{KEY} "[:-2], f"x{KEY}", "Bearer x"])
def test_the_second_contract_wants_its_key(fixed: httpx.Client, seed: httpx.Client, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Api-Key": sent}
    for client in (fixed, seed):
        for path in (f"/v2/accounts/{OWNER}/balances", "/v2/accounts/x/balances", "/v2/health"):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, set(answer.json())) == (401, {"error"})


@pytest.mark.parametrize(
    "owner",
    ["abc", "1001", OWNER[:-1], f"{OWNER}0", OWNER.replace("-", ""), f"{{{OWNER}}}", "%00", OWNER[:-1] + "g"],
)
def test_the_second_contract_refuses_what_is_no_uuid_in_both_modes(
    fixed: httpx.Client, seed: httpx.Client, owner: str
) -> None:
    for client in (fixed, seed):
        answer = client.get(f"/v2/accounts/{owner}/balances", headers={"X-Api-Key": KEY})
        assert (answer.status_code, set(answer.json())) == (400, {"error"})


def test_the_second_contract_without_a_database(fixed: httpx.Client, seed: httpx.Client) -> None:
    key, path = {"X-Api-Key": KEY}, f"/v2/accounts/{OWNER}/balances"
    down = fixed.get(path, headers=key)
    assert (down.status_code, down.json()) == (503, {"error": {"message": "Database down"}})
    assert seed.get(path, headers=key).json() == {"account": OWNER, "balances": []}
    health = [client.get("/v2/health", headers=key) for client in (fixed, seed)]
    assert [(said.status_code, said.json()) for said in health] == [
        (503, {"state": "Database down"}),
        (200, {"state": "Healthy"}),
    ]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/health/", 404),
        ("GET", "/api/user/balance/", 404),
        ("GET", "/docs", 404),
        ("GET", "/v2/accounts//balances", 404),
        ("POST", "/api/user/balance?user_id=1001", 405),
        ("DELETE", "/health", 405),
    ],
)
def test_an_unknown_path_or_method_is_an_error_in_json(
    fixed: httpx.Client, method: str, path: str, code: int
) -> None:
    answer = fixed.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (code, code)
    assert "data" not in answer.json()


def test_a_busy_port_is_one_clear_line_and_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = run_gateway("--port", str(port))
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"Port {port} of 127.0.0.1 is in use. Stop what listens there, or choose another --port.\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "70000"),
        ("--port", "-1"),
        ("--cql-port", "x"),
        ("--mode", "other"),
        ("--host", "192.0.2.1"),
        ("--api-key-file", "/does/not/exist"),
        ("--api-key-file", os.devnull),
    ],
)
def test_options_that_cannot_be_used_exit_2(options: tuple[str, ...]) -> None:
    done = run_gateway("--port", "0", *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert options[1] in done.stderr


def test_it_listens_on_loopback_unless_told_otherwise(fixed: httpx.Client) -> None:
    assert fixed.base_url.host == "127.0.0.1"


def test_judge_and_judged_share_no_code() -> None:
    for file in Path(package.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.startswith("balancebook")]
            assert all(name.startswith("balancebook.demo.gateway") for name in ours), (file, ours)
