"""up, status and down, as commands do it: processes that outlive their starter, crashes, and no lost row."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, Session

from balancebook.demo import services
from balancebook.demo.generate import SMALL
from balancebook.demo.processes import read_state
from balancebook.errors import UsageError
from balancebook.settings import load_profile
from balancebook.store.connect import close, connect
from ports import free_ports

pytestmark = pytest.mark.soak

Env = dict[str, str]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """An environment of its own: state folder and ports; whatever runs in it is stopped at the end."""
    names = ("PORT", "STORAGE_PORT", "ADMIN_PORT", "GATEWAY_PORT")
    ports = {f"BALANCEBOOK_{name}": str(port) for name, port in zip(names, free_ports(4), strict=True)}
    made = dict(os.environ) | ports | {"BALANCEBOOK_STATE": str(tmp_path_factory.mktemp("services"))}
    yield made
    found = services.status(env=made)
    for pid in (found.server.pid, found.gateway.pid):
        if pid:
            os.kill(pid, signal.SIGKILL)


def up(env: Env, mode: services.GatewayMode = "fixed") -> services.Status:
    return services.up(mode, size=SMALL, env=env)


def assets_of_1001(status: services.Status) -> set[str]:
    answer = httpx.get(f"{status.gateway.url}/api/user/balance?user_id=1001", trust_env=False)
    return {entry["asset"] for entry in answer.json()["data"]}


def eventually(env: Env, state: str) -> None:
    """A signal takes effect a moment after it was sent."""
    deadline = time.monotonic() + 10
    while (found := services.status(env=env).server.state) != state:
        assert time.monotonic() < deadline, found


def test_nothing_runs_before_up(env: Env) -> None:
    assert services.status(env=env).to_json()["server"]["state"] == "stopped"
    assert services.down(env=env).gateway.state == "stopped"


def test_up_is_idempotent_and_the_gateway_takes_the_wanted_mode(env: Env) -> None:
    first = up(env)
    assert first.ready
    assert first.gateway.health == "Healthy"
    assert assets_of_1001(first) == {"BTC", "USDT", "ETH"}
    assert up(env) == first
    seed = up(env, "seed")
    assert seed.server == first.server
    assert (seed.gateway.mode, seed.gateway.pid != first.gateway.pid) == ("seed", True)
    assert assets_of_1001(seed) == {"BTC"}


def test_state_files_are_the_owners_alone_and_say_where(env: Env) -> None:
    status = up(env)
    folder = Path(env["BALANCEBOOK_STATE"])
    server = read_state(folder / "server" / "server.json") or {}
    assert (server["pid"], server["port"], server["host"]) == (
        status.server.pid,
        int(env["BALANCEBOOK_PORT"]),
        "127.0.0.1",
    )
    for name in ("server/server.json", "server/agent.properties", "gateway/gateway.json"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_a_paused_server_is_recognised_and_resumed(env: Env) -> None:
    before = up(env)
    os.kill(before.server.pid or 0, signal.SIGSTOP)
    eventually(env, "paused")
    assert up(env).server == before.server


def test_a_killed_gateway_is_started_again(env: Env) -> None:
    before = up(env)
    os.kill(before.gateway.pid or 0, signal.SIGKILL)
    after = up(env)
    assert after.ready
    assert after.server == before.server


def test_a_state_file_lost_by_a_killed_command_is_found_again(env: Env) -> None:
    before = up(env)
    for name in ("server/server.json", "gateway/gateway.json"):
        (Path(env["BALANCEBOOK_STATE"]) / name).write_text("{cut")
    after = up(env)
    assert after.server == before.server
    assert after.ready


def test_a_busy_gateway_port_is_named(env: Env) -> None:
    up(env)
    other = {**env, "BALANCEBOOK_GATEWAY_PORT": env["BALANCEBOOK_PORT"]}
    os.kill(services.status(env=env).gateway.pid or 0, signal.SIGKILL)
    with pytest.raises(UsageError, match=r"gateway, is in use by java.*BALANCEBOOK_GATEWAY_PORT"):
        up(other)


def test_no_acknowledged_row_is_lost_by_kill_9(env: Env) -> None:
    before = up(env)
    session = connect(load_profile("embedded", env=env))
    session.execute(
        "CREATE KEYSPACE crash WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    session.execute("CREATE TABLE crash.rows (id int PRIMARY KEY)")
    acknowledged: list[int] = []
    some = threading.Event()
    writer = threading.Thread(target=_write, args=(session, acknowledged, some))
    writer.start()
    assert some.wait(30)
    os.kill(before.server.pid or 0, signal.SIGKILL)
    writer.join(60)
    close(session)
    after = up(env)
    assert after.ready
    assert after.server.pid != before.server.pid
    session = connect(load_profile("embedded", env=env))
    found = {row[0] for row in session.execute("SELECT id FROM crash.rows")}
    close(session)
    assert len(acknowledged) >= 500
    assert set(acknowledged) <= found
    assert assets_of_1001(after) == {"BTC", "USDT", "ETH"}


def _write(session: Session, acknowledged: list[int], some: threading.Event) -> None:
    """Insert until the server is gone, noting what it acknowledged."""
    insert = session.prepare("INSERT INTO crash.rows (id) VALUES (?)")
    for number in range(1_000_000):
        try:
            session.execute(insert, (number,))
        except (DriverException, NoHostAvailable):
            return
        acknowledged.append(number)
        if number == 500:
            some.set()


def test_two_ups_at_once_start_one_server_that_outlives_them(env: Env) -> None:
    services.down(env=env)
    code = (
        "from balancebook.demo import services; from balancebook.demo.generate import SMALL; "
        "print(services.up(size=SMALL).server.pid)"
    )
    calls = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)  # noqa: S603 (ours)
        for _ in range(2)
    ]
    pids = {int(call.communicate(timeout=90)[0]) for call in calls}
    assert [call.returncode for call in calls] == [0, 0]
    assert pids == {services.status(env=env).server.pid}


def test_a_state_folder_removed_beneath_the_running_services_is_begun_anew(env: Env) -> None:
    before = up(env)
    shutil.rmtree(env["BALANCEBOOK_STATE"])
    after = up(env)
    assert after.ready
    assert after.server.pid != before.server.pid
    assert not _runs(before.server.pid or 0)


def test_down_stops_both_and_leaves_the_data(env: Env) -> None:
    status = up(env)
    after = services.down(env=env)
    assert (after.server.state, after.gateway.state) == ("stopped", "stopped")
    assert not any(_runs(pid or 0) for pid in (status.server.pid, status.gateway.pid))
    assert (Path(env["BALANCEBOOK_STATE"]) / "server" / "data").is_dir()


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
