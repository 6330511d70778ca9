"""Every strategy compared with the base for a sample of accounts: what is right, wrong, or not known."""

from __future__ import annotations

import pytest

from balancebook.assets import Asset, Registry
from balancebook.balances import STRATEGIES, AccountRefused
from balancebook.balances.cost import Cost
from balancebook.balances.sample import Sample, Sampled
from balancebook.checks import judging
from balancebook.checks.answers import NOT_ALIKE
from balancebook.checks.context import Context
from balancebook.checks.judging import Judged, Judgement, judge, measured
from balancebook.errors import BalancebookError
from balancebook.settings import load_profile
from balancebook.verdict import Verdict
from moments import BTC, ETH, STRANGE, USDT, USER, Moment, Script, at

BASE = {BTC: [at(1), at(2)], ETH: [at(1), at(4)]}
RIGHT = {BTC: at(2), ETH: at(4)}
ONE, OTHERS = "group_by", [name for name in STRATEGIES if name != "group_by"]
PASS = Judgement(Verdict.PASS, rows=2)
BROKEN = BalancebookError("The server says no.", "Ask it.")


def sampled(*accounts: int) -> Sample:
    return Sample(
        tuple(Sampled(account, ("named",), (BTC, ETH), 6) for account in accounts),
        "Not seen: x.",
        ("Drawn.",),
    )


def judged(patch: pytest.MonkeyPatch, script: Script, *accounts: int) -> Judged:
    patch.setattr(judging, "draw", lambda *_, **__: sampled(*(accounts or (USER,))))
    return judge(script.context(patch), user_id=USER, unknown_user_id=9, sample=1, seed=1)


def of_one(patch: pytest.MonkeyPatch, script: Script) -> Judgement:
    """The judgement of one strategy; the others are right."""
    found = judged(patch, script)
    assert {name: found.by_strategy[name][USER] for name in OTHERS} == dict.fromkeys(OTHERS, PASS)
    return found.by_strategy[ONE][USER]


def only(answer: object) -> Moment:
    return Moment(BASE, {ONE: answer})  # type: ignore[dict-item]


def test_what_is_right_at_once_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(Moment(BASE))
    found = judged(monkeypatch, script, 5, 6)
    assert found.by_strategy == {name: {5: PASS, 6: PASS} for name in STRATEGIES}
    assert found.verdicts == dict.fromkeys(STRATEGIES, Verdict.PASS)
    assert script.slept == []
    assert len(script.asked) == 2 * len(STRATEGIES)


LOST = {"asset": "ETH", "problem": "lost", "base": 4, "answer": None}


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({BTC: at(2)}, [LOST]),
        ({BTC: at(1), ETH: at(4)}, [{"asset": "BTC", "problem": "stale", "base": 2, "answer": 1}]),
        (
            RIGHT | {ETH: at(4, 11, None)},
            [
                {"asset": "ETH", "problem": "available not as in the base", "base": 10, "answer": 11},
                {"asset": "ETH", "problem": "held not as in the base", "base": 0, "answer": None},
            ],
        ),
        # No entry of the base, and named once.
        (
            RIGHT | {STRANGE: at(7)},
            [{"asset": "#77", "problem": "not in the base", "base": None, "answer": 7}],
        ),
        (
            RIGHT | {ETH: at(5)},
            [{"asset": "ETH", "problem": "newer than the base", "base": 4, "answer": 5}],
        ),
        # Between two entries, so that only its cells show it.
        (
            RIGHT | {ETH: at(3)},
            [{"asset": "ETH", "problem": "stale", "base": 4, "answer": 3}],
        ),
    ],
)
def test_what_is_wrong_twice_is_wrong(
    monkeypatch: pytest.MonkeyPatch, answer: object, problems: list[object]
) -> None:
    script = Script(only(answer))
    found = of_one(monkeypatch, script)
    assert (found.verdict, list(found.problems), found.why) == (Verdict.FAIL, problems, "")
    assert found.rows == len(answer)  # type: ignore[arg-type]
    assert script.slept == [load_profile("embedded", env={}).grace_s]
    # Only what looked wrong was asked again.
    assert len(script.asked) == len(STRATEGIES) + 1


def test_a_row_of_no_moment_is_named_by_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    # The base moved on from 4 to 6 meanwhile: 5 was never there, though no older than what was.
    moved = BASE | {ETH: [at(1), at(4), at(6)]}
    second = Moment(moved, {ONE: {BTC: at(2), ETH: at(5)}})
    found = of_one(monkeypatch, Script(Moment(BASE, {ONE: {BTC: at(2), ETH: at(5)}}), second))
    row = {"asset": "ETH", "problem": "no such row in the base", "base": None, "answer": 5}
    assert (found.verdict, list(found.problems)) == (Verdict.FAIL, [row])


@pytest.mark.parametrize("first", [{BTC: at(2)}, {BTC: at(1), ETH: at(4)}, RIGHT | {ETH: at(4, 9)}])
def test_a_view_that_lags_is_right(monkeypatch: pytest.MonkeyPatch, first: object) -> None:
    assert of_one(monkeypatch, Script(only(first), only(RIGHT))) == PASS


def test_a_view_that_was_ahead_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = RIGHT | {ETH: at(5)}
    caught_up = Moment(BASE | {ETH: [at(4), at(5)]}, {ONE: ahead})
    assert of_one(monkeypatch, Script(only(ahead), caught_up)) == PASS


def test_what_is_credited_meanwhile_may_be_shown_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    credited = Moment(BASE | {USDT: [at(1)]}, {ONE: RIGHT})
    assert of_one(monkeypatch, Script(only({BTC: at(2)}), credited)) == PASS


@pytest.mark.parametrize(
    "second", [{BTC: at(2)}, {BTC: at(2), ETH: at(4, 11)}], ids=["another asset", "a cell instead"]
)
def test_what_is_wrong_twice_but_not_alike_is_not_known(
    monkeypatch: pytest.MonkeyPatch, second: object
) -> None:
    found = of_one(monkeypatch, Script(only({BTC: at(1), ETH: at(4)}), only(second)))
    assert (found.verdict, found.why, found.problems) == (Verdict.UNKNOWN, NOT_ALIKE, ())
    assert found.rows == len(second)  # type: ignore[arg-type]


def test_a_view_that_is_ahead_each_time_anew_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(
        only(RIGHT | {ETH: at(5)}), Moment(BASE | {ETH: [at(4), at(5)]}, {ONE: RIGHT | {ETH: at(6)}})
    )
    assert of_one(monkeypatch, script) == PASS


def test_what_is_not_read_is_not_known_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(only(BROKEN))
    found = judged(monkeypatch, script, 5, 6, 7)
    assert [found.by_strategy[ONE][account].why for account in (5, 6, 7)] == [
        f"could not be read: {BROKEN}",
        "not asked, since 5 could not be read",
        "not asked, since 5 could not be read",
    ]
    assert found.verdicts == dict.fromkeys(OTHERS, Verdict.PASS) | {ONE: Verdict.UNKNOWN}
    assert [account for strategy, account in script.asked if strategy == ONE] == [5]
    assert script.slept == []


def test_what_looked_wrong_and_is_not_read_again_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_one(monkeypatch, Script(only({BTC: at(2)}), only(BROKEN)))
    why = f"looked wrong, and then could not be read: {BROKEN}"
    assert found == Judgement(Verdict.UNKNOWN, why=why)


def test_a_base_that_is_not_read_leaves_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, Script(Moment(BROKEN)))
    why = f"the base could not be read: {BROKEN}"
    assert found.by_strategy == {name: {USER: Judgement(Verdict.UNKNOWN, why=why)} for name in STRATEGIES}


def test_the_base_not_read_again_leaves_the_suspect_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_one(monkeypatch, Script(only({BTC: at(2)}), Moment(BROKEN, {ONE: RIGHT})))
    why = f"looked wrong, and then the base could not be read: {BROKEN}"
    assert found == Judgement(Verdict.UNKNOWN, why=why)


def test_one_account_wrong_is_wrong_though_another_is_unknown() -> None:
    found = Judged(
        by_strategy={
            "a": {1: Judgement(Verdict.FAIL), 2: Judgement(Verdict.UNKNOWN), 3: Judgement(Verdict.PASS)}
        }
    )
    assert found.verdict("a") is Verdict.FAIL
    assert found.verdict("b") is Verdict.UNKNOWN


def test_no_sample_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Sample:
        raise BROKEN

    monkeypatch.setattr(judging, "draw", fails)
    found = judge(
        Script(Moment(BASE)).context(monkeypatch), user_id=USER, unknown_user_id=9, sample=1, seed=1
    )
    assert found.notes == f"No sample: {BROKEN}"
    assert found.verdicts == dict.fromkeys(STRATEGIES, Verdict.UNKNOWN)
    assert Judged(sampled(1)).notes == "Drawn. Not seen: x."


def test_an_account_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> Sample:
        raise AccountRefused("No.", "Another.", parameter="user_id")

    monkeypatch.setattr(judging, "draw", refuses)
    with pytest.raises(AccountRefused):
        judge(Script(Moment(BASE)).context(monkeypatch), user_id=USER, unknown_user_id=9, sample=1, seed=1)


def test_the_sample_is_drawn_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def draws(_reader: object, _target: object, registry: Registry, **how: object) -> Sample:
        asked.update(how, first=next(iter(registry)))
        return sampled(USER)

    monkeypatch.setattr(judging, "draw", draws)
    judge(
        Script(Moment(BASE)).context(monkeypatch),
        user_id=1, unknown_user_id=9, sample=3, seed=4, assets_from="known",
    )  # fmt: skip
    assert asked.pop("first") == Asset(BTC, "BTC", 8, 3)
    assert asked == {"named": 1, "nobody": 9, "size": 3, "seed": 4, "assets_from": "known"}


def test_costs_that_cannot_be_read_say_why_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> list[object]:
        raise BROKEN

    ctx: Context = Script(Moment(BASE)).context(monkeypatch)
    monkeypatch.setattr(judging, "measure", fails)
    assert measured(ctx, Judged(sampled(1)), trace=False, repeats=1) == judging.Measured((), (str(BROKEN),))
    costs = [
        Cost(strategy=name, account=1, entries=6, why=why)
        for name, why in zip("abc", ("x", "", "x"), strict=True)
    ]
    monkeypatch.setattr(judging, "measure", lambda *_, **__: costs)
    assert measured(ctx, Judged(sampled(1)), trace=False, repeats=1) == judging.Measured(tuple(costs), ("x",))
