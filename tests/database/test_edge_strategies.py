"""Every strategy at every edge of a ledger, and Q001 to Q003 on them; the right rows are those of tests/edges.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pandas as pd
import pytest
from cassandra.cluster import Session

from balancebook.balances import STRATEGIES, Target, read
from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.errors import BalancebookError
from balancebook.settings import Profile, retarget
from balancebook.store.errors import StoreError
from balancebook.verdict import Result
from edges import EDGES, MOST, NEWEST_FIRST, Edge, Place, Row, Writer, make_base, make_view, put

RIGHT = [name for name, strategy in STRATEGIES.items() if not strategy.known_wrong]
OF_THE_VIEW = [name for name in RIGHT if STRATEGIES[name].reads == "view"]
OF_THE_BASE = [name for name in RIGHT if STRATEGIES[name].reads == "base"]


@pytest.fixture(scope="module")
def ctx(edges: Profile) -> Iterator[Context]:
    """What the checks may look at. Nobody writes, so there is nothing to wait for."""
    context = Context(edges, sleep=lambda _: None)
    yield context
    context.close()


@pytest.fixture(scope="module")
def empty(session: Session, edges: Profile) -> Place:
    """A ledger without a row."""
    base = make_base(session, edges.keyspace, "nothing", "(user_id, asset_id), seq", NEWEST_FIRST)
    return make_view(session, edges.keyspace, base, "nothing_of_user")


def answer_of(strategy: str, edge: Edge) -> tuple[Row, ...]:
    """What the strategy must return; of the known wrong one: the first row of the user's partition, and no more."""
    if STRATEGIES[strategy].known_wrong:
        return edge.shown[:1]
    return edge.shown if STRATEGIES[strategy].reads == "view" else edge.rows


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", EDGES)
def test_a_strategy_at_an_edge(ctx: Context, name: str, strategy: str) -> None:
    edge = EDGES[name]
    frame = read(ctx.reader, ctx.target, strategy, edge.user, edge.asked)
    assert {str(dtype) for dtype in frame.dtypes} == {"Int64"}
    assert rows_of(frame) == answer_of(strategy, edge)


def rows_of(frame: pd.DataFrame) -> tuple[Row, ...]:
    cells = frame.astype(object).where(frame.notna(), None)
    return tuple(cells.itertuples(index=False, name=None))


# Q001 asks the base for each asset by itself, which takes seconds where there are 500.
JUDGED = [
    (name, strategy)
    for name in EDGES
    for strategy in STRATEGIES
    if name != "500 assets" or strategy == "group_by"
]


@pytest.mark.parametrize(("name", "strategy"), JUDGED)
def test_what_q001_says_of_it(ctx: Context, name: str, strategy: str) -> None:
    edge = EDGES[name]
    returned = {row[0] for row in answer_of(strategy, edge)}
    lost = [row[0] for row in edge.rows if row[0] not in returned]
    result = asked(ctx, "Q001", strategy, edge)
    assert result.counts == {"assets": len(edge.rows), "returned": len(returned), "wrong": len(lost)}
    # Where nothing is expected, nothing returned proves nothing.
    assert result.verdict == ("fail" if lost else "pass" if returned else "unknown"), result
    assert [sample["asset"] for sample in result.samples] == [named(asset) for asset in lost[:20]]
    assert {sample["problem"] for sample in result.samples} <= {"lost"}


@pytest.mark.parametrize(("name", "strategy"), JUDGED)
def test_what_q003_says_of_it(ctx: Context, name: str, strategy: str) -> None:
    edge = EDGES[name]
    returned = answer_of(strategy, edge)
    wrong = [row[0] for row in returned if row not in edge.rows]
    result = asked(ctx, "Q003", strategy, edge)
    assert result.verdict == ("fail" if wrong else "pass" if returned else "unknown"), result
    assert result.counts["rows"] == len(returned)
    assert {sample["asset"] for sample in result.samples} == {named(asset) for asset in wrong}


def asked(ctx: Context, code: str, strategy: str, edge: Edge, assets_from: str = "scan") -> Result:
    """What the check says of the strategy at that edge."""
    result = CHECKS[code].run(ctx, strategy=strategy, user_id=edge.user, assets_from=assets_from)
    assert "The check crashed" not in result.message, result
    return result


def named(asset: int) -> str:
    return {1: "BTC", 2: "USDT", 3: "ETH"}.get(asset, f"#{asset}")


@pytest.mark.parametrize("strategy", RIGHT)
@pytest.mark.parametrize("name", ["no assets", "all rows deleted"])
def test_q002_passes_where_there_is_nothing(ctx: Context, name: str, strategy: str) -> None:
    result = CHECKS["Q002"].run(ctx, strategy=strategy, unknown_user_id=EDGES[name].user)
    assert (result.verdict, result.counts) == ("pass", {"returned": 0, "wrong": 0})


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("user 0", 1),
        ("greatest user", 1),
        ("half-null in the view", 1),
        ("lost asset", 2),
    ],
)
def test_q002_is_unknown_of_a_user_who_has_assets(ctx: Context, name: str, assets: int) -> None:
    user = EDGES[name].user
    result = CHECKS["Q002"].run(ctx, strategy="group_by", unknown_user_id=user)
    assert (result.verdict, result.message) == (
        "unknown",
        f"User {user} has {assets} assets in the base: name one who does not exist.",
    )


def test_many_lost_assets_are_counted_and_not_all_named(ctx: Context) -> None:
    result = asked(ctx, "Q001", "seed_limit_one", EDGES["500 assets"])
    assert (result.verdict, result.counts["wrong"]) == ("fail", 499)
    assert result.message.startswith("seed_limit_one: #1001 lost, #1002 lost, ")
    assert result.message.endswith("#1020 lost and 479 more.")


def test_cells_that_only_the_view_has_not(ctx: Context) -> None:
    result = asked(ctx, "Q003", "group_by", EDGES["half-null in the view"])
    assert [(s["column"], s["base"], s["answer"]) for s in result.samples] == [
        ("held", 5, None),
        ("time", 1, None),
    ]


UNSEEN = "not seen: an asset of the base that none of these three holds"


@pytest.mark.parametrize("strategy", OF_THE_VIEW)
def test_a_scan_finds_the_lost_asset(ctx: Context, strategy: str) -> None:
    for name in ("lost asset", "lost only asset"):
        result = asked(ctx, "Q001", strategy, EDGES[name], assets_from="scan")
        assert (result.verdict, result.message) == ("fail", f"{strategy}: #88 lost.")


@pytest.mark.parametrize("strategy", RIGHT)
def test_what_is_known_does_not_find_it_and_says_so(ctx: Context, strategy: str) -> None:
    result = asked(ctx, "Q001", strategy, EDGES["lost asset"], assets_from="known")
    assert (result.verdict, result.counts["returned"]) == ("pass", 1)
    assert UNSEEN in result.message
    # Without any asset there is nothing to pass on, though the base holds one.
    alone = asked(ctx, "Q001", strategy, EDGES["lost only asset"], assets_from="known")
    assert (alone.verdict, UNSEEN in alone.message) == ("unknown", True)
    user = EDGES["lost only asset"].user
    nothing = CHECKS["Q002"].run(ctx, strategy=strategy, unknown_user_id=user, assets_from="known")
    assert (nothing.verdict, UNSEEN in nothing.message) == ("pass", True)


CLUSTERINGS = [
    f"asset_id {assets}, seq {entries}" for assets in ("ASC", "DESC") for entries in ("ASC", "DESC")
]
OF_ONE_USER = ((1, 10, 100, 0, 10), (3, MOST, 50, 7, 5), (77, 2, 20, 0, 2))


@pytest.fixture(scope="module")
def turned(session: Session, edges: Profile) -> list[Place]:
    """A ledger that begins with its oldest entry, and a view of it in each clustering."""
    base = make_base(session, edges.keyspace, "oldest_first", "(user_id, asset_id), seq")
    places = [
        make_view(session, edges.keyspace, base, f"oldest_first_{number}", order)
        for number, order in enumerate(CLUSTERINGS)
    ]
    older = ((1, 1, 1, 1, 1), (1, 9, 9, 9, 9), (3, 0, 3, 3, 3), (77, 1, 2, 2, 2))
    for row in (*OF_ONE_USER, *older):
        session.execute(put(*row).format(ledger=f"{edges.keyspace}.{base}", user=5))
    return places


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_a_ledger_and_a_view_in_any_clustering(
    ctx: Context, turned: list[Place], clustering: str, strategy: str
) -> None:
    place = turned[CLUSTERINGS.index(clustering)]
    target = Target(place.keyspace, place.view, place.base, ctx.ledger)
    found = rows_of(read(ctx.reader, target, strategy, 5, (1, 3, 77, 4)))
    if STRATEGIES[strategy].known_wrong:
        assert len(found) == 1
    else:
        assert found == OF_ONE_USER


def test_more_assets_than_one_statement_takes_in_a_ledger_that_begins_with_its_oldest(
    session: Session, ctx: Context, turned: list[Place]
) -> None:
    place = turned[0]
    for asset in range(2000, 2150):
        for seq in (1, 2):
            write = put(asset, seq, seq, 0, seq).format(ledger=f"{place.keyspace}.{place.base}", user=6)
            session.execute(write)
    target = Target(place.keyspace, place.view, place.base, ctx.ledger)
    found = rows_of(read(ctx.reader, target, "in_assets", 6, range(2000, 2300)))
    assert found == tuple((asset, 2, 2, 0, 2) for asset in range(2000, 2150))


def test_a_ledger_whose_partition_holds_all_assets(session: Session, edges: Profile, ctx: Context) -> None:
    base = make_base(session, edges.keyspace, "by_user", "user_id, asset_id, seq")
    place = make_view(session, edges.keyspace, base, "of_user")
    for row in ((1, 1, 5, 0, 1), (1, 2, 10, 0, 2), (3, 1, 30, 0, 3)):
        session.execute(put(*row).format(ledger=f"{edges.keyspace}.{base}", user=5))
    target = Target(place.keyspace, place.view, place.base, ctx.ledger)
    for strategy in OF_THE_VIEW:
        assert rows_of(read(ctx.reader, target, strategy, 5, ())) == ((1, 2, 10, 0, 2), (3, 1, 30, 0, 3))
    # One row a partition would be one row a user.
    with pytest.raises(BalancebookError, match=r"key is \(\(user_id\), asset_id, seq\)"):
        read(ctx.reader, target, "in_assets", 5, (1, 3))


@pytest.mark.parametrize("strategy", RIGHT)
def test_an_empty_table(edges: Profile, empty: Place, strategy: str) -> None:
    ctx = Context(retarget(edges, view=empty.view), sleep=lambda _: None)
    with closing(ctx):
        frame = read(ctx.reader, ctx.target, strategy, 5, (1, 2, 3))
        assert (frame.empty, {str(dtype) for dtype in frame.dtypes}) == (True, {"Int64"})
        for source in ("scan", "known"):
            how = {"strategy": strategy, "assets_from": source}
            said = {code: CHECKS[code].run(ctx, user_id=5, **how) for code in ("Q001", "Q003")}
            assert {code: str(result.verdict) for code, result in said.items()} == {
                "Q001": "unknown",
                "Q003": "unknown",
            }
            assert "The base has no entry of user 5" in said["Q001"].message
            assert "no value to compare" in said["Q003"].message
            assert CHECKS["Q002"].run(ctx, unknown_user_id=5, **how).verdict == "pass"


def test_a_view_dropped_between_check_and_query(session: Session, edges: Profile) -> None:
    base = make_base(session, edges.keyspace, "soon_alone", "(user_id, asset_id), seq", NEWEST_FIRST)
    place = make_view(session, edges.keyspace, base, "soon_gone")
    session.execute(put(1, 1, 10, 0, 1).format(ledger=f"{edges.keyspace}.{base}", user=5))
    ctx = Context(retarget(edges, view=place.view), sleep=lambda _: None)
    with closing(ctx):
        asks = {strategy: {"strategy": strategy, "user_id": 5} for strategy in RIGHT}
        assert CHECKS["V001"].run(ctx).verdict == "pass"
        assert {str(CHECKS["Q001"].run(ctx, **ask).verdict) for ask in asks.values()} == {"pass"}

        session.execute(f"DROP MATERIALIZED VIEW {edges.keyspace}.{place.view}")
        for strategy, ask in asks.items():
            for code in ("Q001", "Q003"):
                result = CHECKS[code].run(ctx, **ask)
                # The base is there still, and its queries need no view.
                expected = "unknown" if strategy in OF_THE_VIEW else "pass"
                assert result.verdict == expected, result
                assert strategy in OF_THE_BASE or "soon_gone" in result.message
        with pytest.raises(StoreError) as caught:
            read(ctx.reader, ctx.target, "skip_scan", 5, ())
        assert caught.value.kind == "missing"
        assert CHECKS["V001"].run(ctx).verdict == "fail"
    # Who begins now is told at once.
    with closing(Context(retarget(edges, view=place.view))) as late:
        for strategy, ask in asks.items():
            result = CHECKS["Q001"].run(late, **ask)
            assert (result.verdict, "does not exist" in result.message) == ("unknown", True), strategy


def test_a_writer_in_the_middle_of_the_query(session: Session, edges: Profile) -> None:
    """Each answer has at least what was acknowledged before the question, and nothing that was not begun after it."""
    writer = Writer(session, edges.keyspace, user=7100)
    seen: dict[tuple[str, int], int] = {}
    with closing(Context(edges)) as ctx, writer.at_work():
        until, rounds = time.monotonic() + 3, 0
        while time.monotonic() < until or rounds < 3:
            rounds += 1
            for strategy in RIGHT:
                before = dict(writer.acknowledged)
                rows = rows_of(read(ctx.reader, ctx.target, strategy, 7100, tuple(before)))
                after = dict(writer.begun)
                found = {asset: seq for asset, seq, *_ in rows}
                assert before.keys() <= found.keys(), strategy
                for asset, seq, avail, frozen, created_at in rows:
                    assert before.get(asset, 0) <= seq <= after[asset], strategy
                    assert (avail, frozen, created_at) == (seq, seq, seq), strategy
                    assert seq >= seen.get((strategy, asset), 0), f"{strategy} went back"
                    seen[strategy, asset] = seq
                for code in ("Q001", "Q003"):
                    result = CHECKS[code].run(ctx, strategy=strategy, user_id=7100)
                    assert result.verdict == "pass", result
    assert sum(writer.acknowledged.values()) > 20 * rounds, "hardly anything was written meanwhile"
