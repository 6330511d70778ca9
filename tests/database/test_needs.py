"""What the doctor promises is what a check does, and advice that is followed works: on tables of other shapes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from cassandra.cluster import Session

from balancebook import balances
from balancebook.balances.asset_list import assets_of
from balancebook.checks import CHECKS, NotAsked
from balancebook.checks.context import Context
from balancebook.checks.overview import layers
from balancebook.demo.schema import LEDGER, VIEW
from balancebook.doctor.examination import examine_profile
from balancebook.errors import BalancebookError
from balancebook.profile import Profile
from balancebook.reconcile.run import Request, run
from balancebook.verdict import Verdict
from checking import behind, booker
from gateway_process import running_gateway

USER = 1001
_COLUMNS = (
    "user_id bigint, asset_id int, seq bigint, delta_avail bigint, delta_frozen bigint, avail bigint, "
    "frozen bigint, event_type text, ref_id bigint, created_at bigint"
)


@dataclass(frozen=True)
class Shape:
    """Keys of a base and its view, a condition of the view, and the sources of assets that can work there."""

    base: str
    view: str
    sources: tuple[str, ...]
    where: str = ""


SHAPES = {
    "the demo's": Shape("(user_id, asset_id), seq", "user_id, asset_id, seq", ("scan", "known")),
    "by account": Shape("user_id, asset_id, seq", "user_id, asset_id, seq", ("known",)),
    "by account, entries first": Shape("user_id, seq, asset_id", "user_id, asset_id, seq", ()),
    "by account and order": Shape("(user_id, seq)", "user_id, seq", ()),
    "by month": Shape("(user_id, created_at), asset_id, seq", "user_id, asset_id, seq, created_at", ()),
    "a view by both": Shape("(user_id, asset_id), seq", "(user_id, asset_id), seq", ("scan",)),
    "a view by entry": Shape("user_id, asset_id, seq", "user_id, seq, asset_id", ()),
    "a filtered view": Shape(
        "(user_id, asset_id), seq", "user_id, asset_id, seq", ("scan", "known"), " AND seq > 0"
    ),
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest, session: Session, keyspace: str) -> Shape:
    """Such a base and view in the keyspace, with the entries of one user."""
    shape = SHAPES[request.param]
    names = [name.strip("( )") for name in shape.view.split(",")]
    where = " AND ".join(f"{name} IS NOT NULL" for name in names) + shape.where
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
    session.execute(f"DROP TABLE {keyspace}.{LEDGER}")
    session.execute(f"CREATE TABLE {keyspace}.{LEDGER} ({_COLUMNS}, PRIMARY KEY ({shape.base}))")
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.{VIEW} AS SELECT * FROM {keyspace}.{LEDGER} WHERE {where} "
        f"PRIMARY KEY ({shape.view})"
    )
    booker(session, keyspace)((USER, 1, 1, 100, 0), (USER, 2, 2, 200, 0))
    return shape


def _asked(ctx: Context, code: str) -> tuple[Verdict | None, str]:
    """(verdict, None if it is skipped; message) of a check with the parameters that the notebooks have."""
    params: dict[str, object] = {"strategy": "group_by", "user_id": USER, "unknown_user_id": 999}
    taken = CHECKS[code].function.__kwdefaults__ or {}
    names = CHECKS[code].function.__code__.co_varnames[: 1 + CHECKS[code].function.__code__.co_kwonlyargcount]
    try:
        result = CHECKS[code].run(
            ctx, **{name: value for name, value in params.items() if name in names and name not in taken}
        )
    except NotAsked as reason:
        return None, str(reason)
    return result.verdict, result.message


def test_the_doctor_promises_what_the_checks_do(profile: Profile, keyspace: str, shape: Shape) -> None:
    assert shape
    with running_gateway(profile.port, "--keyspace", keyspace) as client:
        changes = {"keyspace": keyspace, "view_definition": None, "grace_s": 0.1}
        target = behind(profile.model_copy(update=changes), client.base_url)
        report = examine_profile(target, "f")
        ctx = Context(target)
        for ability in report.abilities:
            if ability.code == "Q004":
                continue
            verdict, message = _asked(ctx, ability.code)
            if ability.skipped:
                assert verdict is None, (ability, message)
            elif ability.can_work:
                # That the demo gateway itself cannot ask such a view is another matter.
                assert "Could not read" not in message or "The gateway at" in message, (ability, message)
                assert "crashed" not in message, (ability, message)
            else:
                assert verdict is Verdict.UNKNOWN, (ability, message)
                assert ability.lacks or ability.refusal in message
        ctx.close()


def test_trades_that_are_not_as_the_profile_says_are_refused_beforehand(
    profile: Profile, session: Session, keyspace: str
) -> None:
    booker(session, keyspace)((USER, 1, 1, 100, 0))
    target = profile.model_copy(
        update={"keyspace": keyspace, "trades": profile.trades.model_copy(update={"buyer": "payer"})}
    )
    ability = next(each for each in examine_profile(target, "f").abilities if each.code == "L004")
    ctx = Context(target)
    verdict, message = _asked(ctx, "L004")
    ctx.close()
    assert (verdict, ability.can_work, ability.skipped) == (Verdict.UNKNOWN, False, False)
    assert "has no column payer (buyer)" in message
    assert ability.refusal in message


def test_advice_on_assets_works_when_it_is_followed(profile: Profile, keyspace: str, shape: Shape) -> None:
    ctx = Context(profile.model_copy(update={"keyspace": keyspace}))
    works = []
    for source in ("scan", "known"):
        try:
            listed = assets_of(ctx.reader, ctx.target, USER, source, ctx.registry)
            result = CHECKS["Q001"].run(ctx, strategy="per_asset_parallel", user_id=USER, assets_from=source)
            assert set(listed.assets) >= {1, 2}
            assert result.verdict is Verdict.PASS, result.message
            works.append(source)
        except BalancebookError as error:
            advised = [other for other in ("scan", "known") if f"assets_from to {other}" in str(error)]
            assert advised == [other for other in shape.sources if other != source], str(error)
            result = CHECKS["Q001"].run(ctx, strategy="per_asset_parallel", user_id=USER, assets_from=source)
            assert result.verdict is Verdict.UNKNOWN
    assert tuple(works) == shape.sources
    ctx.close()


def test_advice_on_strategies_works_when_it_is_followed(
    profile: Profile, keyspace: str, shape: Shape
) -> None:
    ctx = Context(profile.model_copy(update={"keyspace": keyspace}))
    assert shape
    refused = {}
    for name in balances.STRATEGIES:
        try:
            frame = balances.read(ctx.reader, ctx.target, name, USER, [1, 2])
            assert balances.STRATEGIES[name].known_wrong or frame["asset"].tolist() == [1, 2]
        except BalancebookError as error:
            refused[name] = str(error)
    for name, told in refused.items():
        advised = told.partition("this view and base: ")[2].rstrip(".").split(", ")
        others = [each for each in balances.STRATEGIES if each not in refused and each != "seed_limit_one"]
        # Never what was chosen, and nothing that cannot work.
        assert advised == (others or ["none of the strategies"]), (name, told)
    ctx.close()


def test_a_profile_without_a_gateway(trading: Profile) -> None:
    profile = trading.model_copy(update={"gateway": None})
    ctx = Context(profile)
    for code in (code for code in CHECKS if code.startswith("G")):
        with pytest.raises(NotAsked, match="the profile has no"):
            CHECKS[code].run(
                ctx,
                **(
                    {}
                    if code in ("G001", "G005")
                    else {"user_id": USER} | ({"unknown_user_id": 999999} if code == "G004" else {})
                ),
            )
    assert (
        run(ctx.reader, ctx.view, Request(samples=1, budget_rows=1_000_000), grace_s=0.1).report.verdict
        is Verdict.PASS
    )
    for code in ("V001", "V003", "V004"):
        assert CHECKS[code].run(ctx).verdict is Verdict.PASS
    for code in ("L001", "L003"):
        assert CHECKS[code].run(ctx, user_id=USER).verdict is Verdict.PASS
    assert CHECKS["Q001"].run(ctx, strategy="group_by", user_id=USER).verdict is Verdict.PASS
    assert list(layers(ctx, USER).columns) == ["asset", "base", "view", "differs"]
    ctx.close()
    report = examine_profile(profile, "f")
    assert report.exit_code == 0
    assert (
        next(row for row in report.rows if row.subject == "gateway").text
        == "skipped: the profile has no [gateway]"
    )
    assert {ability.code for ability in report.abilities if ability.skipped} == {
        code for code in CHECKS if code.startswith("G")
    }
