"""The sample, Q004 and the costs on a real ledger: who is in it, who is wrong, and what the server says it read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.balances import STRATEGIES, choose
from balancebook.balances.cost import MOST_TRACED, Cost
from balancebook.balances.sample import Sample, draw
from balancebook.balances.target import shape_of
from balancebook.checks.context import Context
from balancebook.checks.judging import Judged, Measured, judge, measured
from balancebook.checks.query_tables import by_depth
from balancebook.demo.faults import Injector
from balancebook.demo.schema import VIEW, create_schema
from balancebook.settings import Profile, retarget
from balancebook.verdict import Verdict
from checking import NOBODY, Ask, Book, booker, capped, key, unreachable

NAMED, ONE, DEEP, STRANGE, HELD, MOST = 3001, 3002, 3003, 3004, 3005, 3006
ENTRIES = 120
ORDINARY = range(3100, 3125)
RIGHT = [name for name, strategy in STRATEGIES.items() if not strategy.known_wrong]


@pytest.fixture(scope="module")
def exchange(session: Session, impatient: Profile) -> Profile:
    """A small exchange with one account of each awkward sort, nothing of it wrong. Read-only."""
    name = f"sample_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    booker(session, name)(
        *((NAMED, asset, seq, 10 * seq, 0) for asset in (1, 2, 3) for seq in (1, 2)),
        (ONE, 2, 1, 5, 0),
        *((DEEP, 1, seq, seq, 0) for seq in range(1, ENTRIES)),
        (DEEP, 2, 1, 5, 0),
        (STRANGE, 1, 1, 5, 0),
        (STRANGE, 77, 1, 5, 0),
        (HELD, 1, 1, 0, 9),
        (HELD, 2, 1, 5, 0),
        *((MOST, asset, 1, 5, 0) for asset in (1, 2, 3, 77)),
        *((user, asset, 1, 5, 0) for user in ORDINARY for asset in (1, 2)),
    )
    return retarget(impatient, keyspace=name)


def drawn(profile: Profile, size: int = 4, seed: int = 1, assets_from: str = "scan") -> Sample:
    ctx = Context(profile)
    try:
        return draw(
            ctx.reader,
            ctx.target,
            ctx.registry,
            named=NAMED,
            nobody=NOBODY,
            size=size,
            seed=seed,
            assets_from=assets_from,
        )
    finally:
        ctx.close()


def judged_of(ctx: Context, **params: Any) -> Judged:
    given = {"user_id": NAMED, "unknown_user_id": NOBODY, "sample": 4, "seed": 1}
    return judge(ctx, **given | params)


def judged(profile: Profile, **params: Any) -> Judged:
    ctx = Context(profile)
    try:
        return judged_of(ctx, **params)
    finally:
        ctx.close()


def costs_of(profile: Profile, *, trace: bool = True) -> tuple[Judged, Measured]:
    ctx = Context(profile)
    try:
        found = judged_of(ctx)
        return found, measured(ctx, found, trace=trace, repeats=2)
    finally:
        ctx.close()


def test_the_sample_is_reproducible_and_includes_the_awkward_accounts(exchange: Profile) -> None:
    sample = drawn(exchange)
    assert sample == drawn(exchange)
    by_account = {each.account: each for each in sample.accounts}
    assert sample.accounts[0].account == NAMED
    assert "named" in sample.accounts[0].why
    for account, why in {
        ONE: "one asset",
        DEEP: "deepest",
        HELD: "held, and nothing available",
        MOST: "most assets",
        NOBODY: "does not exist",
    }.items():
        assert why in by_account[account].why
    assert by_account[DEEP].entries == ENTRIES
    assert by_account[MOST].assets == (1, 2, 3, 77)
    assert {MOST, STRANGE} & {
        each.account for each in sample.accounts if "an asset not in the registry" in each.why
    }
    assert sum("drawn" in each.why for each in sample.accounts) == 4
    assert sample.notes[0] == "Drawn from 31 accounts of balance_ledger, by a scan of its partitions."
    assert {each.account for each in drawn(exchange, seed=2).accounts} != by_account.keys()


def test_without_a_scan_it_is_drawn_from_the_view_and_says_what_it_cannot_see(exchange: Profile) -> None:
    sample = drawn(exchange, assets_from="known")
    assert sample == drawn(exchange, assets_from="known")
    assert sum("drawn" in each.why for each in sample.accounts) == 4
    assert "accounts that the base has and the view has not are not among them" in sample.notes[0]
    assert sample.blind_spot == "Not seen: an asset of the base that none of these three holds."
    # Within the budget of rows though the base has more partitions than that.
    assert drawn(capped(exchange, 50), assets_from="known").accounts


def test_what_goes_beyond_the_budget_is_left_out_and_named(exchange: Profile) -> None:
    sample = drawn(capped(exchange, ENTRIES))
    assert DEEP not in {each.account for each in sample.accounts}
    assert sum(each.entries for each in sample.accounts) <= ENTRIES
    assert any(f"{DEEP} (deepest" in note and "limits.max_rows" in note for note in sample.notes)


@pytest.mark.check("Q004", "pass")
@pytest.mark.check("Q004", "fail")
def test_every_strategy_is_held_against_the_base_for_all_of_them(ask: Ask, exchange: Profile) -> None:
    found = judged(exchange)
    accounts = len(found.sample.accounts)
    for name in RIGHT:
        result = ask("Q004", exchange, strategy=name, judged=found)
        assert result.verdict is Verdict.PASS, result
        assert (result.counts["accounts"], result.counts["wrong"]) == (accounts, 0)
    result = ask("Q004", exchange, strategy="seed_limit_one", judged=found)
    assert result.verdict is Verdict.FAIL
    # The one with one asset, and nobody, are all that it is right for.
    assert result.counts["wrong"] == accounts - 2
    assert (
        f"is wrong for {accounts - 2} of {accounts} accounts: {MOST} USDT lost, ETH lost, #77 lost."
        in result.message
    )
    assert result.samples[0] == {
        "account": MOST,
        "asset": "USDT",
        "problem": "lost",
        "base": 1,
        "answer": None,
    }


@pytest.mark.check("Q004", "unknown")
def test_a_sample_that_cannot_be_drawn_is_unknown(ask: Ask, exchange: Profile) -> None:
    for profile, said in (
        (capped(exchange, 1), "more partitions than the budget of 1"),
        (unreachable(exchange), "refused"),
    ):
        found = judged(profile)
        result = ask("Q004", profile, strategy="group_by", judged=found)
        assert (result.verdict, set(found.verdicts.values())) == (Verdict.UNKNOWN, {Verdict.UNKNOWN})
        assert said in result.message
        assert said in found.notes


@pytest.mark.check("Q004", "unknown")
@pytest.mark.check("Q004", "pass")
def test_a_strategy_that_cannot_be_read_is_unknown(ask: Ask, alone: Profile, session: Session) -> None:
    booker(session, alone.keyspace)((NAMED, 1, 1, 5, 0), (ONE, 2, 1, 5, 0))
    ctx = Context(alone)
    # What the view was like is known; and then it is dropped.
    assert shape_of(ctx.reader, ctx.target)
    session.execute(f"DROP MATERIALIZED VIEW {alone.keyspace}.{VIEW}")
    found = judged_of(ctx)
    ctx.close()
    for name, strategy in STRATEGIES.items():
        result = ask("Q004", alone, strategy=name, judged=found)
        assert result.verdict is (Verdict.UNKNOWN if strategy.reads == "view" else Verdict.PASS), result
    assert "not asked" in found.by_strategy["group_by"][NOBODY].why


@pytest.mark.check("Q004", "pass")
@pytest.mark.check("Q004", "fail")
def test_a_fault_of_one_sampled_account_disqualifies_all_that_read_the_view(
    ask: Ask,
    alone: Profile,
    session: Session,
    inject: Injector,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    booker(session, alone.keyspace)(
        *(
            (user, asset, seq, 10 * seq, 0)
            for user in (NAMED, ONE, DEEP)
            for asset in (1, 2)
            for seq in (1, 2)
        )
    )
    inject.lost(key(ONE, 2, 2))
    inject.mismatch(key(DEEP, 1, 2) | {"avail": 21})
    found = judged(alone)
    for name, strategy in STRATEGIES.items():
        result = ask("Q004", alone, strategy=name, judged=found)
        assert result.verdict is (Verdict.FAIL if strategy.reads == "view" else Verdict.PASS), result
    problems = found.by_strategy["group_by"]
    assert problems[NAMED].verdict is problems[NOBODY].verdict is Verdict.PASS
    assert problems[ONE].problems == ({"asset": "USDT", "problem": "stale", "base": 2, "answer": 1},)
    assert problems[DEEP].problems == (
        {"asset": "BTC", "problem": "available not as in the base", "base": 20, "answer": 21},
    )
    # The notebook, asked about a user who is right, says so too.
    code, verdicts = ran(environment, alone, tmp_path)
    assert code == 10
    assert verdicts == {"Q001": "pass", "Q002": "pass", "Q003": "pass", "Q004": "fail"}


def ran(env: dict[str, str], profile: Profile, out: Path) -> tuple[int, dict[str, str]]:
    command = [sys.executable, "-m", "balancebook.cli", "run", "balance_queries", "--out", str(out), "--json"]
    given = {"keyspace": profile.keyspace, "user_id": NAMED, "trace": "false"}
    command += [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    return done.returncode, {each["code"]: each["verdict"] for each in json.loads(done.stdout)["results"]}


def test_a_view_that_catches_up_within_the_grace_period_is_right(
    alone: Profile, session: Session, inject: Injector
) -> None:
    book: Book = booker(session, alone.keyspace)
    book((NAMED, 1, 1, 10, 0))
    inject.never_arrived(key(NAMED, 1, 2) | {"avail": 20, "frozen": 0, "created_at": 1002})
    waited: list[float] = []

    def catch_up(seconds: float) -> None:
        waited.append(seconds)
        book((NAMED, 1, 2, 20, 0))

    ctx = Context(alone, sleep=catch_up)
    assert judged_of(ctx).verdict("group_by") is Verdict.PASS
    ctx.close()
    assert waited == [alone.grace_s]


def test_what_the_server_reads(exchange: Profile) -> None:
    found, spent = costs_of(exchange)
    assert spent.unknown == ()
    of = {(cost.strategy, cost.account): cost for cost in spent.costs}
    assert {account for _, account in of} >= {NAMED, ONE, DEEP}
    for sampled in found.sample.accounts:
        if ("group_by", sampled.account) not in of:
            continue
        assets = len(sampled.assets)
        assert of["group_by", sampled.account].rows_read == sampled.entries
        for name in ("skip_scan", "in_assets", "per_asset_parallel", "per_asset_sequential"):
            assert of[name, sampled.account].rows_read == assets, name
        assert of["seed_limit_one", sampled.account].rows_read == 1
        statements = {name: of[name, sampled.account].statements for name in STRATEGIES}
        assert statements == {
            "group_by": 1,
            "skip_scan": assets + 1,
            "in_assets": 1,
            "per_asset_parallel": assets,
            "per_asset_sequential": assets,
            "seed_limit_one": 1,
        }
    deep = of["group_by", DEEP]
    assert (deep.pages, deep.rows, deep.tombstones) == (1, 2, 0)
    assert all(cost.microseconds for cost in spent.costs)
    # A row is at least its cells: int, three bigints and one more.
    assert all((cost.bytes or 0) >= 36 * (cost.rows or 0) for cost in spent.costs)
    # The cheapest of all is wrong, and out.
    chosen = choose(found.verdicts, spent.costs)
    assert chosen.strategy == "skip_scan"
    assert f"Of the {ENTRIES} entries of account {DEEP} the server reads 2 rows for it" in chosen.why[0]
    of_deep = [cost for cost in spent.costs if cost.account == DEEP]
    assert min(of_deep, key=lambda cost: (cost.rows_read, cost.bytes)).strategy == "seed_limit_one"
    assert found.verdict("seed_limit_one") is Verdict.FAIL
    assert "seed_limit_one: wrong, so disqualified whatever its speed." in chosen.why


def test_what_varies_is_time_alone(exchange: Profile) -> None:
    def steady() -> list[tuple[Any, ...]]:
        names = ("strategy", "account", "statements", "pages", "rows", "bytes", "rows_read", "tombstones")
        return [tuple(getattr(cost, name) for name in names) for cost in costs_of(exchange)[1].costs]

    assert steady() == steady()


def test_without_traces_the_rest_is_known(exchange: Profile, session: Session) -> None:
    traces = "SELECT COUNT(*) FROM system_traces.sessions"
    before = session.execute(traces).one()
    found, spent = costs_of(exchange, trace=False)
    assert session.execute(traces).one() == before
    assert spent.unknown == ("not traced: trace is off",)
    assert all(cost.rows_read is cost.microseconds is None for cost in spent.costs)
    assert all(cost.statements and cost.bytes for cost in spent.costs)
    assert choose(found.verdicts, spent.costs).strategy is None


def test_traces_that_cannot_be_read_are_unknown_and_not_asked_for(
    exchange: Profile, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apache Cassandra lets every role read them; the refusal of a table that is not there is as real a one."""
    monkeypatch.setattr(
        "balancebook.store.traces.EVENTS", "SELECT activity FROM system_traces.gone WHERE session_id = ?"
    )
    traces = "SELECT COUNT(*) FROM system_traces.sessions"
    before = session.execute(traces).one()
    found, spent = costs_of(exchange)
    assert session.execute(traces).one() == before
    (why,) = spent.unknown
    assert why.startswith("not traced: reading system_traces.gone")
    assert all(cost.rows_read is None and cost.statements for cost in spent.costs)
    assert set(by_depth(spent.costs, "rows_read")["group_by"]) == {"?"}
    assert choose(found.verdicts, spent.costs).strategy is None


def test_tombstones_are_counted_and_many_statements_are_not_traced(alone: Profile, session: Session) -> None:
    many = MOST_TRACED + 1
    booker(session, alone.keyspace)(
        *((MOST, asset, 1, 5, 0) for asset in range(1, many + 1)), (ONE, 1, 1, 5, 0)
    )
    booker(session, alone.keyspace)((ONE, 1, 2, 5, 0))
    table = f"{alone.keyspace}.balance_ledger"
    session.execute(f"DELETE FROM {table} WHERE user_id = {ONE} AND asset_id = 1 AND seq = 2")
    of = {(cost.strategy, cost.account): cost for cost in costs_of(alone)[1].costs}
    assert (of["group_by", ONE].rows_read, of["group_by", ONE].tombstones) == (1, 1)
    assert (of["group_by", MOST].rows_read, of["group_by", MOST].rows) == (many, many), of["group_by", MOST]
    unknown: Cost = of["per_asset_parallel", MOST]
    assert (unknown.statements, unknown.rows_read) == (many, None)
    assert unknown.why == f"not traced: it reads {many} partitions, more than {MOST_TRACED}"
