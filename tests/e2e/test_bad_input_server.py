"""A server that is not there, does not let one in, stands still or dies: unknown, in time, and named."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, create_schema
from balancebook.profile import Profile, Secret, Tls
from balancebook.store.connect import close, connect
from checking import THREE_ASSETS, WHOLE, booker
from e2e.commands import SECRET, Desk, Told

KEYSPACE = "k"
READER: dict[str, Any] = {"username": "reader", "password": "env:TEST_SECRET"}
# Beside opening: every read may wait for its time limit, and reads again before it says so.
BOUND_S = 60
RAN = "open('ran', 'w').close()"
# The first question while all is well, the others after whatever happens meanwhile.
CELLS = (
    "book.check('V001')",
    """\
import os, time
from pathlib import Path
Path('reached').touch()
while not Path('go').exists(): time.sleep(0.02)""",
    "for code in ('V003', 'V004', 'V005'): book.check(code)",
    f"for code in ('Q001', 'Q003'): book.check(code, strategy='group_by', user_id={THREE_ASSETS})",
)
LATER = ("V003", "V004", "V005", "Q001", "Q003")


@dataclass(frozen=True)
class Locked:
    """A server that wants TLS and a password, with a ledger, a reader of it, and a stranger."""

    node: Node
    ca: Path
    other_ca: Path

    @property
    def port(self) -> int:
        return self.node.config.cql_port


@pytest.fixture(scope="module")
def prepared(
    make_node: Callable[..., Node],
    keystore: Callable[..., Any],
    profile: Profile,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Locked]:
    store, other = keystore("127.0.0.1"), keystore("127.0.0.1")
    node = make_node(tmp_path_factory.mktemp("locked"), auth=True, tls=store.server)
    node.start()
    try:
        _prepare(profile, node, store.ca)
        yield Locked(node, store.ca, other.ca)
    finally:
        node.kill()


def _prepare(profile: Profile, node: Node, ca: Path) -> None:
    password = ca.with_name("password")
    password.write_text("cassandra")
    admin = profile.model_copy(
        update={
            "port": node.config.cql_port,
            "tls": Tls(ca=ca),
            "username": "cassandra",
            "password": Secret(kind="file", value=str(password)),
            "limits": profile.limits.model_copy(update={"request_timeout_s": 30.0}),
        }
    )
    session = connect(admin)
    create_schema(session.execute, KEYSPACE, indexes=False)
    booker(session, KEYSPACE)(
        (THREE_ASSETS, 1, 1, 9_100 * WHOLE, 0), (THREE_ASSETS, 2, 1, 10_100_000 * WHOLE, 0)
    )
    for role in ("reader", "stranger"):
        session.execute(f"CREATE ROLE {role} WITH LOGIN = true AND PASSWORD = '{SECRET}'")
    for table in (f"{KEYSPACE}.{LEDGER}", "system_distributed.view_build_status", "system.built_views"):
        session.execute(f"GRANT SELECT ON {table} TO reader")
    close(session)


@pytest.fixture
def locked(prepared: Locked) -> Locked:
    """The server, as it should be."""
    if not prepared.node.alive:
        prepared.node.start()
    return prepared


def _assert_refused(desk: Desk, told: Told, code: str, said: str, remedy: str) -> None:
    """A record in which all is unknown, and nothing was executed."""
    record = desk.record()
    assert (told.code, record.status, record.exit_code) == (11, "refused", 11)
    assert told.document == record.model_dump(mode="json")
    assert record.error
    assert (record.error.code, said in record.error.message) == (code, True), record.error
    assert remedy in record.error.remedy
    assert "\n" not in record.error.message
    assert {(str(result.verdict), result.message) for result in record.results} == {
        ("unknown", record.error.message)
    }
    assert sorted(record.files) == ["page", "record"]
    assert not list(desk.folder.rglob("ran"))
    assert told.stderr == ""
    assert told.seconds < 30


def test_no_server(desk: Desk) -> None:
    desk.profile()
    told = desk.run("readiness")
    _assert_refused(desk, told, "unreachable", "connection refused, nothing listens there", "balancebook up")
    assert len(told.verdicts) == 6


def test_no_server_in_words(desk: Desk) -> None:
    desk.profile(**READER)
    told = desk("run", "readiness", "--out", "runs")
    assert (told.code, told.stderr) == (11, "")
    why, verdict, page = told.stdout.splitlines()
    assert why.startswith("refused: connecting to 127.0.0.1 port ")
    assert verdict == "? unknown readiness: none of its 6 checks could be asked (exit code 11)"
    assert (desk.folder / page.strip()).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_giving_up_on_a_server_that_never_answers(desk: Desk, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        desk.profile(port=silent.getsockname()[1])
        process, began = desk.start("run", "readiness", "--out", "runs", "--json"), time.monotonic()
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(number)
            told = desk.ended(process, began)
    assert (told.code, told.document["error"]["code"]) == (130, "interrupted")
    assert told.stderr.strip() == "balancebook: interrupted."
    assert not desk.runs.exists()


@pytest.mark.parametrize(
    ("keys", "ca", "code", "said", "remedy"),
    [
        (
            READER | {"password": "env:USER_SECRET"},
            "ca",
            "auth",
            "refused the user name or",
            "Check username",
        ),
        ({}, "ca", "auth", "the profile has none", "Set username and password"),
        (READER, "other_ca", "tls", "not signed by the CA of the profile", "Point tls.ca to the CA"),
        (READER, "", "tls", "speaks TLS only, and the profile has no [tls]", "Add [tls] with ca ="),
        (
            READER | {"local_dc": "dc1"},
            "ca",
            "missing",
            "the cluster has datacenter1",
            "local_dc = 'datacenter1'",
        ),
        (
            READER | {"username": "stranger"},
            "ca",
            "permission",
            "role stranger has no SELECT permission",
            f"GRANT SELECT ON {KEYSPACE}.{LEDGER} TO stranger;",
        ),
    ],
)
def test_a_server_that_does_not_let_one_in(
    desk: Desk, locked: Locked, keys: dict[str, Any], ca: str, code: str, said: str, remedy: str
) -> None:
    desk.env["USER_SECRET"] = "not the password"
    desk.profile(port=locked.port, keyspace=KEYSPACE, ca=getattr(locked, ca) if ca else None, **keys)
    _assert_refused(desk, desk.run(desk.notebook(RAN)), code, said, remedy)


@pytest.fixture
def asked(desk: Desk, locked: Locked) -> Desk:
    """A desk whose notebook asks something, waits for the file `go`, and asks more."""
    desk.profile(port=locked.port, keyspace=KEYSPACE, ca=locked.ca, **READER)
    desk.notebook(*CELLS, required=("V001", *LATER))
    return desk


def _during(desk: Desk, act: Callable[[], None]) -> Told:
    """Run it, and do that in the middle."""
    process = desk.start("run", "asked.ipynb", "--out", "runs", "--json")
    _until((desk.folder / "reached").exists)
    act()
    (desk.folder / "go").touch()
    return desk.ended(process, time.monotonic())


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _assert_unknown_since(told: Told, said: str) -> None:
    assert (told.code, told.document["status"], told.document["error"]) == (11, "completed", None), told
    assert told.verdicts == {"V001": "pass"} | dict.fromkeys(LATER, "unknown")
    assert [code for code in LATER if said not in told.message(code)] == []
    assert told.seconds < BOUND_S


def test_a_server_that_stands_still_in_the_middle_and_goes_on(asked: Desk, locked: Locked) -> None:
    try:
        _assert_unknown_since(_during(asked, locked.node.pause), "did not answer in time")
    finally:
        locked.node.resume()
    _until(locked.node.answers)
    told = asked.run("asked.ipynb")
    assert (told.code, set(told.verdicts.values())) == (0, {"pass"}), told


def test_a_server_that_dies_in_the_middle(asked: Desk, locked: Locked) -> None:
    _assert_unknown_since(_during(asked, locked.node.kill), "connect")
