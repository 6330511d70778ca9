"""A gateway that is down, slow or lies: a failure with a name, while the database's own checks pass."""

from __future__ import annotations

from contextlib import closing

import pytest

from balancebook.demo.node import Node
from checking import THREE_ASSETS
from e2e.commands import KEYSPACE, Desk
from scripted_gateway import BALANCE, Behaviour, Server, by_target, entries, entry, http, serving, silent

pytestmark = pytest.mark.soak

HEALTHY = http('{"status":0,"msg":"Healthy"}')
ASKED = f"{BALANCE.removesuffix('?')}?user_id={THREE_ASSETS}"
REST = entry(asset="USDT", avail="10100000"), entry(asset="ETH", avail="100000")


def balance(behave: Behaviour) -> Behaviour:
    """A gateway that is healthy, and answers for the user in this way."""
    return by_target({"/health": HEALTHY, ASKED: behave}, entries())


@pytest.fixture
def asking(at: Desk) -> Desk:
    """A desk with a notebook that asks the gateway, and the database, for the user's balances."""
    at.notebook(
        "book.check('V001'); book.check('G001')",
        f"for code in ('G002', 'G003'): book.check(code, user_id={THREE_ASSETS})",
        required=("V001", "G001", "G002", "G003"),
    )
    return at


def _told_of(desk: Desk, behave: Behaviour | None) -> tuple[int, dict[str, str], str]:
    """(the exit code, the verdicts, what the checks of the gateway say)."""
    if behave is None:
        told = desk.run("asked.ipynb")
    else:
        with serving(behave) as url:
            desk.env["BALANCEBOOK_GATEWAY_URL"] = url
            told = desk.run("asked.ipynb")
    assert told.document["status"] == "completed"
    assert told.seconds < 60
    return told.code, told.verdicts, "\n".join(told.message(code) for code in ("G001", "G002", "G003"))


def test_an_honest_gateway(asking: Desk) -> None:
    code, verdicts, _ = _told_of(asking, balance(entries(entry(), *REST)))
    assert (code, set(verdicts.values())) == (0, {"pass"})


@pytest.mark.parametrize(
    ("behave", "failed", "said"),
    [
        pytest.param(None, {"G001"}, "Connection refused", id="down"),
        pytest.param(silent, {"G001"}, "no whole answer within 1 s", id="slow"),
        pytest.param(balance(entries(entry())), {"G003"}, "lost: USDT, ETH", id="loses"),
        pytest.param(
            balance(entries(entry(avail="9100.00000001"), *REST)), {"G003"}, "wrong amount: BTC", id="lies"
        ),
        pytest.param(balance(http("<html>")), {"G002"}, "not JSON", id="says-nonsense"),
    ],
)
def test_a_gateway_that_is_named(asking: Desk, behave: Behaviour | None, failed: set[str], said: str) -> None:
    code, verdicts, messages = _told_of(asking, behave)
    assert code == 10
    assert verdicts["V001"] == "pass"
    assert failed <= {check for check, verdict in verdicts.items() if verdict == "fail"}, messages
    assert said in messages


KEY = "a-key-that-nobody-may-read"


@pytest.mark.parametrize(
    ("behave", "code", "said"),
    [
        pytest.param(http(f'{{"status":401,"msg":"no such key: {KEY}"}}', 401), 11, "HTTP 401", id="error"),
        pytest.param(entries(entry(), *REST, entry(asset=KEY)), 10, "not in the base: #[secret]", id="asset"),
        pytest.param(http(f'"{KEY} is refused"'), 10, "not shown since it repeats a header", id="nonsense"),
    ],
)
def test_a_gateway_that_repeats_the_key_it_was_sent(
    asking: Desk, server: Node, behave: Behaviour, code: int, said: str
) -> None:
    with closing(Server(by_target({"/health": HEALTHY}, behave))) as gateway:
        headers = {"X-Api-Key": "env:GATEWAY_KEY"}
        asking.profile(port=server.config.cql_port, keyspace=KEYSPACE, gateway=gateway.url, headers=headers)
        asking.env["GATEWAY_KEY"] = KEY
        told = asking.run("asked.ipynb")
    assert {request["x-api-key"] for request in gateway.headers} == {KEY}
    assert told.code == code
    assert said in told.message("G002") + told.message("G003")
    assert KEY not in told.stdout + told.stderr
    for path in asking.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
