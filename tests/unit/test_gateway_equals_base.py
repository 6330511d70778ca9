"""G003: what the gateway shows of a user, compared with the base, moment by moment."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from balancebook.checks import CHECKS, g003_gateway_equals_base
from balancebook.checks.answers import NOT_ALIKE
from balancebook.checks.base import Finding
from balancebook.gateway import GatewayAnswer, GatewayBalance
from balancebook.store.health import ViewHealth
from balancebook.verdict import Verdict
from moments import BTC, ETH, STRANGE, USDT, USER, Moment, Script, at

UNIT = 10**8
NOTE = "Assets from scan of the base; not seen: none."


def own(order: int, available: int | None = 1, held: int | None = 0) -> Any:
    """An entry of whole units."""
    return at(order, *(None if amount is None else amount * UNIT for amount in (available, held)))


BASE = {BTC: [own(1)], ETH: [own(2, 5, 3)]}


def shows(**amounts: str | tuple[str, str | None]) -> GatewayAnswer:
    """shows(BTC="1", ETH=("5", "3")): available, and held (0 by default, None where it shows none)."""
    pairs = {name: amount if isinstance(amount, tuple) else (amount, "0") for name, amount in amounts.items()}
    balances = [
        GatewayBalance(
            name.replace("_", "#"), Decimal(available), None if held is None else Decimal(held), False
        )
        for name, (available, held) in pairs.items()
    ]
    return GatewayAnswer(str(USER), tuple(balances))


RIGHT = shows(BTC="1", ETH=("5", "3"))


def asked(patch: pytest.MonkeyPatch, *moments: Moment, health: str = "healthy", **how: Any) -> Finding:
    patch.setattr(g003_gateway_equals_base, "view_health", lambda *_: ViewHealth(health))  # type: ignore[arg-type]
    ctx = Script(*moments).context(patch, **how)
    return CHECKS["G003"].function(ctx, user_id=USER)


def answers(answer: GatewayAnswer, **more: Any) -> Moment:
    return Moment(BASE, gateway=answer, **more)


def test_what_equals_the_base_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, answers(RIGHT))
    assert found.verdict is Verdict.PASS
    assert found.message.startswith(f"All 2 assets of user {USER} equal the base. Assets from")
    assert found.counts == {"assets_in_base": 2, "assets_returned": 2, "lost": 0, "wrong": 0}


def test_a_difference_that_lasts_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, answers(shows(BTC="2", _77="4")))
    assert found.verdict is Verdict.FAIL
    assert found.message == "lost: ETH; wrong amount: BTC; not in the base: #77."
    assert found.counts == {"assets_in_base": 2, "assets_returned": 2, "lost": 1, "wrong": 3}
    assert list(found.samples) == [
        {"asset": "ETH", "problem": "lost", "base": "5 (held 3)", "gateway": None},
        {"asset": "BTC", "problem": "wrong amount", "base": "1 (held 0)", "gateway": "2 (held 0)"},
        {"asset": "#77", "problem": "not in the base", "base": None, "gateway": "4 (held 0)"},
    ]


@pytest.mark.parametrize(
    "first", [shows(BTC="1"), shows(BTC="1", ETH="5"), shows(BTC="1", ETH=("5", "3"), _77="1")]
)
def test_a_difference_that_does_not_last_passes(
    monkeypatch: pytest.MonkeyPatch, first: GatewayAnswer
) -> None:
    assert asked(monkeypatch, answers(first), answers(RIGHT)).verdict is Verdict.PASS


def test_wrong_twice_but_not_alike_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, answers(shows(BTC="1")), answers(shows(BTC="1", ETH="5")))
    assert found.verdict is Verdict.UNKNOWN
    assert found.message == f"wrong amount: ETH. It was {NOT_ALIKE}."
    assert [sample["asset"] for sample in found.samples] == ["ETH"]


def test_ahead_each_time_anew_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Moment(BASE | {STRANGE: [own(1, 0)]}, gateway=shows(BTC="1", ETH=("5", "3"), USDT="1"))
    assert asked(monkeypatch, answers(shows(BTC="1", ETH=("5", "3"), _77="1")), later).verdict is Verdict.PASS


def test_any_amount_since_the_first_question_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = {BTC: [own(1), own(2, 7), own(3, 8)], ETH: BASE[ETH]}
    for amount, verdict in {"1": "pass", "7": "pass", "8": "pass", "6": "fail"}.items():
        found = asked(
            monkeypatch,
            answers(shows(BTC="6", ETH=("5", "3"))),
            Moment(moved, gateway=shows(BTC=amount, ETH=("5", "3"))),
        )
        assert (amount, found.verdict) == (amount, verdict)
    # Of the amounts that were right it shows the last.
    assert found.samples[0]["base"] == "8 (held 0)"


def test_an_asset_booked_since_the_scan_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    base = BASE | {USDT: [own(1, 4)]}
    answer = shows(BTC="1", ETH=("5", "3"), USDT="4")
    seen = Moment(base, gateway=answer, listed=(BTC, ETH), known=(USDT,))
    assert asked(monkeypatch, seen).verdict is Verdict.PASS
    missed = Moment(base, gateway=answer, listed=(BTC, ETH), known=())
    assert asked(monkeypatch, missed).message == "not in the base: USDT."
    # And only where the gateway shows one that was not looked at: it may well be left out.
    quiet = Moment(base, gateway=RIGHT, listed=(BTC, ETH), known=(USDT,))
    assert asked(monkeypatch, quiet).counts["assets_in_base"] == 2


def test_zero_may_be_left_out_unless_zeros_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = Moment(BASE | {USDT: [own(1, 0)]}, gateway=RIGHT)
    assert asked(monkeypatch, moment).verdict is Verdict.PASS
    listed = asked(monkeypatch, moment, fields={"zeros": "listed"})
    assert (listed.verdict, listed.message) == (Verdict.FAIL, "lost: USDT.")


def test_zero_at_one_moment_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Moment(BASE | {USDT: [own(1, 3)]}, gateway=RIGHT)
    emptied = Moment(BASE | {USDT: [own(1, 3), own(2, 0)]}, gateway=RIGHT)
    assert asked(monkeypatch, first, emptied).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("extra", "passes"), [(("0", "0"), True), (("0", None), True), (("0", "1"), False), (("1", "0"), False)]
)
def test_a_zero_that_the_base_has_not_is_nothing(
    monkeypatch: pytest.MonkeyPatch, extra: tuple[str, str | None], passes: bool
) -> None:
    found = asked(monkeypatch, answers(shows(BTC="1", ETH=("5", "3"), USDT=extra)))
    assert found.verdict == ("pass" if passes else "fail")


def test_nothing_shown_of_nothing_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, Moment({}, gateway=shows()))
    assert found.verdict is Verdict.UNKNOWN
    assert found.message.startswith(f"The gateway shows nothing for user {USER}, who has no asset to show.")
    assert found.counts["assets_returned"] == 0
    assert asked(monkeypatch, Moment({}, gateway=shows(BTC="1"))).verdict is Verdict.FAIL


def test_what_the_gateway_does_not_show_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = shows(BTC=("1", None), ETH=("5", None))
    found = asked(monkeypatch, answers(answer), fields={"held": None})
    assert found.verdict is Verdict.PASS
    assert "Held amounts are not compared: the gateway shows none." in found.message
    wrong = asked(monkeypatch, answers(shows(BTC=("1", None), ETH=("4", None))), fields={"held": None})
    assert wrong.samples[0]["gateway"] == "4"


def test_a_ledger_that_holds_nothing_back_has_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where it has no such column, nothing is compared, and nothing is said of it.
    base = {BTC: [own(1, 1, None)], ETH: [own(1, 0, None)]}
    found = asked(monkeypatch, Moment(base, gateway=shows(BTC="1")), held=None)
    assert found.verdict is Verdict.PASS
    assert "Held" not in found.message
    assert asked(monkeypatch, Moment(base, gateway=shows(BTC=("1", "1"))), held=None).verdict is Verdict.FAIL


def test_a_null_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, Moment({BTC: [own(1, None)]}, gateway=shows(BTC="0")))
    assert found.samples == [
        {"asset": "BTC", "problem": "wrong amount", "base": "null (held 0)", "gateway": "0 (held 0)"}
    ]
    assert asked(monkeypatch, Moment({BTC: [own(1, None)]}, gateway=shows())).message == "lost: BTC."


LIMIT_ONE = " The answer is what PER PARTITION LIMIT 1 on the view gives: one row per partition"
OTHER_VIEW = " The view has no other row of this user: it is the view that differs from the base, see V005."


def why(
    patch: pytest.MonkeyPatch, queries: Mapping[str, Any], answer: GatewayAnswer | None = None, **how: Any
) -> str:
    """What is said after the sentence of a gateway that lost ETH."""
    said = asked(patch, answers(answer or shows(BTC="1"), queries=queries), **how).message
    assert said.startswith("lost: ")
    return said.partition(".")[2]


ONE_ROW = {BTC: own(1)}


def test_the_query_is_blamed_where_the_answer_is_what_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why(monkeypatch, {"seed_limit_one": ONE_ROW}).startswith(LIMIT_ONE)
    # Another row, another amount, or a row more: it is another fault.
    for other in ({ETH: own(2, 5, 3)}, {BTC: own(1, 2)}, ONE_ROW | {USDT: own(1)}, {}):
        assert why(monkeypatch, {"seed_limit_one": other}) == ""


def test_the_view_is_blamed_where_it_has_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why(monkeypatch, {"seed_limit_one": ONE_ROW, "group_by": ONE_ROW}) == OTHER_VIEW


def test_no_query_is_blamed_of_a_view_that_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = {"seed_limit_one": ONE_ROW}
    assert why(monkeypatch, queries, health="building") == " By the server the view is being built: see V003."
    assert why(monkeypatch, queries, health="missing") == " By the server the view is missing: see V003."
    assert why(monkeypatch, queries, health="unknown").startswith(LIMIT_ONE)


def test_no_query_is_blamed_where_the_partition_is_not_the_account_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queries = {"seed_limit_one": ONE_ROW}
    for partition in (("user_id", "asset_id"), ("asset_id",)):
        assert why(monkeypatch, queries, partition=partition) == ""


def test_no_query_is_blamed_for_an_empty_answer_or_for_wrong_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why(monkeypatch, {"seed_limit_one": {}}, shows()) == ""
    found = asked(monkeypatch, answers(shows(BTC="2", ETH=("5", "3")), queries={"seed_limit_one": ONE_ROW}))
    assert found.message == "wrong amount: BTC."


def test_a_zero_left_out_is_no_lost_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {BTC: [own(1)], USDT: [own(1, 0)]}
    found = asked(monkeypatch, Moment(base, {"seed_limit_one": {BTC: own(1, 2)}}, shows(BTC="2")))
    assert found.message == "wrong amount: BTC."


def test_a_query_without_held_amounts_is_told_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {BTC: [own(1, 1, None)], ETH: [own(2, 5, None)]}
    moment = Moment(base, {"seed_limit_one": {BTC: own(1, 1, None)}}, shows(BTC="1"))
    assert LIMIT_ONE in asked(monkeypatch, moment, held=None).message
