"""The client by other contracts than the default: each mapping, and each answer that is refused under it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from balancebook.assets import Asset, Registry
from balancebook.checks.shown import asset_name
from balancebook.errors import BalancebookError
from balancebook.gateway import GatewayAnswer, GatewayBalance, GatewayClient, GatewayError, Probe
from balancebook.gateway_settings import GatewaySettings
from balancebook.profile_parts import Secret, SettingsError
from scripted_gateway import Behaviour, Server, entries, entry, http

OWNER = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")
KEY = "sesame-0815-open"
# As of an exchange that does everything otherwise.
REST: dict[str, Any] = {
    "balances": "balances",
    "asset": "currency",
    "available": "free",
    "held": "",
    "raw": "",
    "account": ["account"],
    "status": "",
    "message": "error.message",
    "health": "state",
}
SENT = {"account": str(OWNER), "balances": [{"currency": "BTC", "free": "1.50"}]}


@contextmanager
def client_of(
    behave: Behaviour, fields: dict[str, Any] | None = None, **more: Any
) -> Iterator[tuple[GatewayClient, Server]]:
    with closing(Server(behave)) as server:
        settings = GatewaySettings.model_validate(
            {"url": server.url, "timeout_s": 2, "fields": fields or {}, **more}
        )
        with GatewayClient(settings) as client:
            yield client, server


def sends(document: object, status: int = 200) -> Behaviour:
    return http(document if isinstance(document, str) else json.dumps(document), status)


def refused(behave: Behaviour, /, asked: object = 1001, **fields: Any) -> GatewayError:
    with client_of(behave, fields) as (client, _), pytest.raises(GatewayError) as caught:
        client.balance(asked)
    assert str(caught.value).isprintable()
    return caught.value


def amounts(behave: Behaviour, **fields: Any) -> list[Decimal]:
    with client_of(behave, fields) as (client, _):
        return [balance.available for balance in client.balance(1001).balances]


def test_another_contract() -> None:
    path = "/v2/accounts/{account}/balances"
    with client_of(sends(SENT), REST, balance_path=path) as (client, server):
        answer = client.balance(OWNER)
    assert server.targets == [f"/v2/accounts/{OWNER}/balances"]
    balance = GatewayBalance("BTC", Decimal("1.50"), held=None, raw=False)
    assert answer == GatewayAnswer(str(OWNER), (balance,))


def test_the_document_may_be_the_list_itself_and_places_may_lie_deep() -> None:
    deep = {"a": {"b": {"c": "1.5", "d": "0"}}, "of": {"coin": "BTC"}}
    fields = {"available": "a.b.c", "held": "a.b.d", "asset": "of.coin", "status": ""}
    assert amounts(sends([deep]), balances="", **fields) == [Decimal("1.5")]
    assert amounts(sends({"x": {"y": [deep]}}), balances="x.y", **fields) == [Decimal("1.5")]


@pytest.mark.parametrize(
    ("document", "balances"),
    [({"data": []}, ""), ("null", ""), ([], "data"), ({"x": []}, "x.y"), ({"x": {"y": {}}}, "x.y")],
)
def test_balances_that_are_not_where_they_should_be(document: object, balances: str) -> None:
    assert refused(sends(document), balances=balances, status="").kind == "bad_shape"


@pytest.mark.parametrize(("balances", "said"), [("data", "`data`"), ("", "the list")])
def test_the_place_of_a_wrong_entry_is_named(balances: str, said: str) -> None:
    document: object = {"data": [5]} if balances else [5]
    error = refused(sends(document), balances=balances, status="", message="")
    assert f"has an entry of {said} that is no object" in str(error)


@pytest.mark.parametrize(
    ("sent", "ok", "kind"),
    [
        ("200", 200, None),
        ('"SUCCESS"', "SUCCESS", None),
        ("true", True, None),
        ("false", False, None),
        ("0", 200, "error_status"),
        ('"ERROR"', "SUCCESS", "error_status"),
        ("false", True, "error_status"),
        # A success is of one type: what is compared loosely is true by luck.
        ("1", True, "bad_shape"),
        ("true", 1, "bad_shape"),
        ("0", False, "bad_shape"),
        ('"0"', 0, "bad_shape"),
        ("0", "0", "bad_shape"),
        ("null", True, "bad_shape"),
    ],
)
def test_what_a_success_is(sent: str, ok: object, kind: str | None) -> None:
    answer = sends('{"data": [], "result": {"code": ' + sent + '}, "why": "so"}')
    fields = {"status": "result.code", "message": "why", "ok": ok}
    if kind is None:
        assert amounts(answer, **fields) == []
    else:
        error = refused(answer, **fields)
        assert (error.kind, "so" in error.message) == (kind, kind == "error_status")


def test_a_contract_without_messages() -> None:
    assert amounts(sends({"status": 0, "data": []}), message="") == []
    assert refused(sends({"status": 7, "data": []}), message="").message.endswith("answered with status 7.")


@pytest.mark.parametrize(
    ("literal", "amount"),
    [
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        ("9007199254740993", "9007199254740993"),
        ("0.000000000000000001", "1E-18"),
        ("1E-18", "1E-18"),
        ("1e3", "1000"),
        ("-0.5", "-0.5"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ],
)
def test_a_json_number_is_read_exactly_from_its_literal(literal: str, amount: str) -> None:
    answer = sends('{"status":0,"msg":"ok","data":[{"asset":"BTC","avail":' + literal + ',"frozen":0}]}')
    (found,) = amounts(answer, amounts="number")
    assert found == Decimal(amount)


@pytest.mark.parametrize(
    ("literal", "kind"),
    [
        ('"1.5"', "bad_number"),
        ("-0", "bad_number"),
        ("-0.0", "bad_number"),
        ("-0e5", "bad_number"),
        ("1e9999", "bad_number"),
        ("NaN", "bad_number"),
        ("Infinity", "bad_number"),
        ("01", "not_json"),
        ("true", "bad_shape"),
        ("null", "bad_shape"),
        ("[1]", "bad_shape"),
    ],
)
def test_a_number_that_is_no_amount(literal: str, kind: str) -> None:
    answer = sends('{"status":0,"msg":"ok","data":[{"asset":"BTC","avail":' + literal + ',"frozen":0}]}')
    assert refused(answer, amounts="number").kind == kind


def test_raw_units_are_integers_of_every_asset() -> None:
    assert amounts(entries(entry(avail="150000000")), units="raw") == [Decimal(150_000_000)]
    assert refused(entries(entry(avail="1.5")), units="raw").kind == "bad_number"
    number = sends('{"status":0,"msg":"ok","data":[{"asset":"BTC","avail":1e3,"frozen":0}]}')
    assert refused(number, units="raw", amounts="number").kind == "bad_number"


def test_asset_ids_may_be_json_integers() -> None:
    fields = {"assets": "number", "asset": "id", "held": ""}
    with client_of(entries({"id": 77, "avail": "1"}), fields) as (client, _):
        assert client.balance(1001).balances[0].asset == "77"
    for wrong in ("77", 7.5, None, True):
        assert refused(entries({"id": wrong, "avail": "1"}), **fields).kind == "bad_shape"


def test_an_asset_is_known_by_its_symbol_first_then_by_its_id() -> None:
    registry = Registry((Asset(1, "BTC", 8, 3), Asset(2, "1", 8, 3), Asset("XBT", "XX", 8, 3)))
    names = {given: asset_name(given, registry) for given in ("BTC", "1", "2", "XBT", "77", "#77", "btc")}
    assert names == {"BTC": "BTC", "1": "1", "2": "1", "XBT": "XX", "77": "#77", "#77": "#77", "btc": "#btc"}


@pytest.mark.parametrize(
    ("account", "said", "right"),
    [
        (OWNER, str(OWNER), True),
        (OWNER, str(OWNER).upper(), True),
        (str(OWNER), str(OWNER).upper(), True),
        (OWNER, str(UUID(int=1)), False),
        (OWNER, "me", False),
        (OWNER, None, False),
        (1001, 1001, True),
        (1001, "1001", True),
        (1001, "01001", False),
        (1001, 1001.0, False),
        ("alice", "alice", True),
        ("alice", "Alice", False),
    ],
)
def test_whose_balances_they_are(account: object, said: object, right: bool) -> None:
    for document in (
        {"holder": {"id": said}, "balances": []},
        {"balances": [{"currency": "BTC", "free": "1", "holder": {"id": said}}]},
    ):
        fields = REST | {"account": ["holder.id"]}
        if right:
            with client_of(sends(document), fields) as (client, _):
                client.balance(account)
        else:
            assert refused(sends(document), asked=account, **fields).kind == "wrong_user"


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, "denied", "denies an answer: HTTP 401 (no key)"),
        (403, "denied", "HTTP 403"),
        (429, "denied", "HTTP 429"),
        (404, "http_status", "HTTP 404 (no key)"),
        (500, "http_status", "HTTP 500"),
        (201, "http_status", "HTTP 201"),
    ],
)
def test_the_http_status_alone_may_say_how_it_went(status: int, kind: str, says: str) -> None:
    error = refused(sends({"error": {"message": "no key"}}, status), **REST)
    assert (error.kind, says in error.message) == (kind, True)


def test_an_account_that_the_gateway_does_not_know() -> None:
    unknown = sends({"error": "no such account"}, 404)
    with client_of(unknown, unknown_account_status=404) as (client, _):
        assert client.balance(1001) == GatewayAnswer("1001", ())
    with client_of(http("<html>", 404, "Content-Type: text/html\r\n"), unknown_account_status=404) as (
        client,
        _,
    ):
        with pytest.raises(GatewayError) as caught:
            client.balance(1001)
        assert caught.value.kind == "not_json"
    for status, said in ((404, None), (410, 404)):
        with client_of(sends({}, status), unknown_account_status=said) as (client, _):
            with pytest.raises(GatewayError) as caught:
                client.balance(1001)
            assert caught.value.kind == "http_status"


@pytest.mark.parametrize(
    ("behave", "probe"),
    [
        (sends({"error": {"message": "bad"}}, 400), Probe(400, False, False)),
        (http("Not Found", 404, "Content-Type: text/plain\r\n"), Probe(404, False, False)),
        (sends(SENT), Probe(200, True, True)),
        (sends({"account": "x", "balances": []}), Probe(200, True, False)),
        (sends(SENT, 400), Probe(400, False, True)),
        (sends(SENT, 299), Probe(299, True, True)),
        (sends(SENT, 300), Probe(300, False, True)),
    ],
)
def test_a_probe_where_the_http_status_alone_decides(behave: Behaviour, probe: Probe) -> None:
    with client_of(behave, REST) as (client, _):
        assert client.probe("abc") == probe


def test_a_probe_that_is_denied_says_nothing_of_the_question() -> None:
    for fields in ({}, REST):
        with client_of(sends({"status": 1, "msg": "no"}, 401), fields) as (client, _):
            with pytest.raises(GatewayError) as caught:
                client.probe("abc")
            assert caught.value.kind == "denied"


def test_an_error_beside_a_list_has_no_data() -> None:
    fields = {"balances": "", "status": ""}
    with client_of(sends({"error": "bad"}, 400), fields) as (client, _):
        assert client.probe("abc") == Probe(400, False, False)


def test_health_by_another_contract() -> None:
    for status, ok in ((200, True), (503, False)):
        with client_of(sends({"state": "Healthy"}, status), REST, health_path="/v2/health") as (
            client,
            server,
        ):
            health = client.health()
        assert (health.state, health.status, health.ok) == ("Healthy", None, ok)
        assert server.targets == ["/v2/health"]
    with client_of(sends({}), health_path="") as (client, server), pytest.raises(BalancebookError):
        client.health()
    assert server.targets == []


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The headers of a profile, by reference."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    monkeypatch.setenv("GATEWAY_TOKEN", f'Bearer "{KEY}"')
    return {"X-Api-Key": "env:GATEWAY_KEY", "Authorization": "env:GATEWAY_TOKEN"}


def test_headers_are_sent_with_every_question(key: dict[str, str]) -> None:
    with client_of(entries(), headers=key) as (client, server):
        client.balance(1001)
        client.probe(None)
    for sent in server.headers:
        assert (sent["x-api-key"], sent["authorization"]) == (KEY, f'Bearer "{KEY}"')
        assert sent["accept-encoding"] == "identity"


def test_a_header_that_cannot_be_had_is_told_before_anything_is_sent() -> None:
    with client_of(entries(), headers={"X-Api-Key": "env:NOT_SET_ANYWHERE"}) as (client, server):
        for ask in (lambda: client.balance(1001), client.health, lambda: client.probe("abc")):
            with pytest.raises(SettingsError, match="NOT_SET_ANYWHERE"):
                ask()
    assert server.connections == 0


@pytest.mark.parametrize(
    "behave",
    [
        sends({"status": 7, "msg": f"unknown key {KEY}"}),
        sends({"status": 7, "msg": "x" * 70 + KEY}),
        sends({"status": 401, "msg": f"unknown key {KEY}"}, 401),
        sends({"status": 401, "msg": f'Bearer "{KEY}" is unknown'}, 403),
        sends({"status": 5, "msg": "x" * 70 + KEY}, 500),
        sends("who sends me an " + KEY),
        entries(entry(asset="y" * 75, avail=KEY)),
        entries(entry(), user_id="z" * 70 + KEY),
    ],
)
def test_a_gateway_that_repeats_a_secret_does_not_make_us_repeat_it(
    behave: Behaviour, key: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with client_of(behave, headers=key) as (client, _):
        with pytest.raises(GatewayError) as caught:
            client.balance(1001)
        assert KEY not in repr(client.__dict__["_settings"])
    # Not even its beginning, where a long text is cut.
    assert KEY[:5] not in f"{caught.value} {caplog.text}"


def test_health_that_repeats_a_secret(key: dict[str, str]) -> None:
    with client_of(sends({"status": 0, "msg": "x" * 70 + KEY}), headers=key) as (client, _):
        assert KEY[:5] not in client.health().state


def test_a_secret_that_looks_like_an_amount_spoils_no_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT", "9100")
    with client_of(entries(entry()), headers={"X-Tenant": "env:TENANT"}) as (client, _):
        assert client.balance(1001).balances[0].available == 9100


def test_a_secret_is_a_reference_in_a_profile_made_by_hand(key: dict[str, str]) -> None:
    settings = GatewaySettings.model_validate({"url": "http://h", "headers": key})
    assert settings.headers[0] == ("X-Api-Key", Secret(kind="env", value="GATEWAY_KEY"))
