"""A node's life: start, restart, crash, pause, and the errors of a start that cannot succeed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable

from balancebook.demo.node import Node, NodeConfig
from balancebook.demo.processes import ServiceError
from balancebook.errors import UsageError

Disposable = Callable[..., Node]


@pytest.mark.e2e
def test_a_node_answers_survives_a_pause_and_a_crash_is_noticed(disposable: Disposable) -> None:
    node = disposable()
    assert (node.alive, node.paused, node.answers()) == (True, False, True)
    node.pause()
    assert (node.alive, node.paused, node.answers(timeout_s=0.3)) == (True, True, False)
    node.resume()
    assert (node.paused, node.answers()) == (False, True)
    node.kill()
    assert (node.alive, node.answers()) == (False, False)


@pytest.mark.e2e
def test_a_paused_node_is_stopped_too(disposable: Disposable) -> None:
    node = disposable()
    node.pause()
    node.stop()
    assert not node.alive


def test_a_server_that_ends_while_starting_is_told_at_once_with_its_log(disposable: Disposable) -> None:
    node = disposable(start=False)
    node.config.home.mkdir()
    (node.config.home / "data").write_text("a file where the data folder should be")
    with pytest.raises(ServiceError, match=r"(?s)ended while starting.*Failed to mkdirs|ended while.*data"):
        node.start()
    assert not node.alive


def test_a_node_that_is_too_slow_is_told_with_its_log(disposable: Disposable) -> None:
    node = disposable(start=False)
    with pytest.raises(ServiceError, match="did not answer within 0 s"):
        node.start(timeout_s=0.1)
    node.kill()


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("cql_port", "BALANCEBOOK_PORT"),
        ("storage_port", "BALANCEBOOK_STORAGE_PORT"),
        ("admin_port", "BALANCEBOOK_ADMIN_PORT"),
    ],
)
def test_a_busy_port_is_named_with_its_holder_and_its_variable(
    disposable: Disposable, place: str, variable: str
) -> None:
    node = disposable(start=False)
    port = getattr(node.config, place)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UsageError) as told:
        node.start()
    assert f"Port {port} on 127.0.0.1" in str(told.value)
    assert "python" in str(told.value)
    assert told.value.parameter == variable
    assert node.mark is None


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "localhost", "", "::1"])  # noqa: S104 (refused)
def test_only_loopback_addresses_are_accepted(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="loopback"):
        NodeConfig(home=tmp_path, address=address)


def test_a_node_with_tls_and_passwords_lets_in_only_who_has_both(
    disposable: Disposable, keystore: Callable[..., Any]
) -> None:
    keys = keystore("127.0.0.1")
    node = disposable(auth=True, tls=keys.server)
    context = ssl.create_default_context(cafile=str(keys.ca))

    def select_as(password: str, **tls: Any) -> list[Any]:
        cluster = Cluster(
            ["127.0.0.1"],
            port=node.config.cql_port,
            auth_provider=PlainTextAuthProvider("cassandra", password),
            connect_timeout=3,
            **tls,
        )
        try:
            return list(cluster.connect().execute("SELECT role FROM system_auth.roles"))
        finally:
            cluster.shutdown()

    tls = {"ssl_context": context, "ssl_options": {"server_hostname": "127.0.0.1"}}
    assert [row.role for row in select_as("cassandra", **tls)] == ["cassandra"]
    with pytest.raises(NoHostAvailable, match=r"(?i)provided username"):
        select_as("wrong", **tls)
    with pytest.raises(NoHostAvailable):
        select_as("cassandra")
    with pytest.raises(NoHostAvailable, match="CERTIFICATE_VERIFY_FAILED"):
        select_as("cassandra", ssl_context=ssl.create_default_context(), ssl_options=tls["ssl_options"])
