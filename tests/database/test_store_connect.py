"""Connecting: what goes wrong is said in one line, in seconds; what works is verified."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from balancebook.demo.node import Node
from balancebook.profile import Limits, Profile, Secret, Tls
from balancebook.store import connect as connecting
from balancebook.store.connect import close, connect
from balancebook.store.errors import StoreError
from balancebook.store.health import view_health
from balancebook.store.reader import open_reader

QUICK = Limits(connect_timeout_s=2.0, request_timeout_s=2.0)


@pytest.fixture
def unused_listener() -> Iterator[Callable[[bytes], int]]:
    """unused_listener(answer) -> the port of a socket that answers anything with that; with nothing, never."""
    with ExitStack() as held:

        def listen(answer: bytes) -> int:
            server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            Thread(target=_serve, args=(server, answer), daemon=True).start()
            port: int = server.getsockname()[1]
            return port

        yield listen


def _serve(server: socket.socket, answer: bytes) -> None:
    kept = []
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            kept.append(connection)
            if answer:
                connection.recv(100)
                connection.sendall(answer)


def _fails(profile: Profile, **changes: Any) -> StoreError:
    with pytest.raises(StoreError) as caught:
        close(connect(profile.model_copy(update=changes)))
    assert "\n" not in str(caught.value)
    assert profile.name in caught.value.message
    return caught.value


def test_nothing_listens_there(profile: Profile) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = _fails(profile, port=unused.getsockname()[1])
    assert error.kind == "unreachable"
    assert "balancebook up" in error.remedy


def test_a_name_that_does_not_resolve(profile: Profile) -> None:
    assert _fails(profile, contact_points=("no-such-host.invalid",)).kind == "unreachable"


def test_a_server_of_another_kind(profile: Profile, unused_listener: Callable[[bytes], int]) -> None:
    port = unused_listener(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert _fails(profile, port=port, limits=QUICK).kind == "protocol"


def test_a_silent_server_is_given_up_in_time_however_many_there_are(
    profile: Profile, unused_listener: Callable[[bytes], int]
) -> None:
    started = time.monotonic()
    silent = unused_listener(b"")
    error = _fails(profile, port=silent, limits=QUICK, contact_points=("127.0.0.1", "localhost"))
    assert error.kind == "timeout"
    assert time.monotonic() - started < 9


def test_a_wrong_data_centre_names_the_right_one(profile: Profile) -> None:
    error = _fails(profile, local_dc="datacentre1")
    assert error.kind == "missing"
    assert "the cluster has datacenter1" in error.message
    assert "'datacenter1'" in error.remedy


def test_tls_towards_a_plain_server(profile: Profile, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    error = _fails(profile, tls=Tls(ca=ca))
    assert error.kind == "tls"
    assert "does not speak TLS" in error.message


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(
    profile: Profile, tmp_path: Path, content: bytes | None
) -> None:
    ca = tmp_path / "broken.pem"
    if content:
        ca.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        connect(profile.model_copy(update={"tls": Tls(ca=ca)}))
    assert caught.value.kind == "tls"
    assert "broken.pem" in caught.value.message


def test_the_driver_writes_nothing_to_stderr(profile: Profile, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().addHandler(loud := logging.StreamHandler())
    try:
        _fails(profile, contact_points=("127.0.0.77",))
        with open_reader(profile) as reader:
            reader.rows("SELECT cluster_name FROM system.local")
    finally:
        logging.getLogger().removeHandler(loud)
    assert capfd.readouterr().err == ""


def test_a_server_that_does_not_speak_the_version(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_PROTOCOL_VERSION", 2)
    assert _fails(profile).kind == "protocol"


@pytest.mark.e2e
def test_a_server_that_is_paused_and_then_killed(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable()
    profile = profile_of(node, limits=QUICK)
    with open_reader(profile) as reader:
        pages = reader.pages("SELECT keyspace_name, table_name FROM system_schema.tables", page_size=5)
        assert len(next(pages)) == 5
        reader.rows("SELECT cluster_name FROM system.local")
        node.pause()
        _times_out(lambda: next(pages))
        _times_out(lambda: reader.rows("SELECT cluster_name FROM system.local"))
        _times_out(lambda: reader.rows("SELECT key FROM system.local"))  # not prepared yet
        _times_out(lambda: connect(profile))
        node.resume()
        assert reader.rows("SELECT key FROM system.local", timeout_s=30) == [("local",)]
        node.kill()
        with pytest.raises(StoreError) as caught:
            reader.rows("SELECT cluster_name FROM system.local")
        assert caught.value.kind == "unreachable"
    assert _fails(profile).kind == "unreachable"


def _times_out(read: Callable[[], object]) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        read()
    assert caught.value.kind == "timeout"
    assert time.monotonic() - started < QUICK.connect_timeout_s + 3


def _password(tmp_path: Path, value: str) -> Secret:
    (tmp_path / "password").write_text(value)
    return Secret(kind="file", value=str(tmp_path / "password"))


def test_tls_and_passwords_on_a_server_that_wants_both(
    disposable: Callable[..., Node],
    profile_of: Callable[..., Profile],
    keystore: Callable[..., Any],
    tmp_path: Path,
) -> None:
    store, other = keystore("127.0.0.1"), keystore("127.0.0.1")
    node = disposable(auth=True, tls=store.server)
    right = Tls(ca=store.ca)
    secret = _password(tmp_path, "cassandra")
    admin = profile_of(node, tls=right, username="cassandra", password=secret, limits=QUICK)

    with open_reader(admin) as reader:
        assert reader.rows("SELECT key FROM system.local") == [("local",)]

    wrong_password = _fails(admin, password=Secret(kind="env", value="PATH"))
    assert (wrong_password.kind, wrong_password.message.rpartition(": ")[2]) == (
        "auth",
        "the server refused the user name or the password.",
    )
    assert _fails(admin, username="nobody").kind == "auth"
    nobody = _fails(admin, username=None, password=None)
    assert nobody.kind == "auth"
    assert "the profile has none" in nobody.message

    wrong_ca = _fails(admin, tls=Tls(ca=other.ca))
    assert wrong_ca.kind == "tls"
    assert "not signed by the CA" in wrong_ca.message
    wrong_name = _fails(admin, tls=Tls(ca=store.ca, server_hostname="db.example"))
    assert wrong_name.kind == "tls"
    assert "another host name" in wrong_name.message
    close(connect(admin.model_copy(update={"tls": Tls(ca=store.ca, check_hostname=False)})))
    no_tls = _fails(admin, tls=None)
    assert no_tls.kind == "tls"
    assert "the profile has no [tls]" in no_tls.message

    _missing_grants(admin, tmp_path)


def _missing_grants(admin: Profile, tmp_path: Path) -> None:
    """A role without grants is told which; with them it reads, and the view's health is known."""
    patient = admin.limits.model_copy(update={"request_timeout_s": 30.0})
    superuser = connect(admin.model_copy(update={"limits": patient}))
    for statement in (
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (a int PRIMARY KEY, b int)",
        "CREATE MATERIALIZED VIEW k.v AS SELECT * FROM k.t WHERE a IS NOT NULL AND b IS NOT NULL "
        "PRIMARY KEY (b, a)",
        "CREATE ROLE \"Reader\" WITH LOGIN = true AND PASSWORD = 'secret'",
    ):
        superuser.execute(statement)
    reader_role = {"username": "Reader", "password": _password(tmp_path, "secret")}
    with open_reader(admin.model_copy(update=reader_role)) as reader:
        with pytest.raises(StoreError) as caught:
            reader.rows("SELECT * FROM k.v")
        assert caught.value.kind == "permission"
        grant = caught.value.remedy.partition("run: ")[2]
        assert grant == 'GRANT SELECT ON k.t TO "Reader";'
        superuser.execute(grant.rstrip(";"))

        health = view_health(reader, "k", "v")
        assert health.state == "unknown"
        grant = health.note.partition("run: ")[2]
        assert grant == 'GRANT SELECT ON system_distributed.view_build_status TO "Reader";'
        superuser.execute(grant.rstrip(";"))
        deadline = time.monotonic() + 30
        # The server caches what a role may do for some seconds.
        while view_health(reader, "k", "v").state != "healthy" and time.monotonic() < deadline:
            time.sleep(0.5)
        health = view_health(reader, "k", "v")
        assert health.state == "healthy"
        assert "GRANT SELECT ON system.built_views" in health.note
        assert reader.rows("SELECT * FROM k.v") == []
    close(superuser)


_INTERRUPTED = """
import os, signal, sys, threading
from balancebook.settings import load_profile
from balancebook.store.connect import connect
start = threading.Thread.start

def interrupted(thread):
    if thread.name == "event_loop":
        os.kill(os.getpid(), signal.SIGINT)
    start(thread)

threading.Thread.start = interrupted
try:
    connect(load_profile())
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_just_when_the_driver_starts_its_thread_leaves_no_trace(
    environment: dict[str, str],
) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _INTERRUPTED], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
