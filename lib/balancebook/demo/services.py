"""The demo exchange in the background: database and gateway, started once and found again by later commands."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from balancebook.demo.generate import DEFAULT, Size
from balancebook.demo.jars import ensure_jars
from balancebook.demo.java import find_java
from balancebook.demo.node import START_TIMEOUT_S, Node, NodeConfig
from balancebook.demo.processes import (
    Mark,
    ServiceError,
    listener_on,
    locked,
    make_folder,
    mark_in,
    read_state,
    require_free,
    spawn,
    tail,
    wait_until,
    write_state,
)
from balancebook.errors import UsageError
from balancebook.settings import load_profile, state_dir

GatewayMode = Literal["fixed", "seed"]
State = Literal["running", "paused", "not answering", "stopped"]
Progress = Callable[[str], None]

_ADDRESS = "127.0.0.1"
_UP_LOCK_S = 900.0  # another `up` may be fetching jars and loading data
_GATEWAY_START_S = 30.0
_GATEWAY_GRACE_S = 5.0
_HEALTH_TIMEOUT_S = 5.0
_MODULE = "balancebook.demo.gateway"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The embedded database: what it does, and where (None where it was never started)."""

    state: State
    pid: int | None = None
    host: str | None = None
    port: int | None = None
    admin_port: int | None = None
    data_dir: str | None = None

    def __str__(self) -> str:
        return f"{self.state} at {self.host}:{self.port} (process {self.pid})" if self.pid else self.state


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """The demo gateway: what it does, where, in which mode, and what it says of its own health."""

    state: State
    pid: int | None = None
    url: str | None = None
    mode: str | None = None
    health: str | None = None

    def __str__(self) -> str:
        if not self.pid:
            return self.state
        says = f", says {self.health}" if self.health else ""
        return f"{self.state} at {self.url} (process {self.pid}), mode {self.mode}{says}"


@dataclass(frozen=True, slots=True)
class Status:
    """Both services."""

    server: ServerStatus
    gateway: GatewayStatus

    @property
    def ready(self) -> bool:
        """Whether both answer."""
        return self.server.state == "running" and self.gateway.state == "running"

    def to_json(self) -> dict[str, dict[str, str | int | None]]:
        """{"server": {...}, "gateway": {...}} with the fields above."""
        return asdict(self)

    def __str__(self) -> str:
        """One line a service, for a terminal."""
        return f"database  {self.server}\ngateway   {self.gateway}"


def up(
    gateway_mode: GatewayMode = "fixed",
    *,
    progress: Progress = lambda _: None,
    size: Size = DEFAULT,
    env: Mapping[str, str] = os.environ,
) -> Status:
    """Make database, demo data and gateway run, reusing what does; returns when all of it answers.

    What was killed is started anew on its data, what is paused is resumed, a gateway in another mode is replaced.
    Several calls at once take turns. Raises UsageError for a busy port, a folder that cannot be written, a missing
    Java or missing jars; ServiceError, with the end of its log, for a process that does not come up.
    """
    _require_extra()
    folder = make_folder(state_dir(env))
    waiting = lambda: progress("waiting for another `balancebook up` or `down`")  # noqa: E731
    with locked(folder / "services.lock", timeout_s=_UP_LOCK_S, waiting=waiting):
        _drop_unreadable(folder)
        if not _revived(_find_node(folder, env), folder, progress):
            # The gateway's connections are to a server that is gone: a new one is up before it would notice.
            _end_gateway(folder)
            _start_server(folder, env, progress)
        from balancebook.demo.load import ensure_loaded, ensure_wallets_loaded  # noqa: PLC0415 (see _start_server)

        ensure_loaded(load_profile("embedded", env=env), size=size, progress=progress)
        ensure_wallets_loaded(load_profile("embedded_wallets", env=env), progress=progress)
        _ensure_gateway(folder, env, gateway_mode, progress)
    return status(env=env)


def _require_extra() -> None:
    missing = [name for name in ("jgo", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"The embedded database needs {', '.join(missing)}.", "pip install 'balancebook[embedded]'."
        )


def down(*, database: bool = True, env: Mapping[str, str] = os.environ) -> Status:
    """Stop the gateway and, unless told otherwise, the database, draining it; data stay.

    Nothing happens to what does not run.
    """
    folder = state_dir(env)
    if folder.is_dir():
        with locked(folder / "services.lock", timeout_s=_UP_LOCK_S):
            _end_gateway(folder)
            if database:
                _find_node(folder, env).stop()
                _server_file(folder).unlink(missing_ok=True)
    return status(env=env)


def status(*, env: Mapping[str, str] = os.environ) -> Status:
    """What runs now: asked of the processes and of their ports, not read from a file alone."""
    folder = state_dir(env)
    return Status(_server_status(folder), _gateway_status(folder))


def node_config(folder: Path, env: Mapping[str, str]) -> NodeConfig:
    """The embedded node of a state folder, on the ports that the environment or the defaults say."""
    return NodeConfig(
        home=folder / "server",
        address=_ADDRESS,
        cql_port=_port(env, "BALANCEBOOK_PORT", 19042),
        storage_port=_port(env, "BALANCEBOOK_STORAGE_PORT", 17000),
        admin_port=_port(env, "BALANCEBOOK_ADMIN_PORT", 18778),
    )


def running_node(*, env: Mapping[str, str] = os.environ) -> Node:
    """The embedded node, running or paused. Raises UsageError if there is none: nothing else is ever damaged."""
    node = _known_node(state_dir(env))
    if node is None:
        raise UsageError("The embedded database does not run.", "Start it: balancebook up.")
    return node


def write_server_state(folder: Path, node: Node) -> None:
    """Write server.json, by which profiles and later commands find the node."""
    if node.mark is None:
        raise ServiceError("The embedded database was not started.")
    config = node.config
    found = {
        "host": config.address,
        "port": config.cql_port,
        "storage_port": config.storage_port,
        "admin_port": config.admin_port,
        "data_dir": str(config.home / "data"),
    }
    write_state(_server_file(folder), asdict(node.mark) | found)


def _revived(node: Node, folder: Path, progress: Progress) -> bool:
    """Whether the node runs and answers, resumed if it was paused. One that hangs is stopped."""
    if node.mark is None:
        return False
    if not (node.config.home / "data").is_dir():
        # Somebody removed the state folder beneath it: it serves files that no longer have a name.
        node.kill()
        return False
    write_server_state(folder, node)

    def answers() -> bool:
        if node.paused:
            progress("the database was paused: resuming it")
            node.resume()
        return node.answers()

    if wait_until(answers, node.mark, START_TIMEOUT_S):
        return True
    node.stop()
    return False


def _start_server(folder: Path, env: Mapping[str, str], progress: Progress) -> None:
    java, jars = find_java(env), ensure_jars(progress, env)
    node = Node(node_config(folder, env))
    progress(f"starting Apache Cassandra on Java {java.major} ({java.source})")
    node.launch(java, jars)
    write_server_state(folder, node)
    # The driver takes its time to be imported too: now, while the JVM starts.
    import balancebook.demo.load  # noqa: F401, PLC0415

    try:
        node.wait_ready()
    except ServiceError:
        node.stop()
        _server_file(folder).unlink(missing_ok=True)
        raise


def _find_node(folder: Path, env: Mapping[str, str]) -> Node:
    """The node of a state folder, with the mark of its process if it runs."""
    node = _known_node(folder) or Node(node_config(folder, env))
    if node.mark is None:
        # A command killed between starting the JVM and noting it leaves one that only its command line tells of.
        node.mark = node.find_running()
    return node


def _drop_unreadable(folder: Path) -> None:
    """Remove state files that name no process: profiles read them too, and would refuse them."""
    for path in (_server_file(folder), _gateway_file(folder)):
        if mark_in(read_state(path)) is None:
            path.unlink(missing_ok=True)


def _known_node(folder: Path) -> Node | None:
    """The node that server.json names, if its process exists."""
    state = read_state(_server_file(folder))
    mark = mark_in(state)
    if state is None or mark is None or not mark.alive:
        return None
    with suppress(KeyError):
        config = NodeConfig(
            home=folder / "server",
            address=state["host"],
            cql_port=state["port"],
            storage_port=state["storage_port"],
            admin_port=state["admin_port"],
        )
        return Node(config, mark)
    return None


def _server_status(folder: Path) -> ServerStatus:
    node = _known_node(folder)
    if node is None or node.mark is None:
        return ServerStatus("stopped")
    config = node.config
    state: State = "paused" if node.paused else "running" if node.answers() else "not answering"
    data = str(config.home / "data")
    return ServerStatus(state, node.mark.pid, config.address, config.cql_port, config.admin_port, data)


def _ensure_gateway(folder: Path, env: Mapping[str, str], mode: GatewayMode, progress: Progress) -> None:
    now = _gateway_status(folder)
    if now.state == "running" and now.mode == mode:
        return
    _end_gateway(folder)
    port = _port(env, "BALANCEBOOK_GATEWAY_PORT", 3001)
    _end_stray_gateway(port, load_profile("embedded", env=env).port)
    require_free(_ADDRESS, port, what="the demo gateway", variable="BALANCEBOOK_GATEWAY_PORT")
    progress(f"starting the gateway (mode {mode})")
    _start_gateway(folder, env, mode, port)


def _start_gateway(folder: Path, env: Mapping[str, str], mode: GatewayMode, port: int) -> None:
    profile = load_profile("embedded", env=env)
    home, url = make_folder(folder / "gateway"), f"http://{_ADDRESS}:{port}"
    options = {
        "contact-point": profile.contact_points[0],
        "cql-port": profile.port,
        "keyspace": profile.keyspace,
        "view": profile.view,
        "host": _ADDRESS,
        "port": port,
        "mode": mode,
    }
    pairs = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    log = home / "gateway.log"
    mark = spawn([sys.executable, "-m", _MODULE, *pairs], log, cwd=home, env=env)
    write_state(_gateway_file(folder), asdict(mark) | {"url": url, "mode": mode})
    if not wait_until(lambda: _health(url) is not None, mark, _GATEWAY_START_S):
        what = f"did not answer within {_GATEWAY_START_S:.0f} s" if mark.alive else "ended while starting"
        _end_gateway(folder)
        raise ServiceError(f"The gateway {what}. The end of its log:\n{tail(log)}")


def _end_gateway(folder: Path) -> None:
    mark = mark_in(read_state(_gateway_file(folder)))
    if mark:
        mark.end(_GATEWAY_GRACE_S)
    _gateway_file(folder).unlink(missing_ok=True)


def _end_stray_gateway(port: int, cql_port: int) -> None:
    """End a gateway of this very database that no state file knows: a killed command could not note it."""
    holder = listener_on(port)
    with suppress(psutil.Error):
        line = holder.cmdline() if holder else []
        if holder and _MODULE in line and ("--cql-port", str(cql_port)) in itertools.pairwise(line):
            Mark.of(holder.pid).end(_GATEWAY_GRACE_S)


def _gateway_status(folder: Path) -> GatewayStatus:
    found = read_state(_gateway_file(folder))
    mark = mark_in(found)
    if found is None or mark is None or not mark.alive:
        return GatewayStatus("stopped")
    health = None if mark.paused else _health(found["url"])
    state: State = "paused" if mark.paused else "running" if health is not None else "not answering"
    return GatewayStatus(state, mark.pid, found["url"], found["mode"], health)


def _health(url: str) -> str | None:
    """What the gateway says of itself ("Healthy", "Rebuilding 37 %", ...), or None if it does not answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return str(json.loads(connection.getresponse().read())["msg"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _port(env: Mapping[str, str], variable: str, default: int) -> int:
    text = env.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise UsageError(f"{variable} is {text!r}, which is no port.", "Set 1 to 65535.", parameter=variable)
    return int(text)


def _server_file(folder: Path) -> Path:
    return folder / "server" / "server.json"


def _gateway_file(folder: Path) -> Path:
    return folder / "gateway" / "gateway.json"
