"""The judgements of the checks, without a database: tables of what was read and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

import pytest

from balancebook.assets import label
from balancebook.checks import v003_view_built
from balancebook.checks.answers import lasting, overdue
from balancebook.checks.base import CHECKS, SAMPLE_LIMIT, check, failed
from balancebook.checks.context import Context
from balancebook.checks.g001_gateway_healthy import judge_health
from balancebook.checks.g003_gateway_equals_base import _amounts, _Comparison, _sentence
from balancebook.checks.g005_gateway_rejects_bad_input import bad_accounts, refused
from balancebook.checks.q001_latest_row_set import judge_set
from balancebook.checks.q003_latest_row_values import judge_cells
from balancebook.checks.truth import Entry, Window
from balancebook.checks.v005_view_reconciles import judge_report
from balancebook.gateway import GatewayAnswer, GatewayBalance, GatewayHealth, Probe
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport, Difference
from balancebook.settings import load_profile
from balancebook.store.cql_text import parse_value
from balancebook.store.health import NodeBuild, State, ViewHealth
from balancebook.verdict import Json, Verdict
from moments import BTC, ETH, REGISTRY, STRANGE, USDT, at


def rows(**orders: int) -> dict[int, Entry]:
    """rows(BTC=2): the newest row of each asset by its order."""
    ids = {"BTC": BTC, "USDT": USDT, "ETH": ETH, "STRANGE": STRANGE}
    return {ids[name]: at(order) for name, order in orders.items()}


@pytest.mark.parametrize(
    ("answer", "before", "after", "expected"),
    [
        (rows(BTC=2), rows(BTC=2), rows(BTC=2), []),
        (rows(), rows(), rows(), []),
        (rows(), rows(BTC=2), rows(BTC=2), ["BTC lost"]),
        (rows(BTC=1), rows(BTC=2), rows(BTC=2), ["BTC stale"]),
        (rows(BTC=3), rows(BTC=2), rows(BTC=2), ["BTC newer than the base"]),
        (rows(STRANGE=1), rows(), rows(), ["#77 not in the base"]),
        # Any row that was the newest between the two readings of the base is right.
        (rows(BTC=2), rows(BTC=2), rows(BTC=9), []),
        (rows(BTC=5), rows(BTC=2), rows(BTC=9), []),
        (rows(BTC=9), rows(BTC=2), rows(BTC=9), []),
        # An asset credited meanwhile may be in the answer or not.
        (rows(), rows(), rows(ETH=1), []),
        (rows(ETH=1), rows(), rows(ETH=1), []),
        # Worst first: lost, then what the base has not, then what is behind.
        (
            rows(USDT=1, ETH=9, STRANGE=1),
            rows(BTC=2, USDT=2, ETH=2),
            rows(BTC=2, USDT=2, ETH=2),
            ["BTC lost", "#77 not in the base", "ETH newer than the base", "USDT stale"],
        ),
    ],
)
def test_the_rows_of_an_answer(
    answer: dict[int, Entry], before: dict[int, Entry], after: dict[int, Entry], expected: list[str]
) -> None:
    problems = judge_set(answer, Window(before, after), REGISTRY)
    assert [f"{problem['asset']} {problem['problem']}" for problem in problems] == expected


def test_a_problem_shows_both_orders() -> None:
    problems = judge_set(rows(BTC=1), Window(rows(BTC=2), rows(BTC=3)), REGISTRY)
    assert problems == [{"asset": "BTC", "problem": "stale", "base_order": 3, "answer_order": 1}]


@pytest.mark.parametrize(
    ("answer", "base", "expected"),
    [
        (at(1), at(1), []),
        (at(1, None), at(1, None), []),
        (at(1, 10), at(1, 11), [("available", 11, 10)]),
        # Null is no zero, either way round.
        (at(1, None), at(1, 0), [("available", 0, None)]),
        (at(1, 0), at(1, None), [("available", None, 0)]),
        (at(1, 10, None), at(1, 11, 0), [("available", 11, 10), ("held", 0, None)]),
        (Entry(1, 10, 0, None), at(1), [("time", 1001, None)]),
        (at(1, 2**63 - 1), at(1, 2**63 - 2), [("available", 2**63 - 2, 2**63 - 1)]),
        (at(1), None, [(None, None, None)]),
    ],
)
def test_the_cells_of_an_answer(
    answer: Entry, base: Entry | None, expected: list[tuple[str, Json, Json]]
) -> None:
    wrong = judge_cells({STRANGE: answer}, {STRANGE: base}, lambda asset: label(asset, REGISTRY))
    assert [(cell["column"], cell["base"], cell["answer"]) for cell in wrong] == expected
    assert {cell["asset"] for cell in wrong} <= {"#77"}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], ["BTC lost"], []),
        (["BTC lost"], [], []),
        (["BTC lost"], ["BTC lost"], ["BTC lost"]),
        (["BTC lost"], ["BTC stale"], []),
        (["BTC lost", "ETH lost"], ["ETH lost", "USDT lost"], ["ETH lost"]),
    ],
)
def test_only_what_lasts_counts(first: list[str], second: list[str], expected: list[str]) -> None:
    def problems(texts: list[str]) -> list[dict[str, Json]]:
        return [dict(zip(("asset", "problem"), text.split(), strict=True)) for text in texts]

    assert lasting(problems(first), problems(second), "asset", "problem") == problems(expected)


def test_what_no_lag_excuses_is_overdue() -> None:
    def problems(*kinds: str) -> list[dict[str, Json]]:
        return [{"asset": "BTC", "problem": kind} for kind in kinds]

    late = problems("lost", "stale", "wrong amount")
    assert overdue([*problems("not in the base", "newer than the base"), *late]) == late
    cells: list[dict[str, Json]] = [{"asset": "BTC", "column": None}, {"asset": "BTC", "column": "held"}]
    assert overdue(cells) == cells[1:]


def health(state: State) -> ViewHealth:
    node = NodeBuild("127.0.0.1", UUID(int=1), "SUCCESS", 100.0)
    return ViewHealth(state, nodes=(node,), note="Why." if state == "unknown" else "")


def says(text: str, status: int = 0, http_status: int = 200) -> GatewayHealth:
    ok = (status, http_status) == (0, 200)
    return GatewayHealth(text, 37.0 if text == "Rebuilding" else None, status, http_status, ok)


@pytest.mark.parametrize(
    ("said", "view", "verdict"),
    [
        (says("Healthy"), "healthy", "pass"),
        (says("Healthy", 1), "healthy", "fail"),
        (says("Healthy", 0, 503), "healthy", "fail"),
        (says("Healthy"), "building", "fail"),
        (says("Healthy"), "missing", "fail"),
        (says("Rebuilding", 2, 503), "healthy", "fail"),
        (says("Rebuilding", 2, 503), "building", "fail"),
        (says("Missing", 1, 503), "missing", "fail"),
        (says("Missing", 1, 503), "building", "fail"),
        (says("healthy"), "healthy", "fail"),
        (says("ok"), "healthy", "fail"),
        (says("Healthy"), "unknown", "unknown"),
        (says("Missing", 1, 503), "unknown", "unknown"),
        (says("Healthy"), "unreported", "unknown"),
    ],
)
def test_the_health_that_a_gateway_says(said: GatewayHealth, view: State, verdict: str) -> None:
    assert judge_health(said, health(view)).verdict == verdict


def test_a_dishonest_gateway_is_told_from_an_honest_one_that_is_not_ready() -> None:
    lies, waits = (
        judge_health(says("Healthy"), health("building")),
        judge_health(says("Rebuilding", 2, 503), health("building")),
    )
    assert lies.message == "The gateway says Healthy, but by the server the view is not built."
    assert "and by the server the view is not built" in waits.message
    # The build alone was compared: an empty view may be built.
    assert judge_health(says("Healthy"), health("healthy")).message.endswith("is built. No row was compared.")


KEY, CELLS = (5, 1, 2), (10, 1002, 0)


def report(complete: bool = True, reasons: tuple[str, ...] = (), **counts: int) -> ComparisonReport:
    every = dict.fromkeys(Kind, 0) | {Kind(kind): count for kind, count in counts.items()}
    found = tuple(Difference(kind, KEY, CELLS, None, "why") for kind, count in every.items() if count)
    columns = ("user_id", "asset_id", "seq"), ("avail", "created_at", "frozen")
    return ComparisonReport(9, 8, every, found, *columns, complete=complete, reasons=reasons)


@pytest.mark.parametrize(
    ("found", "verdict", "message"),
    [
        (report(), "pass", "All 8 rows of the view equal the base, cell by cell."),
        (report(LAGGING=3), "pass", "3 were in flight, and in step when read again."),
        (report(LOST=1), "fail", "1 LOST."),
        (report(LOST=1234, ORPHAN=2, MISMATCH=3), "fail", "1,234 LOST, 3 MISMATCH, 2 ORPHAN."),
        (report(ORPHAN=1, UNKNOWN=5, LAGGING=1), "fail", "1 ORPHAN."),
        (report(UNKNOWN=5), "unknown", "5 UNKNOWN could not be confirmed."),
        (report(complete=False, reasons=("too much",)), "unknown", "Not everything was compared: too much."),
    ],
)
def test_a_comparison_s_report(found: ComparisonReport, verdict: str, message: str) -> None:
    finding = judge_report(found)
    assert (str(finding.verdict), message in finding.message) == (verdict, True), finding
    assert {name: finding.counts[name] for name in ("base", "view")} == {"base": 9, "view": 8}


UNREPORTED = ViewHealth(
    "unreported",
    100.0,
    (NodeBuild("127.0.0.1", UUID(int=1), "none", 100.0),),
    "By its own table it is built.",
)


@pytest.mark.parametrize(
    ("found", "sampled", "verdict", "message"),
    [
        (report(), False, "pass", "Built on 1 node. By its own table it is built. All 8 rows"),
        (report(LOST=1), False, "fail", "Perhaps not built whole. By its own table it is built. 1 LOST."),
        (report(UNKNOWN=1), False, "unknown", "Perhaps not built whole."),
        (report(complete=False, reasons=("cut off",)), False, "unknown", "Perhaps not built whole."),
        # A sample without a fault does not say that nothing is missing; one with a fault says that something is.
        (report(), True, "unknown", "Perhaps not built whole."),
        (report(LOST=1), True, "fail", "Perhaps not built whole."),
    ],
)
def test_a_view_whose_status_is_absent_is_judged_by_its_rows(
    monkeypatch: pytest.MonkeyPatch, found: ComparisonReport, sampled: bool, verdict: str, message: str
) -> None:
    monkeypatch.setattr(v003_view_built, "view_health", lambda *_: UNREPORTED)
    monkeypatch.setattr(v003_view_built, "compare", lambda _: found)
    monkeypatch.setattr(v003_view_built, "is_whole", lambda each: each.complete and not sampled)
    ctx = Context(load_profile("embedded", env={}), opener=lambda _: None)  # type: ignore[arg-type, return-value]
    finding = v003_view_built.view_built(ctx)
    assert finding.verdict == verdict
    assert finding.message.startswith(message)
    assert finding.counts == {"nodes": 1, "built": 0}


def node(status: str, percent: float | None) -> NodeBuild:
    return NodeBuild("127.0.0.1", UUID(int=1), status, percent, built=status == "SUCCESS")


@pytest.mark.parametrize(
    ("found", "verdict", "message"),
    [
        (ViewHealth("healthy", nodes=(node("SUCCESS", 100.0),)), "pass", "Built on 1 node."),
        (ViewHealth("healthy", nodes=(node("SUCCESS", 100.0),) * 2), "pass", "Built on 2 nodes."),
        (
            ViewHealth("building", 99.9, (node("SUCCESS", 100.0), node("STARTED", 99.9)), "Why."),
            "fail",
            "Not built, 99 %: 1 node of 2 ready. Why.",
        ),
        (ViewHealth("building", None, (node("STARTED", None),)), "fail", "Not built: 0 nodes of 1 ready."),
        (ViewHealth("missing"), "fail", "There is no such view to build."),
        (ViewHealth("unknown", note="Why."), "unknown", "The build status could not be read. Why."),
        (ViewHealth("unknown"), "unknown", "The build status could not be read."),
    ],
)
def test_a_view_is_judged_by_its_status(
    monkeypatch: pytest.MonkeyPatch, found: ViewHealth, verdict: str, message: str
) -> None:
    monkeypatch.setattr(v003_view_built, "view_health", lambda *_: found)
    ctx = Context(load_profile("embedded", env={}), opener=lambda _: None)  # type: ignore[arg-type, return-value]
    finding = v003_view_built.view_built(ctx)
    assert (finding.verdict, finding.message) == (verdict, message)
    assert finding.counts.get("nodes", 0) == len(found.nodes)
    if verdict != "pass":
        shown = [each.percent for each in found.nodes]
        assert [sample["percent"] for sample in finding.samples] == [each and int(each) for each in shown]


def test_a_sample_of_a_comparison_is_one_line_a_side() -> None:
    [sample] = judge_report(report(LOST=1)).samples
    assert sample == {
        "kind": "LOST",
        "key": "user_id=5, asset_id=1, seq=2",
        "base": "avail=10, created_at=1002, frozen=0",
        "view": None,
        "reason": "why",
    }


def shown(avail: str, frozen: str = "0") -> tuple[Decimal, Decimal]:
    return Decimal(avail), Decimal(frozen)


def given(**amounts: str) -> GatewayAnswer:
    balances = [GatewayBalance(asset, *shown(amount), raw=False) for asset, amount in amounts.items()]
    return GatewayAnswer("1001", tuple(balances))


Right = Mapping[str, list[tuple[Decimal | None, Decimal | None]]]


@pytest.mark.parametrize(
    ("right", "answer", "expected"),
    [
        ({"BTC": [shown("9100")]}, given(BTC="9100"), []),
        ({"BTC": [shown("9100")]}, given(BTC="9100.00"), []),
        ({}, given(), []),
        ({"BTC": [shown("9100")]}, given(BTC="9100.00000001"), ["wrong amount: BTC"]),
        ({"BTC": [shown("9100", "1")]}, given(BTC="9100"), ["wrong amount: BTC"]),
        # Right at any moment of the window is right; before it began is not.
        ({"BTC": [shown("1"), shown("2"), shown("3")]}, given(BTC="2"), []),
        ({"BTC": [shown("2"), shown("3")]}, given(BTC="1"), ["wrong amount: BTC"]),
        ({"BTC": [shown("0")]}, given(), ["lost: BTC"]),
        ({}, given(DOGE="1"), ["not in the base: DOGE"]),
        ({"BTC": [(None, Decimal(0))]}, given(BTC="0"), ["wrong amount: BTC"]),
        (
            {"BTC": [shown("1")], "ETH": [shown("1")]},
            given(DOGE="1", BTC="2"),
            ["lost: ETH", "wrong amount: BTC", "not in the base: DOGE"],
        ),
    ],
)
def test_the_amounts_of_a_gateway(right: Right, answer: GatewayAnswer, expected: list[str]) -> None:
    problems = _Comparison(right, frozenset(right), answer).problems()
    assert [f"{problem['problem']}: {problem['asset']}" for problem in problems] == expected


def test_an_asset_credited_after_the_question_may_be_missing() -> None:
    assert _Comparison({"BTC": [shown("1")]}, frozenset(), given()).problems() == []


def test_the_sentence_groups_by_kind() -> None:
    problems = _Comparison({"BTC": [shown("1")], "ETH": [shown("1")]}, frozenset({"BTC", "ETH"}), given())
    assert _sentence(problems.problems()) == "lost: BTC, ETH."


@pytest.mark.parametrize(
    ("entry", "asset", "expected"),
    [
        (at(1, 910_000_000_000, 1), BTC, shown("9100", "0.00000001")),
        # Raw units where no registry says what they are worth.
        (at(1, 910_000_000_000, 1), STRANGE, shown("910000000000", "1")),
        # A null is no zero.
        (at(1, None, 0), BTC, (None, Decimal(0))),
        (at(1, 0, None), STRANGE, (Decimal(0), None)),
        (at(1, -1), BTC, shown("-0.00000001")),
    ],
)
def test_the_amounts_that_a_gateway_must_show(
    entry: Entry, asset: int, expected: tuple[Decimal | None, Decimal | None]
) -> None:
    assert _amounts(entry, asset, REGISTRY) == expected


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe(400, False, False), True),
        (Probe(422, False, False), True),
        (Probe(400, True, False), False),
        (Probe(400, None, False), False),
        (Probe(400, False, True), False),
        (Probe(200, False, False), False),
        (Probe(302, None, False), False),
        (Probe(500, False, False), False),
    ],
)
def test_what_counts_as_refused(probe: Probe, expected: bool) -> None:
    assert refused(probe) is expected


@pytest.mark.parametrize("cql_type", ["tinyint", "smallint", "int", "bigint", "varint", "uuid", "timeuuid"])
def test_bad_accounts_are_no_value_of_their_type(cql_type: str) -> None:
    assert len(bad_accounts(cql_type)) > 4
    for bad in bad_accounts(cql_type):
        with pytest.raises(ValueError, match=r".+"):
            parse_value(bad, cql_type)


@pytest.mark.parametrize("cql_type", ["text", "ascii", "blob", "inet", "date"])
def test_of_a_type_whose_accounts_may_be_anything_only_the_empty_one_is_bad(cql_type: str) -> None:
    assert bad_accounts(cql_type) == ("",)


def given_without_held(**amounts: str) -> GatewayAnswer:
    balances = [GatewayBalance(asset, Decimal(text), None, raw=False) for asset, text in amounts.items()]
    return GatewayAnswer("1001", tuple(balances))


def test_where_the_gateway_shows_nothing_held_that_is_not_compared() -> None:
    right = {"BTC": [shown("1", "7"), shown("2", "8")], "ETH": [shown("1", "7")]}
    problems = _Comparison(right, frozenset(right), given_without_held(BTC="2", ETH="7")).problems()
    assert problems == [{"asset": "ETH", "problem": "wrong amount", "base": "1 (held 7)", "gateway": "7"}]


def test_a_check_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.checks.base.CHECKS", registered := dict(CHECKS))

    def crashes(_ctx: object) -> None:
        raise ZeroDivisionError("division by zero")

    check("X001", "crashes")(crashes)  # type: ignore[arg-type]
    result = registered["X001"].run(Context(load_profile("embedded", env={})))
    assert result.verdict is Verdict.UNKNOWN
    assert result.message == "The check crashed: ZeroDivisionError: division by zero"
    with pytest.raises(TypeError):
        registered["X001"].run(Context(load_profile("embedded", env={})), user_id=5)
    with pytest.raises(ValueError, match="X001 is taken by crashes"):
        check("X001", "another")(crashes)  # type: ignore[arg-type]


def test_samples_are_bounded_and_counts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.checks.base.CHECKS", registered := dict(CHECKS))
    many = [{"row": number} for number in range(SAMPLE_LIMIT + 5)]
    check("X002", "many")(lambda _ctx: failed("many", counts={"wrong": len(many)}, samples=many))
    result = registered["X002"].run(Context(load_profile("embedded", env={})))
    assert list(result.samples) == many[:SAMPLE_LIMIT]
    assert result.counts == {"wrong": SAMPLE_LIMIT + 5}
