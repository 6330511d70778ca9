"""The demo gateway in both modes against a real database: there, away, paused, and with a view that is not built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx
import pytest
from cassandra.cluster import Session

from balancebook.demo.generate import HAND_PLACED, NOBODY, UNKNOWN_ASSET
from balancebook.demo.node import Node
from balancebook.demo.schema import VIEW, create_schema
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from gateway_process import balance, eventually, health, running_gateway

OK = {"status": 0, "msg": "ok"}
DOWN = (503, {"status": 503, "msg": "Database down"})
BTC = {"asset": "BTC", "avail": "9100", "frozen": "0"}


@pytest.fixture
def fixed(profile: Profile, keyspace: str) -> Iterator[httpx.Client]:
    with running_gateway(profile.port, "--keyspace", keyspace) as client:
        yield client


@pytest.fixture
def seed(profile: Profile, keyspace: str) -> Iterator[httpx.Client]:
    with running_gateway(profile.port, "--keyspace", keyspace, "--mode", "seed") as client:
        yield client


@pytest.fixture(scope="module")
def fixed_trading(trading: Profile) -> Iterator[httpx.Client]:
    with running_gateway(trading.port, "--keyspace", trading.keyspace) as client:
        yield client


@pytest.fixture(scope="module")
def seed_trading(trading: Profile) -> Iterator[httpx.Client]:
    with running_gateway(trading.port, "--keyspace", trading.keyspace, "--mode", "seed") as client:
        yield client


def put(session: Session, keyspace: str, asset: int, seq: int, avail: int | None, frozen: int = 0) -> None:
    session.execute(
        f"INSERT INTO {keyspace}.balance_ledger (user_id, asset_id, seq, avail, frozen) VALUES (5, %s, %s, %s, %s)",
        (asset, seq, avail, frozen),
    )


def test_fixed_answers_all_three_assets_of_user_1001(fixed_trading: httpx.Client) -> None:
    answer = fixed_trading.get("/api/user/balance?user_id=1001")
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        '{"status":0,"msg":"ok","data":[{"asset":"BTC","avail":"9100","frozen":"0"},'
        '{"asset":"USDT","avail":"10100000","frozen":"0"},{"asset":"ETH","avail":"100000","frozen":"0"}]}'
    )


def test_seed_answers_bitcoin_alone(seed_trading: httpx.Client) -> None:
    assert balance(seed_trading, 1001) == (200, OK | {"data": [BTC]})


def test_fixed_answers_every_hand_placed_user(fixed_trading: httpx.Client) -> None:
    for user, balances in HAND_PLACED.items():
        _, answer = balance(fixed_trading, user)
        assert len(answer["data"]) == len(balances), user
    _, frozen = balance(fixed_trading, 1003)
    assert frozen["data"][1] == {"asset": "USDT", "avail": "25000", "frozen": "7500.5"}
    _, unknown = balance(fixed_trading, UNKNOWN_ASSET)
    assert unknown["data"][1] == {"asset": "#77", "avail": "123456789", "frozen": "1000", "raw": True}


def test_a_user_who_does_not_exist_has_no_balances(
    fixed_trading: httpx.Client, seed_trading: httpx.Client
) -> None:
    for client in (fixed_trading, seed_trading):
        assert balance(client, NOBODY) == (200, OK | {"data": []})


def test_seed_drops_an_asset_that_it_does_not_know(
    session: Session, keyspace: str, fixed: httpx.Client, seed: httpx.Client
) -> None:
    put(session, keyspace, asset=77, seq=1, avail=-5)
    unknown = {"asset": "#77", "avail": "-5", "frozen": "0", "raw": True}
    assert balance(fixed, 5) == (200, OK | {"data": [unknown]})
    assert balance(seed, 5) == (200, OK | {"data": []})


def test_fixed_answers_the_row_of_the_highest_seq(
    session: Session, keyspace: str, fixed: httpx.Client
) -> None:
    for seq in (9, 10, 2):
        put(session, keyspace, asset=1, seq=seq, avail=seq)
    put(session, keyspace, asset=3, seq=1, avail=-1, frozen=10**8)
    bitcoin = {"asset": "BTC", "avail": "0.0000001", "frozen": "0"}
    ether = {"asset": "ETH", "avail": "-0.00000001", "frozen": "1"}
    assert balance(fixed, 5) == (200, OK | {"data": [bitcoin, ether]})


def test_a_row_without_a_value_is_no_balance(session: Session, keyspace: str, fixed: httpx.Client) -> None:
    put(session, keyspace, asset=1, seq=1, avail=None)
    code, answer = balance(fixed, 5)
    assert (code, answer["status"], "data" in answer) == (503, 503, False)
    assert "asset 1 has no value" in answer["msg"]


def test_health_follows_the_view(
    session: Session, keyspace: str, fixed: httpx.Client, seed: httpx.Client
) -> None:
    eventually(lambda: health(fixed), (200, "Healthy"), within_s=5)

    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
    eventually(lambda: health(fixed), (503, "Missing"), within_s=3)
    code, answer = balance(fixed, 5)
    assert (code, answer["status"], "data" in answer) == (503, 503, False)
    assert balance(seed, 5) == (200, OK | {"data": []})
    assert health(seed) == (200, "Healthy")

    create_schema(session.execute, keyspace, indexes=False)
    eventually(lambda: health(fixed), (200, "Healthy"), within_s=20)
    assert balance(fixed, 5) == (200, OK | {"data": []})

    status = f"UPDATE system_distributed.view_build_status SET status = %s WHERE keyspace_name = '{keyspace}'"
    status += f" AND view_name = '{VIEW}' AND host_id = {session.execute('SELECT host_id FROM system.local').one()[0]}"
    session.execute(status, ("STARTED",))
    eventually(lambda: health(fixed), (503, "Rebuilding 0 %"), within_s=3)
    session.execute(status, ("SUCCESS",))
    eventually(lambda: health(fixed), (200, "Healthy"), within_s=3)


def test_a_keyspace_that_is_not_there_is_a_missing_view(profile: Profile) -> None:
    with running_gateway(profile.port, "--keyspace", 'no "such" one') as client:
        assert health(client) == (503, "Missing")
        assert balance(client, 5)[0] == 503


@pytest.mark.e2e
def test_the_database_comes_is_paused_is_killed_and_comes_back(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable(start=False)
    port = node.config.cql_port
    with running_gateway(port) as fixed, running_gateway(port, "--mode", "seed") as seed:
        assert balance(fixed, 1001) == DOWN
        assert health(fixed) == (503, "Database down")

        node.start()
        eventually(lambda: health(fixed), (503, "Missing"), within_s=20)
        load_one_row(profile_of(node))
        eventually(lambda: health(fixed), (200, "Healthy"), within_s=20)
        for client in (fixed, seed):
            assert balance(client, 1001) == (200, OK | {"data": [BTC]})

        node.pause()
        answers_in_time_while_others_wait(fixed)
        assert health(fixed) == (503, "Database down")
        assert balance(seed, 1001) == (200, OK | {"data": []})
        node.resume()
        eventually(lambda: balance(fixed, 1001), (200, OK | {"data": [BTC]}), within_s=20)

        node.kill()
        assert balance(fixed, 1001) == DOWN
        assert balance(seed, 1001) == (200, OK | {"data": []})
        eventually(lambda: health(fixed), (503, "Database down"), within_s=2)
        assert health(seed) == (200, "Healthy")

        node.start()
        for client in (fixed, seed):
            eventually(lambda: balance(client, 1001), (200, OK | {"data": [BTC]}), within_s=20)  # noqa: B023
        assert health(fixed) == (200, "Healthy")


def answers_in_time_while_others_wait(client: httpx.Client) -> None:
    """A paused database holds up its own readers for a bounded time, and nobody else."""
    started = monotonic()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(balance, client, 1001) for _ in range(20)]
        assert client.get("/nowhere").status_code == 404
        assert monotonic() - started < 1.5
        assert [answer.result() for answer in waiting] == [DOWN] * 20
    assert monotonic() - started < 6


def load_one_row(profile: Profile) -> None:
    patient = profile.limits.model_copy(update={"request_timeout_s": 30.0})
    session = connect(profile.model_copy(update={"limits": patient}))
    try:
        create_schema(session.execute, profile.keyspace)
        session.execute(
            f"INSERT INTO {profile.keyspace}.balance_ledger (user_id, asset_id, seq, avail, frozen)"
            " VALUES (1001, 1, 1, 910000000000, 0)"
        )
    finally:
        close(session)
