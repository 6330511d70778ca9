"""Q001 to Q003 on a real ledger: right queries, the known wrong one, and a view with real faults."""

from __future__ import annotations

import pytest

from balancebook.balances import STRATEGIES
from balancebook.demo.faults import Injector
from balancebook.demo.schema import VIEW
from balancebook.settings import Profile, retarget
from balancebook.verdict import Verdict
from checking import NOBODY, THREE_ASSETS, WHOLE, Ask, Book, capped, key, row, unreachable

RIGHT = [name for name, strategy in STRATEGIES.items() if not strategy.known_wrong]
OF_ONE_USER = {"strategy": "group_by", "user_id": THREE_ASSETS}


@pytest.mark.check("Q001", "pass")
@pytest.mark.check("Q002", "pass")
@pytest.mark.check("Q003", "pass")
@pytest.mark.parametrize("strategy", RIGHT)
@pytest.mark.parametrize("assets_from", ["scan", "known"])
def test_a_right_query_passes(ask: Ask, ledger: Profile, strategy: str, assets_from: str) -> None:
    how = {"strategy": strategy, "assets_from": assets_from}
    rows = ask("Q001", ledger, user_id=THREE_ASSETS, **how)
    assert (rows.verdict, rows.counts) == (Verdict.PASS, {"assets": 3, "returned": 3, "wrong": 0})
    values = ask("Q003", ledger, user_id=THREE_ASSETS, **how)
    assert (values.verdict, values.counts) == (Verdict.PASS, {"rows": 3, "wrong": 0})
    nothing = ask("Q002", ledger, unknown_user_id=NOBODY, **how)
    assert (nothing.verdict, nothing.counts) == (Verdict.PASS, {"returned": 0, "wrong": 0})


@pytest.mark.check("Q001", "fail")
@pytest.mark.check("Q003", "pass")
def test_the_query_of_the_report_loses_two_assets(ask: Ask, ledger: Profile) -> None:
    result = ask("Q001", ledger, strategy="seed_limit_one", user_id=THREE_ASSETS)
    assert result.verdict is Verdict.FAIL
    assert result.message == "seed_limit_one: USDT lost, ETH lost."
    assert result.counts == {"assets": 3, "returned": 1, "wrong": 2}
    # What it does return is true: Q003 alone would not have seen it.
    assert ask("Q003", ledger, strategy="seed_limit_one", user_id=THREE_ASSETS).verdict is Verdict.PASS


@pytest.mark.check("Q001", "fail")
@pytest.mark.check("Q003", "fail")
def test_real_faults_in_the_view(ask: Ask, ledger: Profile, book: Book, fault: Injector) -> None:
    user = 2001
    book(*((user, asset, seq, 10 * seq, 1) for asset in (1, 2, 3) for seq in (1, 2)))
    fault.lost(key(user, 1, 1), key(user, 1, 2), key(user, 2, 2))
    fault.orphan(row(user, 3, 9, avail=90), row(user, 77, 1, avail=5))
    params = {"strategy": "group_by", "user_id": user}
    rows = ask("Q001", ledger, **params)
    assert rows.verdict is Verdict.FAIL
    # Worst first: lost, then what the base has not, then what is behind it.
    assert rows.message == ("group_by: BTC lost, #77 not in the base, ETH newer than the base, USDT stale.")
    assert rows.samples[-1] == {"asset": "USDT", "problem": "stale", "base_order": 2, "answer_order": 1}
    values = ask("Q003", ledger, **params)
    assert values.verdict is Verdict.FAIL
    assert [(cell["asset"], cell["order"], cell["column"]) for cell in values.samples] == [
        ("ETH", 9, None),
        ("#77", 1, None),
    ]


@pytest.mark.check("Q003", "fail")
def test_wrong_cells_in_the_view(ask: Ask, ledger: Profile, book: Book, fault: Injector) -> None:
    user = 2002
    book((user, 1, 1, 500, 7), (user, 2, 1, 600, 0), (user, 3, 1, 0, 0))
    fault.mismatch(key(user, 1, 1) | {"avail": 499})
    cells = f"DELETE frozen, created_at FROM {{table}} WHERE user_id = {user} AND asset_id = 2 AND seq = 1"
    fault.import_cells(VIEW, [(cells, ())])
    params = {"strategy": "group_by", "user_id": user}
    assert ask("Q001", ledger, **params).verdict is Verdict.PASS
    result = ask("Q003", ledger, **params)
    assert result.verdict is Verdict.FAIL
    assert result.message == "group_by: BTC, USDT not as in the base."
    assert [(cell["asset"], cell["column"], cell["base"], cell["answer"]) for cell in result.samples] == [
        ("BTC", "available", 500, 499),
        ("USDT", "held", 0, None),
        ("USDT", "time", 1001, None),
    ]


@pytest.mark.check("Q001", "pass")
@pytest.mark.check("Q003", "pass")
def test_a_view_that_catches_up_within_the_grace_period(
    ask: Ask, ledger: Profile, book: Book, fault: Injector
) -> None:
    user = 2003
    book((user, 1, 1, 10, 0))
    params = {"strategy": "group_by", "user_id": user}
    fault.never_arrived(row(user, 1, 2, avail=20))
    waited: list[float] = []

    def catch_up(seconds: float) -> None:
        waited.append(seconds)
        book((user, 1, 2, 20, 0))

    assert ask("Q001", ledger, sleep=catch_up, **params).verdict is Verdict.PASS
    fault.mismatch(key(user, 1, 2) | {"avail": 21})
    assert ask("Q003", ledger, sleep=catch_up, **params).verdict is Verdict.PASS
    assert waited == [ledger.grace_s] * 2


@pytest.mark.check("Q001", "unknown")
@pytest.mark.check("Q003", "unknown")
def test_an_answer_that_is_wrong_twice_and_not_alike_is_not_right(
    ask: Ask, ledger: Profile, book: Book, fault: Injector
) -> None:
    user = 2006
    params = {"strategy": "group_by", "user_id": user}
    rows = [(user, asset, 1, 10, 0) for asset in (1, 2)]
    book(*rows)
    fault.lost(key(user, 1, 1))

    def another_is_lost(_: float) -> None:
        book(*rows)
        fault.lost(key(user, 2, 1))

    found = ask("Q001", ledger, sleep=another_is_lost, **params)
    assert (found.verdict, "USDT lost: wrong at both reads" in found.message) == (Verdict.UNKNOWN, True)
    book(*rows)
    fault.mismatch(key(user, 1, 1) | {"avail": 11})

    def another_is_wrong(_: float) -> None:
        book(*rows)
        fault.mismatch(key(user, 2, 1) | {"avail": 11})

    found = ask("Q003", ledger, sleep=another_is_wrong, **params)
    assert (found.verdict, "USDT wrong at both reads" in found.message) == (Verdict.UNKNOWN, True)


@pytest.mark.check("Q001", "pass")
@pytest.mark.check("Q003", "pass")
def test_a_view_ahead_of_the_base_that_was_asked(
    ask: Ask, ledger: Profile, book: Book, fault: Injector
) -> None:
    """As with a replica of the base that is behind: the row shows in the view first, and each time anew."""
    user = 2004
    book((user, 1, 1, 10, 0))
    fault.orphan(row(user, 1, 2, avail=20))
    params = {"strategy": "group_by", "user_id": user}

    def overtaken(seq: int) -> None:
        book((user, 1, seq, 10 * seq, 0))
        fault.orphan(row(user, 1, seq + 1, avail=10 * seq + 10))

    assert ask("Q001", ledger, sleep=lambda _: overtaken(2), **params).verdict is Verdict.PASS
    assert ask("Q003", ledger, sleep=lambda _: overtaken(3), **params).verdict is Verdict.PASS
    # The row that nothing follows is left over.
    assert ask("Q001", ledger, **params).message == "group_by: BTC newer than the base."


@pytest.mark.check("Q001", "unknown")
def test_assets_that_cannot_be_listed(ask: Ask, ledger: Profile) -> None:
    for profile, said in (
        (capped(ledger, 1), "more partitions than the budget of 1"),
        (unreachable(ledger), "connection refused"),
        (retarget(ledger, view="gone"), "does not exist"),
    ):
        result = ask("Q001", profile, **OF_ONE_USER)
        assert result.verdict is Verdict.UNKNOWN, result
        assert said in result.message
    assert ask("Q001", capped(ledger, 1), assets_from="known", **OF_ONE_USER).verdict is Verdict.PASS


@pytest.mark.check("Q001", "unknown")
def test_a_strategy_that_is_not_there(ask: Ask, ledger: Profile) -> None:
    result = ask("Q001", ledger, strategy="groupby", user_id=THREE_ASSETS)
    assert result.verdict is Verdict.UNKNOWN
    assert "There is no strategy 'groupby'" in result.message


@pytest.mark.check("Q002", "fail")
def test_an_orphan_of_a_user_who_does_not_exist(ask: Ask, ledger: Profile, fault: Injector) -> None:
    fault.orphan(row(2005, 2, 1, avail=WHOLE))
    result = ask("Q002", ledger, strategy="group_by", unknown_user_id=2005)
    assert result.verdict is Verdict.FAIL
    assert result.message == "group_by returns USDT for user 2005, who has no row in the base."


@pytest.mark.check("Q002", "unknown")
def test_a_user_who_does_exist_answers_nothing(ask: Ask, ledger: Profile) -> None:
    result = ask("Q002", ledger, strategy="group_by", unknown_user_id=THREE_ASSETS)
    assert result.verdict is Verdict.UNKNOWN
    assert "User 1001 has 3 assets in the base" in result.message


@pytest.mark.check("Q003", "unknown")
def test_a_user_without_rows_has_no_values(ask: Ask, ledger: Profile) -> None:
    result = ask("Q003", ledger, strategy="group_by", user_id=NOBODY)
    assert result.verdict is Verdict.UNKNOWN
    assert "no value to compare" in result.message
    assert ask("Q003", unreachable(ledger), **OF_ONE_USER).verdict is Verdict.UNKNOWN
