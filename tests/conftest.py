"""One real Cassandra for all tests, disposable ones for what breaks them; none outlives the session."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import trustme
from cassandra.cluster import Session
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from balancebook.demo.faults import Injector
from balancebook.demo.load import ensure_loaded
from balancebook.demo.node import Node, NodeConfig, TlsServer
from balancebook.demo.schema import create_schema
from balancebook.demo.services import write_server_state
from balancebook.settings import Profile, load_profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from dealing import Dealing, dealt_as
from ports import free_ports

# What a developer's shell may set for the machine; everything else would make tests depend on it.
_OF_THE_MACHINE = {f"BALANCEBOOK_{name}" for name in ("CACHE", "JARS", "JAVA_HOME", "MAVEN_MIRROR")}
# All that a session starts, its workers too, has this in its environment.
_MARK = "TEST_SESSION"
_nodes: list[Node] = []
_numbers = itertools.count()

# How long an example takes says how busy the machine is; a test that hangs meets pytest's own time limit.
settings.register_profile("balancebook", deadline=None)
settings.load_profile("balancebook")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[_MARK] = uuid4().hex
    for name in [name for name in os.environ if name.startswith("BALANCEBOOK_")]:
        if name not in _OF_THE_MACHINE:
            del os.environ[name]
    # A terminated session then ends as an interrupted one does: through the fixtures' clean-up. And one started in the
    # background by a shell would ignore Ctrl-C, as would all commands and servers that tests interrupt.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make e2e` runs. Dealt to workers, the long ones come first, so that none is left to one at the end."""
    for item in items:
        of_the_exchange = "trading" in getattr(item, "fixturenames", ())
        if of_the_exchange and dealt_as(item.nodeid) != "exchange":
            raise pytest.UsageError(
                f"{item.nodeid} uses the demo exchange: name its file in tests/dealing.py."
            )
        if of_the_exchange or item.path.parent.name in ("e2e", "notebooks"):
            item.add_marker("e2e")
    if "PYTEST_XDIST_WORKER" in os.environ:
        folders = list(dict.fromkeys(item.path.parent for item in items))
        items.sort(key=lambda item: (dealt_as(item.nodeid) != "exchange", -folders.index(item.path.parent)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """What a worker of `make test` takes at a time."""
    return Dealing(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    try:
        # Fixtures end in here, and some have a word for their server yet.
        yield
    finally:
        for node in _nodes:
            node.kill()
        if not hasattr(session.config, "workerinput"):
            _end_what_is_left()


def _end_what_is_left() -> None:
    """An interrupted session gives its workers seconds, and a killed one cannot end its servers."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == os.environ[_MARK]:
                process.kill()


def new_node(home: Path, address: str = "127.0.0.1", **settings: Any) -> Node:
    """A node on free ports that is killed at the end of the session, if not before; not started."""
    cql, storage, admin = free_ports(3, address)
    ports = {"cql_port": cql, "storage_port": storage, "admin_port": admin}
    config = NodeConfig(**{"home": home, "address": address, **ports, **settings})
    node = Node(config)
    _nodes.append(node)
    return node


@pytest.fixture(scope="session")
def make_node() -> Callable[..., Node]:
    """make_node(home, auth=..., tls=...) -> a node, not started, for several tests; killed at the end at the latest."""
    return new_node


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment by which `load_profile` and commands find the shared server; its state folder is its own."""
    state = tmp_path_factory.mktemp("state")
    return dict(os.environ) | {"BALANCEBOOK_STATE": str(state), "BALANCEBOOK_PROFILE": "embedded"}


@pytest.fixture(scope="session")
def server(environment: dict[str, str]) -> Iterator[Node]:
    """The shared node, running. Leave it running: whoever kills or pauses takes a `disposable` one."""
    state = Path(environment["BALANCEBOOK_STATE"])
    node = new_node(state / "server", lasting=False)
    try:
        node.start()
        write_server_state(state, node)
        yield node
    finally:
        # No drain: nobody reads these data again.
        node.kill()


@pytest.fixture(scope="session")
def profile(server: Node, environment: dict[str, str]) -> Profile:
    """The embedded profile of the shared server."""
    assert server.alive
    return load_profile("embedded", env=environment)


@pytest.fixture
def reader(profile: Profile) -> Iterator[Reader]:
    """A reading session to the shared server."""
    with open_reader(profile) as opened:
        yield opened


@pytest.fixture(scope="session")
def session(profile: Profile) -> Iterator[Session]:
    """A driver's session to the shared server that may write; rows as tuples, patient with schema changes."""
    patient = profile.limits.model_copy(update={"request_timeout_s": 30.0})
    opened = connect(profile.model_copy(update={"limits": patient}))
    yield opened
    close(opened)


@pytest.fixture
def keyspace(session: Session) -> str:
    """A fresh keyspace with the demo's empty tables and view.

    It goes with its server: dropped, it would take a second, in which the server flushes every table that it has.
    """
    name = f"t_{os.getpid()}_{next(_numbers)}"
    create_schema(session.execute, name, indexes=False)
    return name


@pytest.fixture(scope="session")
def trading(profile: Profile) -> Profile:
    """The profile with the whole demo exchange loaded into its keyspace. Read-only by convention."""
    ensure_loaded(profile)
    return profile


@pytest.fixture
def inject(server: Node, session: Session, keyspace: str) -> Iterator[Injector]:
    """Real faults in the tables of `keyspace`, past the view's update."""
    with server.admin() as admin:
        yield Injector(session.execute, admin, keyspace)


@pytest.fixture
def disposable(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """disposable(auth=False, tls=None, address="127.0.0.1", start=True) -> a node to kill, pause or lock up."""
    mine: list[Node] = []

    def make(*, start: bool = True, **settings: Any) -> Node:
        node = new_node(tmp_path / f"node{len(mine)}", **settings)
        mine.append(node)
        if start:
            node.start()
        return node

    yield make
    for node in mine:
        node.kill()


@pytest.fixture
def profile_of(profile: Profile) -> Callable[..., Profile]:
    """profile_of(node, username=..., tls=...) -> the embedded profile, pointed at a disposable node."""

    def make(node: Node, **changes: Any) -> Profile:
        at = {"contact_points": (node.config.address,), "port": node.config.cql_port}
        return profile.model_copy(update=at | changes)

    return make


@dataclass(frozen=True)
class Keystore:
    """A server's certificate as a node takes it, and the authority's file as a client verifies it."""

    server: TlsServer
    ca: Path


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Keystore]:
    """keystore("127.0.0.1") -> a fresh authority and a certificate for that address."""

    def make(host: str = "127.0.0.1") -> Keystore:
        folder = tmp_path_factory.mktemp("tls")
        authority = trustme.CA()
        issued = authority.issue_cert(host)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        certificate = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        sealed = pkcs12.serialize_key_and_certificates(
            b"node",
            key,  # type: ignore[arg-type]
            certificate,
            None,
            BestAvailableEncryption(b"cassandra"),
        )
        (folder / "server.p12").write_bytes(sealed)
        authority.cert_pem.write_to_path(folder / "ca.pem")
        return Keystore(TlsServer(folder / "server.p12", "cassandra"), folder / "ca.pem")

    return make
