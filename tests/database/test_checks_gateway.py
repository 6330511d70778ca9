"""G001 to G006 against real gateways: the demo's in both modes, real faults behind it, and servers that lie."""

from __future__ import annotations

import json

import pytest

from balancebook.demo.faults import Injector
from balancebook.settings import Profile
from balancebook.verdict import Verdict
from checking import (
    NOBODY,
    THREE_ASSETS,
    WHOLE,
    Ask,
    Book,
    behind,
    gateway_of,
    key,
    nowhere,
    row,
    unreachable,
)
from gateway_process import running_gateway
from ports import free_ports
from scripted_gateway import Behaviour, by_target, entries, entry, http, in_turn, serving, silent

USERS = {"unknown_user_id": NOBODY, "user_id": THREE_ASSETS}
BALANCE = "/api/user/balance?user_id="


def health(msg: str, status: int = 0, code: int = 200) -> Behaviour:
    return http(json.dumps({"status": status, "msg": msg}), code)


@pytest.mark.check("G001", "pass")
@pytest.mark.check("G002", "pass")
@pytest.mark.check("G003", "pass")
@pytest.mark.check("G004", "pass")
@pytest.mark.check("G005", "pass")
@pytest.mark.check("G006", "pass")
def test_a_gateway_as_it_should_be(ask: Ask, fixed: Profile) -> None:
    found = {
        "G001": ask("G001", fixed),
        "G002": ask("G002", fixed, user_id=THREE_ASSETS),
        "G003": ask("G003", fixed, user_id=THREE_ASSETS),
        "G004": ask("G004", fixed, **USERS),
        "G005": ask("G005", fixed),
        "G006": ask("G006", fixed, user_id=THREE_ASSETS),
    }
    assert {code: str(result.verdict) for code, result in found.items()} == dict.fromkeys(found, "pass")
    assert found["G003"].counts == {"assets_in_base": 3, "assets_returned": 3, "lost": 0, "wrong": 0}
    assert found["G005"].counts == {"asked": 7, "wrong": 0}


@pytest.mark.check("G001", "pass")
@pytest.mark.check("G002", "pass")
@pytest.mark.check("G003", "fail")
@pytest.mark.check("G004", "pass")
@pytest.mark.check("G005", "pass")
@pytest.mark.check("G006", "fail")
def test_the_gateway_of_the_report(ask: Ask, seed: Profile) -> None:
    # This is what the report saw, and why it was all green.
    for code, params in (("G001", {}), ("G002", {"user_id": THREE_ASSETS}), ("G004", USERS), ("G005", {})):
        assert ask(code, seed, **params).verdict is Verdict.PASS
    lost = ask("G003", seed, user_id=THREE_ASSETS)
    assert lost.verdict is Verdict.FAIL
    assert lost.message.startswith(
        "lost: USDT, ETH. The answer is what PER PARTITION LIMIT 1 on the view gives"
    )
    assert lost.counts == {"assets_in_base": 3, "assets_returned": 1, "lost": 2, "wrong": 2}
    assert lost.samples[0] == {
        "asset": "USDT",
        "problem": "lost",
        "base": "10100000 (held 0)",
        "gateway": None,
    }
    assert ask("G006", seed, user_id=THREE_ASSETS).message == "User 1001: USDT not shown, ETH not shown."


@pytest.mark.check("G003", "fail")
def test_real_faults_behind_a_right_gateway(ask: Ask, fixed: Profile, book: Book, fault: Injector) -> None:
    user = 3001
    book(*((user, asset, seq, seq * WHOLE, 0) for asset in (1, 2, 3) for seq in (1, 2)))
    fault.lost(key(user, 3, 1), key(user, 3, 2), key(user, 2, 2))
    fault.mismatch(key(user, 1, 2) | {"frozen": 1})
    fault.orphan(row(user, 77, 1, avail=5))
    result = ask("G003", fixed, user_id=user)
    assert result.verdict is Verdict.FAIL
    assert result.message == "lost: ETH; wrong amount: BTC, USDT; not in the base: #77."
    assert result.counts == {"assets_in_base": 3, "assets_returned": 3, "lost": 1, "wrong": 4}
    assert result.samples[1] == {
        "asset": "BTC",
        "problem": "wrong amount",
        "base": "2 (held 0)",
        "gateway": "2 (held 0.00000001)",
    }


def listing(profile: Profile) -> Profile:
    """The profile of a gateway that lists zeros."""
    gateway = gateway_of(profile)
    fields = gateway.fields.model_copy(update={"zeros": "listed"})
    return profile.model_copy(update={"gateway": gateway.model_copy(update={"fields": fields})})


@pytest.mark.check("G003", "pass")
@pytest.mark.check("G003", "fail")
@pytest.mark.check("G006", "pass")
@pytest.mark.check("G006", "fail")
@pytest.mark.check("G006", "unknown")
def test_zero_equals_absent_unless_zeros_are_listed(ask: Ask, ledger: Profile, book: Book) -> None:
    user = 3011
    book((user, 1, 1, 9100 * WHOLE, 0), (user, 2, 1, 5, 0), (user, 2, 2, 0, 0), (user, 3, 1, 0, 7))
    btc, eth = entry(), entry(asset="ETH", avail="0", frozen="0.00000007")
    with serving(entries(btc, eth)) as url:
        left_out = behind(ledger, url)
        assert ask("G003", left_out, user_id=user).verdict is Verdict.PASS
        named = ask("G006", left_out, user_id=user)
        assert (named.verdict, named.counts["assets"]) == (Verdict.PASS, 2)
        assert ask("G003", listing(left_out), user_id=user).message == "lost: USDT."
        assert ask("G006", listing(left_out), user_id=user).verdict is Verdict.FAIL
    # The other way: a zero of an asset without any entry. What is held is not nothing; a null is not zero.
    with serving(entries(btc, eth, entry(asset="#77", avail="0"))) as url:
        assert ask("G003", behind(ledger, url), user_id=user).verdict is Verdict.PASS
    with serving(entries(btc)) as url:
        assert ask("G003", behind(ledger, url), user_id=user).message.startswith("lost: ETH. ")
    book((user, 2, 3, None, 0))
    with serving(entries(btc, eth)) as url:
        assert ask("G003", behind(ledger, url), user_id=user).message == "lost: USDT."
    book((3012, 2, 1, 0, 0))
    with serving(entries()) as url:
        assert ask("G003", behind(ledger, url), user_id=3012).verdict is Verdict.PASS
        assert ask("G006", behind(ledger, url), user_id=3012).verdict is Verdict.UNKNOWN


@pytest.mark.check("G004", "pass")
@pytest.mark.check("G004", "fail")
@pytest.mark.check("G004", "unknown")
def test_zeros_are_nothing_for_a_user_who_does_not_exist(ask: Ask, ledger: Profile, book: Book) -> None:
    zeros, somebody = entries(entry(avail="0"), entry(asset="USDT", avail="0")), entries(entry())
    known = {f"{BALANCE}{THREE_ASSETS}": somebody}
    with serving(by_target(known, zeros)) as url:
        assert ask("G004", behind(ledger, url), **USERS).verdict is Verdict.PASS
    with serving(by_target(known, entries(entry(avail="0", frozen="1")))) as url:
        assert ask("G004", behind(ledger, url), **USERS).verdict is Verdict.FAIL
    # Whose only balance is zero does not tell empty from down.
    book((3013, 2, 1, 0, 0))
    with serving(entries()) as url:
        alone = ask("G004", behind(ledger, url), unknown_user_id=NOBODY, user_id=3013)
    assert alone.verdict is Verdict.UNKNOWN


@pytest.mark.check("G003", "fail")
def test_the_query_is_blamed_for_its_own_answer_alone(
    ask: Ask, ledger: Profile, seed: Profile, book: Book, fault: Injector
) -> None:
    blamed = "PER PARTITION LIMIT 1"
    assert blamed in ask("G003", seed, user_id=THREE_ASSETS).message
    # The same asset with another amount is not what that query gives.
    with serving(entries(entry(avail="1"))) as url:
        said = ask("G003", behind(ledger, url), user_id=THREE_ASSETS).message
    assert said == "lost: USDT, ETH; wrong amount: BTC."
    # Where the view has no other row, any query on it gives that answer.
    user = 3014
    book((user, 1, 1, 9100 * WHOLE, 0), (user, 2, 1, 5, 0))
    fault.lost(key(user, 2, 1))
    said = ask("G003", seed, user_id=user).message
    assert blamed not in said
    assert "it is the view that differs from the base" in said


@pytest.mark.check("G003", "pass")
def test_what_the_gateway_catches_up_with_is_no_difference(
    ask: Ask, fixed: Profile, book: Book, fault: Injector
) -> None:
    user = 3002
    book((user, 1, 1, WHOLE, 0))
    fault.never_arrived(row(user, 1, 2, avail=2 * WHOLE))
    behind_first = ask("G003", fixed, user_id=user, sleep=lambda _: book((user, 1, 2, 2 * WHOLE, 0)))
    assert behind_first.verdict is Verdict.PASS
    fault.orphan(row(user, 1, 3, avail=3 * WHOLE))

    def overtaken(_: float) -> None:
        book((user, 1, 3, 3 * WHOLE, 0))
        fault.orphan(row(user, 1, 4, avail=4 * WHOLE))

    # The gateway is ahead of the base that was asked, each time anew. What it said first was right; of what it said
    # then nobody can know, since amounts have no order.
    answers = in_turn(*(entries(entry(avail=str(amount))) for amount in (3, 4)))
    with serving(answers) as url:
        ahead = ask("G003", behind(fixed, url), user_id=user, sleep=overtaken)
    assert (ahead.verdict, "but not alike" in ahead.message) == (Verdict.UNKNOWN, True)
    assert ask("G003", fixed, user_id=user).message == "wrong amount: BTC."


@pytest.mark.check("G006", "fail")
@pytest.mark.check("G003", "pass")
def test_an_asset_that_no_registry_knows(ask: Ask, fixed: Profile, seed: Profile, book: Book) -> None:
    book((3003, 77, 1, 123, 0))
    assert ask("G003", fixed, user_id=3003).verdict is Verdict.PASS
    raw = ask("G006", fixed, user_id=3003)
    assert (raw.verdict, raw.message) == (Verdict.FAIL, "User 3003: #77 shown raw.")
    hidden = ask("G006", seed, user_id=3003)
    assert (hidden.verdict, hidden.message) == (Verdict.FAIL, "User 3003: #77 not shown.")


@pytest.mark.check("G004", "fail")
@pytest.mark.check("G003", "fail")
@pytest.mark.check("G001", "fail")
def test_a_gateway_that_calls_a_dead_database_an_empty_account(ask: Ask, ledger: Profile) -> None:
    options = ("--keyspace", ledger.keyspace)
    away = free_ports(1)[0]
    with running_gateway(away, *options, "--mode", "seed") as client:
        profile = behind(ledger, client.base_url)
        assert "it answers empty to all" in ask("G004", profile, **USERS).message
        assert ask("G003", profile, user_id=THREE_ASSETS).message == "lost: BTC, USDT, ETH."
    with running_gateway(away, *options) as client:
        said = ask("G001", behind(ledger, client.base_url))
        assert said.message == "The gateway says Database down, but by the server the view is built."
        result = ask("G004", behind(ledger, client.base_url), **USERS)
        assert (result.verdict, "Database down" in result.message) == (Verdict.UNKNOWN, True)


@pytest.mark.check("G004", "fail")
def test_a_balance_from_nowhere(ask: Ask, fixed: Profile, fault: Injector) -> None:
    fault.orphan(row(3004, 2, 1, avail=WHOLE))
    result = ask("G004", fixed, unknown_user_id=3004, user_id=THREE_ASSETS)
    assert result.verdict is Verdict.FAIL
    assert result.message == "The gateway returns USDT for user 3004, who has no row in the base."


@pytest.mark.check("G004", "unknown")
def test_the_wrong_users_to_ask_about(ask: Ask, fixed: Profile) -> None:
    exists = ask("G004", fixed, unknown_user_id=THREE_ASSETS, user_id=THREE_ASSETS)
    assert (exists.verdict, "name one who does not exist" in exists.message) == (Verdict.UNKNOWN, True)
    poor = ask("G004", fixed, unknown_user_id=NOBODY, user_id=NOBODY - 1)
    assert (poor.verdict, "name one who has" in poor.message) == (Verdict.UNKNOWN, True)


@pytest.mark.check("G006", "unknown")
def test_a_user_without_assets(ask: Ask, fixed: Profile) -> None:
    result = ask("G006", fixed, user_id=NOBODY)
    assert (result.verdict, "name one who has" in result.message) == (Verdict.UNKNOWN, True)


@pytest.mark.check("G001", "fail")
@pytest.mark.parametrize(
    ("said", "message"),
    [
        (health("Rebuilding 37 %", 2, 503), "says Rebuilding, but by the server the view is built"),
        (health("Missing", 1, 503), "says Missing, but by the server the view is built"),
        (health("all good"), "says all good, but by the server the view is built"),
        (health("Healthy", 1), "says Healthy with status 1 and HTTP 200"),
        (health("Healthy", 0, 503), "says Healthy with status 0 and HTTP 503"),
        (http("<html>", 200, "Content-Type: text/html\r\n"), "not application/json"),
    ],
)
def test_health_that_is_not_what_the_view_is(
    ask: Ask, ledger: Profile, said: Behaviour, message: str
) -> None:
    with serving(said) as url:
        result = ask("G001", behind(ledger, url))
    assert result.verdict is Verdict.FAIL
    assert message in result.message


@pytest.mark.check("G001", "pass")
def test_a_gateway_that_had_not_looked_yet(ask: Ask, ledger: Profile) -> None:
    waited: list[float] = []
    with serving(in_turn(health("Rebuilding 99 %", 2, 503), health("Healthy"))) as url:
        assert ask("G001", behind(ledger, url), sleep=waited.append).verdict is Verdict.PASS
    assert waited == [ledger.grace_s]


@pytest.mark.check("G001", "unknown")
def test_health_that_nothing_can_be_held_against(ask: Ask, fixed: Profile) -> None:
    assert ask("G001", unreachable(fixed)).verdict is Verdict.UNKNOWN


@pytest.mark.check("G002", "fail")
@pytest.mark.check("G003", "unknown")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (entries(entry(), entry(avail="1")), "more than one balance of 'BTC'"),
        (entries(entry(avail=9100)), "the JSON number 9100"),
        (entries(entry(avail="9.1e3")), "no plain decimal"),
        (entries(entry(), user_id=1002), "asked for user 1001 and sent user_id '1002'"),
        (http("<html>login</html>", 200, "Content-Type: text/html\r\n"), "not application/json"),
        (http("", 302, "Location: /login\r\n"), "a redirect"),
    ],
)
def test_answers_that_break_the_contract(ask: Ask, ledger: Profile, answer: Behaviour, said: str) -> None:
    with serving(answer) as url:
        profile = behind(ledger, url)
        result = ask("G002", profile, user_id=THREE_ASSETS)
        assert result.verdict is Verdict.FAIL
        assert said in result.message
        # Nothing is read from an answer that cannot be trusted.
        assert ask("G003", profile, user_id=THREE_ASSETS).verdict is Verdict.UNKNOWN


@pytest.mark.check("G005", "fail")
@pytest.mark.parametrize(
    "answer",
    [
        entries(),
        entries(entry()),
        http('{"status":0,"msg":"ok","data":[]}', 400),
        http('{"status":400,"msg":"bad"}'),
        http('{"status":400,"msg":"bad","data":[{"asset":"BTC"}]}', 400),
        http('{"status":500,"msg":"crashed"}', 500),
        http("Bad Request", 400, "Content-Type: text/plain\r\n"),
    ],
)
def test_bad_input_that_is_not_refused(ask: Ask, ledger: Profile, answer: Behaviour) -> None:
    # All is refused as it should be, but for one question.
    right = http('{"status":400,"msg":"bad user_id"}', 400)
    with serving(by_target({f"{BALANCE}1e3": answer}, right)) as url:
        result = ask("G005", behind(ledger, url))
    assert result.verdict is Verdict.FAIL
    assert result.message == "Not refused as bad input: /api/user/balance?user_id=1e3."
    assert result.counts == {"asked": 7, "wrong": 1}


@pytest.mark.check("G001", "fail")
@pytest.mark.check("G002", "unknown")
@pytest.mark.check("G003", "unknown")
@pytest.mark.check("G004", "unknown")
@pytest.mark.check("G005", "unknown")
@pytest.mark.check("G006", "unknown")
@pytest.mark.parametrize("why", ["refused", "timeout"])
def test_a_gateway_that_does_not_answer(ask: Ask, ledger: Profile, why: str) -> None:
    quick = gateway_of(ledger).model_copy(update={"timeout_s": 0.3})
    with serving(silent) as hanging:
        url = hanging if why == "timeout" else nowhere()
        profile = behind(ledger.model_copy(update={"gateway": quick}), url)
        assert ask("G001", profile).verdict is Verdict.FAIL
        questions = {code: {"user_id": THREE_ASSETS} for code in ("G002", "G003", "G006")}
        for code, params in (questions | {"G004": USERS, "G005": {}}).items():
            result = ask(code, profile, **params)
            assert result.verdict is Verdict.UNKNOWN, result
            assert gateway_of(profile).url in result.message
        # Where no check asks for its health, the first that asks anything says that it is down.
        mute = profile.model_copy(
            update={"gateway": gateway_of(profile).model_copy(update={"health_path": None})}
        )
        assert ask("G002", mute, user_id=THREE_ASSETS).verdict is Verdict.FAIL
        assert ask("G003", mute, user_id=THREE_ASSETS).verdict is Verdict.UNKNOWN
