"""Every strategy on a real database: the right ones agree, the known wrong one is caught losing assets."""

import os
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from cassandra.cluster import Session

from balancebook.assets import Registry
from balancebook.balances import STRATEGIES, Target, assets_of, read, strategy_named
from balancebook.demo.schema import create_schema
from balancebook.errors import BalancebookError, UsageError
from balancebook.settings import LedgerSchema, Profile
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader, open_reader

RIGHT = [name for name, strategy in STRATEGIES.items() if not strategy.known_wrong]
COLUMNS = ["asset", "order", "available", "held", "time"]


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """One keyspace for all of these tests, since making one takes seconds; who writes uses accounts of its own."""
    name = f"balances_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    return name


@pytest.fixture(scope="module")
def target(session: Session, place: str) -> Target:
    book(
        session,
        place,
        (1001, 1, 1, 5, 0),
        (1001, 1, 2, 910000000000, 0),
        (1001, 77, 1, -(2**63), 2**63 - 1),
        (1001, 3, 9, 9, 1),
        (1001, 3, 10, 10_000_000_000_000, 7),
        (1002, 2, 1, 4, 4),
    )
    return Target(place, "user_balances_by_user", "balance_ledger", LedgerSchema())


def book(session: Session, keyspace: str, *rows: tuple[int, int, int, int, int]) -> None:
    """Rows (user, asset, seq, avail, frozen) of the ledger; created_at is 1000 + seq."""
    for user, asset, seq, avail, frozen in rows:
        session.execute(
            f"INSERT INTO {keyspace}.balance_ledger (user_id, asset_id, seq, avail, frozen, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            (user, asset, seq, avail, frozen, 1000 + seq),
        )


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.astype(object).itertuples(index=False)]


@pytest.mark.parametrize("strategy", RIGHT)
def test_a_right_strategy_returns_each_asset_at_its_newest_row(
    reader: Reader, target: Target, strategy: str
) -> None:
    frame = read(reader, target, strategy, 1001, (77, 1, 3, 3, 2))
    assert list(frame.columns) == COLUMNS
    assert {str(dtype) for dtype in frame.dtypes} == {"Int64"}
    assert rows_of(frame) == [
        (1, 2, 910000000000, 0, 1002),
        (3, 10, 10_000_000_000_000, 7, 1010),
        (77, 1, -(2**63), 2**63 - 1, 1001),
    ]


def test_the_seed_query_loses_all_assets_but_one(reader: Reader, target: Target) -> None:
    assert rows_of(read(reader, target, "seed_limit_one", 1001, ())) == [(1, 2, 910000000000, 0, 1002)]
    assert "one row per partition" in str(STRATEGIES["seed_limit_one"].known_wrong)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_user_without_rows_gets_the_same_frame_empty(reader: Reader, target: Target, strategy: str) -> None:
    for assets in ((1, 2, 3), ()):
        frame = read(reader, target, strategy, 999999, assets)
        assert list(frame.columns) == COLUMNS
        assert {str(dtype) for dtype in frame.dtypes} == {"Int64"}
        assert frame.empty


@pytest.fixture(scope="module")
def many_assets(session: Session, target: Target) -> None:
    rows = ((5, asset, seq, asset * 10 + seq, 0) for asset in range(1, 231) for seq in (1, 2))
    book(session, target.keyspace, *rows)


@pytest.mark.usefixtures("many_assets")
@pytest.mark.parametrize("strategy", RIGHT)
def test_more_assets_than_one_statement_takes(reader: Reader, target: Target, strategy: str) -> None:
    frame = read(reader, target, strategy, 5, range(300))
    assert frame["asset"].tolist() == list(range(1, 231))
    assert frame["available"].tolist() == [asset * 10 + 2 for asset in range(1, 231)]


def test_null_cells_stay_null(session: Session, reader: Reader, target: Target) -> None:
    session.execute(f"INSERT INTO {target.keyspace}.balance_ledger (user_id, asset_id, seq) VALUES (6, 2, 2)")
    frame = read(reader, target, "in_assets", 6, (2,))
    assert frame.loc[0, ["available", "held", "time"]].isna().all()
    assert str(frame["available"].dtype) == "Int64"


@pytest.fixture(scope="module")
def foreign(session: Session, place: str) -> Target:
    """Another exchange's ledger: quoted names, other types, assets in descending order, no held balance, no time."""
    session.execute(
        f'CREATE TABLE {place}."Book" ("Who" text, "asset""s" text, "order" int, "free" decimal, '
        'PRIMARY KEY (("Who", "asset""s"), "order")) WITH CLUSTERING ORDER BY ("order" DESC)'
    )
    session.execute(
        f'CREATE MATERIALIZED VIEW {place}."By_Who" AS SELECT * FROM {place}."Book" '
        'WHERE "Who" IS NOT NULL AND "asset""s" IS NOT NULL AND "order" IS NOT NULL '
        'PRIMARY KEY ("Who", "asset""s", "order") WITH CLUSTERING ORDER BY ("asset""s" DESC, "order" DESC)'
    )
    insert = f'INSERT INTO {place}."Book" ("Who", "asset""s", "order", "free") VALUES (\'ann\', %s, %s, %s)'
    for row in (("BTC", 1, 1), ("BTC", 2, 2), ("ETH", 1, 3), ("XRP", 4, 4)):
        session.execute(insert, row)
    ledger = LedgerSchema(
        account="Who",
        asset='asset"s',
        order="order",
        available="free",
        held=None,
        delta_available=None,
        delta_held=None,
        type=None,
        reference=None,
        time=None,
    )
    return Target(place, "By_Who", "Book", ledger)


@pytest.mark.parametrize("strategy", RIGHT)
def test_roles_are_columns_of_any_name_and_type(reader: Reader, foreign: Target, strategy: str) -> None:
    frame = read(reader, foreign, strategy, "ann", ("BTC", "ETH", "XRP"))
    assert [str(frame[name].dtype) for name in COLUMNS] == ["object", "Int64", "object", "Int64", "Int64"]
    assert frame[["asset", "order", "available"]].to_numpy().tolist() == [
        ["BTC", 2, 2],
        ["ETH", 1, 3],
        ["XRP", 4, 4],
    ]
    assert frame[["held", "time"]].isna().all(axis=None)
    assert read(reader, foreign, strategy, "nobody", ()).dtypes.equals(frame.dtypes)


def test_assets_of_a_foreign_ledger(reader: Reader, foreign: Target) -> None:
    for source in ("scan", "known"):
        assert assets_of(reader, foreign, "ann", source, Registry()).assets == ("BTC", "ETH", "XRP")


def test_assets_by_scan_are_those_of_the_base(reader: Reader, target: Target, profile: Profile) -> None:
    listed = assets_of(reader, target, 1001, "scan", profile.registry)
    assert listed.assets == (1, 3, 77)
    assert "scan" in listed.note
    assert listed.blind_spot in listed.note
    assert assets_of(reader, target, 999999, "scan", profile.registry).assets == ()


def test_known_assets_are_the_registrys_the_views_and_those_named(
    reader: Reader, target: Target, profile: Profile
) -> None:
    assert assets_of(reader, target, 1001, "known", profile.registry, (5,)).assets == (1, 2, 3, 5, 77)
    assert assets_of(reader, target, 999999, "known", profile.registry).assets == (1, 2, 3)


def test_the_base_is_scanned_once(session: Session, reader: Reader, target: Target) -> None:
    def scanned(user: int) -> Sequence[int]:
        return assets_of(reader, target, user, "scan", Registry()).assets

    book(session, target.keyspace, (7, 1, 1, 1, 1), (8, 2, 1, 1, 1))
    assert scanned(7) == (1,)
    book(session, target.keyspace, (7, 5, 1, 1, 1), (8, 5, 1, 1, 1))
    assert scanned(8) == (2,)
    assert scanned(7) == (1,)


def test_of_too_many_accounts_only_those_asked_for_are_kept(
    reader: Reader, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balancebook.balances.asset_list.MOST_KEPT", 1)
    assert assets_of(reader, target, 1001, "scan", Registry()).assets == (1, 3, 77)
    assert assets_of(reader, target, 1002, "scan", Registry()).assets == (2,)
    assert assets_of(reader, target, 999999, "scan", Registry()).assets == ()


def test_a_scan_beyond_the_budget_lists_nothing(profile: Profile, target: Target) -> None:
    limits = profile.limits.model_copy(update={"max_rows": 2})
    capped = profile.model_copy(update={"limits": limits})
    with (
        open_reader(capped) as reader,
        pytest.raises(BalancebookError, match="more partitions than the budget of 2"),
    ):
        assets_of(reader, target, 1001, "scan", Registry())


def test_an_unknown_source_is_named(reader: Reader, target: Target) -> None:
    with pytest.raises(UsageError, match="'guess'"):
        assets_of(reader, target, 1001, "guess", Registry())


def test_an_unknown_strategy_suggests_one() -> None:
    with pytest.raises(UsageError, match="'group-by'") as caught:
        strategy_named("group-by")
    assert caught.value.suggestion == "group_by"


def test_a_role_that_names_no_column(reader: Reader, place: str) -> None:
    ledger = LedgerSchema(held="frozn")
    target = Target(place, "user_balances_by_user", "balance_ledger", ledger)
    with pytest.raises(StoreError, match=r"no column frozn.*Did you mean frozen") as caught:
        read(reader, target, "skip_scan", 1001, ())
    assert caught.value.kind == "missing"


@pytest.mark.parametrize(("view", "base"), [("nope", "balance_ledger"), ("user_balances_by_user", "nope")])
def test_a_target_that_is_not_there(reader: Reader, place: str, view: str, base: str) -> None:
    with pytest.raises(StoreError, match="nope") as caught:
        read(reader, Target(place, view, base, LedgerSchema()), "skip_scan", 1001, ())
    assert caught.value.kind == "missing"


def test_a_base_partitioned_otherwise_says_so(session: Session, place: str, reader: Reader) -> None:
    session.execute(
        f"CREATE TABLE {place}.by_user (user_id bigint, asset_id int, seq bigint, avail bigint, "
        "frozen bigint, created_at bigint, PRIMARY KEY (user_id, asset_id, seq))"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.of_user AS SELECT * FROM {place}.by_user WHERE user_id IS NOT NULL "
        "AND asset_id IS NOT NULL AND seq IS NOT NULL PRIMARY KEY (user_id, asset_id, seq)"
    )
    with pytest.raises(BalancebookError, match="partitioned by user_id"):
        assets_of(reader, Target(place, "of_user", "by_user", LedgerSchema()), 1, "scan", Registry())


def test_money_that_is_not_exact_is_refused(session: Session, reader: Reader, place: str) -> None:
    session.execute(
        f"CREATE TABLE {place}.rough (user_id bigint, asset_id int, seq bigint, avail double, frozen bigint, "
        "created_at bigint, PRIMARY KEY ((user_id, asset_id), seq))"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {place}.rough_by_user AS SELECT * FROM {place}.rough WHERE user_id IS NOT NULL "
        "AND asset_id IS NOT NULL AND seq IS NOT NULL PRIMARY KEY (user_id, asset_id, seq)"
    )
    rough = Target(place, "rough_by_user", "rough", LedgerSchema())
    with pytest.raises(BalancebookError, match="avail is double, which holds no exact amounts"):
        read(reader, rough, "group_by", 1001, ())
