"""G001 to G006 on an exchange that does everything otherwise: uuid owners in the path, text assets, decimal money,
nothing held, a key in a header, the HTTP status alone. Behind it the demo's second contract, and servers that lie."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cassandra.cluster import Session

from balancebook.checks import NotAsked
from balancebook.demo.schema import WALLETS, create_schema
from balancebook.settings import EMBEDDED_WALLETS, Profile, Secret, load_profile, retarget
from balancebook.verdict import Verdict
from checking import GRACE_S, Ask, behind, gateway_of, nowhere
from gateway_process import running_gateway
from ports import free_ports
from scripted_gateway import Behaviour, by_target, http, serving

OWNER = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")
NOBODY = UUID(int=7)
ASKED = f"/v2/accounts/{OWNER}/balances"
COINS = {"eth": Decimal("1E-18"), "usdt": Decimal("10100000"), "xbt": Decimal("1.10")}
KEY = "key-of-the-wallets"
PARAMS: dict[str, dict[str, Any]] = {
    "G001": {},
    "G002": {"user_id": str(OWNER)},
    "G003": {"user_id": str(OWNER)},
    "G004": {"unknown_user_id": str(NOBODY), "user_id": str(OWNER)},
    "G005": {},
    "G006": {"user_id": str(OWNER)},
}
NAMED = (
    "CREATE TABLE {0}.wallet_journal (owner text, coin text, entry_no bigint, balance decimal, booked_at timestamp,"
    " PRIMARY KEY ((owner, coin), entry_no))",
    "CREATE MATERIALIZED VIEW {0}.wallets_by_owner AS SELECT owner, coin, entry_no, balance FROM {0}.wallet_journal"
    " WHERE owner IS NOT NULL AND coin IS NOT NULL AND entry_no IS NOT NULL PRIMARY KEY (owner, coin, entry_no)",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY + "\n")
    return path


@pytest.fixture(scope="module")
def wallets(environment: dict[str, str], session: Session, key: Path) -> Profile:
    """A profile of the second exchange in a keyspace of its own, with a gateway that is not there."""
    name = f"wallets_{os.getpid()}"
    create_schema(session.execute, name, exchange=WALLETS)
    insert = session.prepare(
        f"INSERT INTO {name}.wallet_journal (owner, coin, entry_no, balance) VALUES (?, ?, ?, ?)"
    )
    for coin, balance in COINS.items():
        for number, amount in enumerate((Decimal(5), balance)):
            session.execute(insert, (OWNER, coin, number, amount))
    profile = load_profile(EMBEDDED_WALLETS, env=environment).model_copy(update={"grace_s": GRACE_S})
    return at(retarget(profile, keyspace=name), nowhere(), key)


def at(wallets: Profile, url: object, key: Path, fields: Mapping[str, str] | None = None) -> Profile:
    """The profile with its gateway there, the key of that file, and these fields changed."""
    moved = behind(wallets, url)
    changes: dict[str, object] = {"headers": (("X-Api-Key", Secret(kind="file", value=str(key))),)}
    if fields:
        changes["fields"] = gateway_of(wallets).fields.model_copy(update=fields)
    return moved.model_copy(update={"gateway": gateway_of(moved).model_copy(update=changes)})


@contextmanager
def served(wallets: Profile, key: Path, *options: str, port: int = 0) -> Iterator[Profile]:
    """The profile with the demo gateway behind it."""
    known = ("--wallets-keyspace", wallets.keyspace, "--api-key-file", str(key))
    with running_gateway(port or wallets.port, *known, *options) as client:
        yield at(wallets, client.base_url, key)


@pytest.fixture(scope="module")
def right(wallets: Profile, key: Path) -> Iterator[Profile]:
    with served(wallets, key) as profile:
        yield profile


def answer(*balances: object, **more: object) -> Behaviour:
    return http(json.dumps({"account": str(OWNER), "balances": balances, **more}))


def shown(coin: str, amount: str) -> dict[str, str]:
    return {"currency": coin, "free": amount}


@pytest.mark.check("G001", "pass")
@pytest.mark.check("G002", "pass")
@pytest.mark.check("G003", "pass")
@pytest.mark.check("G004", "pass")
@pytest.mark.check("G005", "pass")
@pytest.mark.check("G006", "pass")
def test_a_gateway_as_it_should_be(ask: Ask, right: Profile) -> None:
    found = {code: ask(code, right, **params) for code, params in PARAMS.items()}
    assert {code: str(result.verdict) for code, result in found.items()} == dict.fromkeys(found, "pass"), (
        found
    )
    assert found["G003"].counts == {"assets_in_base": 3, "assets_returned": 3, "lost": 0, "wrong": 0}
    assert found["G005"].counts == {"asked": 6, "wrong": 0}


@pytest.mark.check("G003", "fail")
@pytest.mark.check("G006", "fail")
def test_a_gateway_that_loses_assets(ask: Ask, wallets: Profile, key: Path) -> None:
    with served(wallets, key, "--mode", "seed") as seed:
        lost = ask("G003", seed, **PARAMS["G003"])
        assert lost.message.startswith(
            "lost: USDT, BTC. The answer is what PER PARTITION LIMIT 1 on the view gives"
        )
        assert lost.samples[0] == {
            "asset": "USDT",
            "problem": "lost",
            "base": "10100000 (held 0)",
            "gateway": None,
        }
        hidden = ask("G006", seed, **PARAMS["G006"])
        assert hidden.message == f"User {OWNER}: USDT not shown, BTC not shown."


@pytest.mark.check("G001", "fail")
@pytest.mark.check("G004", "fail")
def test_a_gateway_of_another_view_and_one_that_calls_a_dead_database_empty(
    ask: Ask, wallets: Profile, key: Path
) -> None:
    with served(wallets, key, "--wallets-view", "nothing") as elsewhere:
        assert (
            ask("G001", elsewhere).message == "The gateway says Missing, but by the server the view is built."
        )
    with served(wallets, key, "--mode", "seed", port=free_ports(1)[0]) as dead:
        assert "it answers empty to all" in ask("G004", dead, **PARAMS["G004"]).message


@pytest.mark.check("G001", "unknown")
@pytest.mark.check("G002", "unknown")
@pytest.mark.check("G003", "unknown")
@pytest.mark.check("G004", "unknown")
@pytest.mark.check("G005", "unknown")
@pytest.mark.check("G006", "unknown")
def test_a_key_that_the_gateway_does_not_know(ask: Ask, right: Profile, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another-key")
    profile = at(right, gateway_of(right).url, tmp_path / "wrong")
    for code, params in PARAMS.items():
        result = ask(code, profile, **params)
        assert result.verdict is Verdict.UNKNOWN, result
        assert "HTTP 401" in result.message
        assert "another-key" not in result.message


@pytest.mark.check("G001", "fail")
@pytest.mark.check("G002", "unknown")
@pytest.mark.check("G003", "unknown")
@pytest.mark.check("G004", "unknown")
@pytest.mark.check("G005", "unknown")
@pytest.mark.check("G006", "unknown")
def test_a_gateway_that_is_down(ask: Ask, wallets: Profile) -> None:
    verdicts = {code: str(ask(code, wallets, **params).verdict) for code, params in PARAMS.items()}
    assert verdicts == dict.fromkeys(PARAMS, "unknown") | {"G001": "fail"}


@pytest.mark.check("G002", "fail")
@pytest.mark.check("G003", "unknown")
@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (answer(shown("BTC", "1.1"), account=str(NOBODY)), "asked for user"),
        (answer({"currency": "BTC", "free": 1.1}), "the JSON number 1.1"),
        (answer(shown("BTC", "1"), shown("BTC", "1")), "more than one balance of 'BTC'"),
        (http("[]"), "has no list `balances`"),
    ],
)
def test_answers_that_break_the_contract(
    ask: Ask, wallets: Profile, key: Path, behave: Behaviour, said: str
) -> None:
    with serving(behave) as url:
        broken = ask("G002", at(wallets, url, key), **PARAMS["G002"])
        assert (broken.verdict, said in broken.message) == (Verdict.FAIL, True), broken
        assert ask("G003", at(wallets, url, key), **PARAMS["G003"]).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("amounts", "fields", "verdict"),
    [
        (("1E-18", "10100000.00", "1.1"), {"amounts": "number"}, "pass"),
        (("1.0000000000000001E-18", "10100000", "1.1"), {"amounts": "number"}, "fail"),
        (('"1"', '"101000000000000000"', '"110000000"'), {"units": "raw"}, "pass"),
        (('"1"', '"101000000000000000"', '"110000001"'), {"units": "raw"}, "fail"),
    ],
)
def test_amounts_are_exact_however_they_are_written(
    ask: Ask, wallets: Profile, key: Path, amounts: tuple[str, ...], fields: dict[str, str], verdict: str
) -> None:
    rows = ", ".join(
        f'{{"currency": "{coin}", "free": {amount}}}' for coin, amount in zip(COINS, amounts, strict=True)
    )
    with serving(http('{"balances": [' + rows + "]}")) as url:
        result = ask("G003", at(wallets, url, key, fields), **PARAMS["G003"])
    assert str(result.verdict) == verdict, result


@pytest.mark.check("G005", "fail")
@pytest.mark.parametrize(
    "behave", [answer(), http("{}", 500), http(json.dumps({"balances": [shown("BTC", "1")]}), 400)]
)
def test_a_malformed_uuid_that_is_not_refused(
    ask: Ask, wallets: Profile, key: Path, behave: Behaviour
) -> None:
    bad = "/v2/accounts/00000000-0000-4000-8000-00000000000g/balances"
    with serving(by_target({bad: behave}, http('{"error": {"message": "no uuid"}}', 400))) as url:
        result = ask("G005", at(wallets, url, key))
    assert (result.verdict, result.message) == (Verdict.FAIL, f"Not refused as bad input: {bad}.")


@pytest.mark.check("G005", "pass")
def test_of_a_text_account_only_the_empty_one_is_bad_for_certain(
    ask: Ask, wallets: Profile, key: Path, session: Session, keyspace: str
) -> None:
    for statement in NAMED:
        session.execute(statement.format(keyspace))
    with serving(http("{}", 404)) as url:
        result = ask("G005", at(retarget(wallets, keyspace=keyspace), url, key))
    assert result.verdict is Verdict.PASS
    assert result.counts == {"asked": 1, "wrong": 0}
    assert "only the empty one is bad for certain" in result.message


@pytest.mark.check("G004", "pass")
@pytest.mark.check("G004", "fail")
@pytest.mark.check("G004", "unknown")
def test_a_gateway_that_says_by_its_status_that_it_knows_nobody_of_the_name(
    ask: Ask, wallets: Profile, key: Path
) -> None:
    stranger, has = http('{"error": "no such account"}', 404), answer(shown("BTC", "1"))
    told = {"unknown_account_status": 404}
    for others, update, verdict in ((has, told, "pass"), (stranger, told, "fail"), (has, {}, "unknown")):
        with serving(by_target({ASKED: others}, stranger)) as url:
            profile = at(wallets, url, key)
            gateway = gateway_of(profile).model_copy(update=update)
            result = ask("G004", profile.model_copy(update={"gateway": gateway}), **PARAMS["G004"])
        assert str(result.verdict) == verdict, result


def test_a_gateway_that_does_not_speak_of_its_health_is_not_asked(ask: Ask, wallets: Profile) -> None:
    gateway = gateway_of(wallets).model_copy(update={"health_path": None})
    with pytest.raises(NotAsked, match="has no health_path"):
        ask("G001", wallets.model_copy(update={"gateway": gateway}))
