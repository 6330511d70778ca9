"""Each of the driver's exceptions as one line for a person. The texts are those that real servers and sockets gave."""

from __future__ import annotations

import cassandra
import pytest
from cassandra import protocol
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown

from balancebook.store.errors import StoreError, translate

_TRIED = "Tried connecting to [('127.0.0.5', 9042)]. Last error: "
_SSL = _TRIED + "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


def _server(text: str) -> str:
    return f'Error from server: code=0000 [x] message="{text}"'


def _hosts(*errors: Exception) -> NoHostAvailable:
    return NoHostAvailable("Unable", {f"h{number}": error for number, error in enumerate(errors)})


CASES = [
    (_hosts(ConnectionRefusedError(111, _TRIED + "Connection refused")), "unreachable", "refused"),
    (_hosts(ConnectionResetError(104, "Connection reset by peer")), "unreachable", "reset"),
    (_hosts(ConnectionShutdown("Connection heartbeat timeout after 30 seconds")), "unreachable", "heartbeat"),
    (NoHostAvailable("Unable", ["127.0.0.1"]), "unreachable", "no host"),
    (NoHostAvailable("Unable", {}), "unreachable", "no host"),
    (cassandra.UnresolvableContactPoints({}), "unreachable", "resolved"),
    (
        _hosts(cassandra.OperationTimedOut("Timed out creating connection (3 seconds)")),
        "timeout",
        "in time (3 s)",
    ),
    (cassandra.OperationTimedOut({"h": "Client request timeout."}), "timeout", "in time"),
    (
        cassandra.ReadTimeout(
            _server("timed out"), consistency=4, required_responses=2, received_responses=1
        ),
        "timeout",
        "consistency QUORUM, required responses 2, received responses 1",
    ),
    (
        cassandra.Unavailable(
            _server("Cannot achieve consistency level QUORUM"),
            consistency=4,
            required_replicas=2,
            alive_replicas=1,
        ),
        "unavailable",
        "required replicas 2, alive replicas 1",
    ),
    (
        cassandra.ReadFailure(
            _server("failed"), consistency=10, required_responses=1, received_responses=0, failures=1
        ),
        "unavailable",
        "failures 1",
    ),
    (protocol.OverloadedErrorMessage(0x1001, "too many", {}), "unavailable", "too many"),
    (
        _hosts(cassandra.AuthenticationFailed(_server("Provided username u and/or password are incorrect"))),
        "auth",
        "refused",
    ),
    (
        _hosts(cassandra.AuthenticationFailed("Remote end requires authentication")),
        "auth",
        "the profile has none",
    ),
    (_hosts(cassandra.AuthenticationFailed(_server("r is not permitted to log in"))), "auth", "log in"),
    (
        _hosts(PermissionError(1, _SSL + "self-signed certificate (_ssl.c:1006)")),
        "tls",
        "not signed by the CA",
    ),
    (
        _hosts(PermissionError(1, _SSL + "Hostname mismatch, certificate is not valid for 'db'.")),
        "tls",
        "another host",
    ),
    (
        _hosts(PermissionError(1, _SSL + "IP address mismatch, certificate ...")),
        "tls",
        "address connected to",
    ),
    (_hosts(PermissionError(1, _SSL + "certificate has expired (_ssl.c:1006)")), "tls", "expired"),
    (
        _hosts(PermissionError(1, _TRIED + "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")),
        "tls",
        "does not speak TLS",
    ),
    (_hosts(OSError(None, _TRIED + "_ssl.c:989: The handshake operation timed out")), "tls", "in time"),
    (cassandra.InvalidRequest(_server("keyspace nope does not exist")), "missing", "no keyspace nope"),
    (cassandra.InvalidRequest(_server("table nope does not exist")), "missing", "no table nope"),
    (cassandra.InvalidRequest(_server("Undefined column name c in table k.t")), "missing", "no column c"),
    (cassandra.InvalidRequest(_server("use ALLOW FILTERING")), "protocol", "ALLOW FILTERING"),
    (protocol.SyntaxException(0x2000, "line 1:9 mismatched input", {}), "protocol", "mismatched input"),
    (protocol.ServerError(0, "java.lang.NullPointerException", {}), "protocol", "NullPointerException"),
    (_hosts(cassandra.DriverException("ProtocolError returned from server")), "protocol", "ProtocolError"),
    (RuntimeError("never seen"), "protocol", "RuntimeError: never seen"),
]


@pytest.mark.parametrize(("error", "kind", "words"), CASES, ids=lambda value: str(value)[:40])
def test_every_exception_becomes_one_line_with_a_remedy(error: Exception, kind: str, words: str) -> None:
    told = translate(error, what="reading k.t")
    assert told.kind == kind
    assert told.message.startswith("reading k.t: ")
    assert words in told.message
    assert told.remedy.endswith((".", ";", ")", "`"))
    assert "\n" not in str(told)


DENIED = [
    ("<table k.t>", "GRANT SELECT ON k.t TO ro;"),
    ("<table UpK.Tx>", 'GRANT SELECT ON "UpK"."Tx" TO ro;'),
    ("<keyspace k>", "GRANT SELECT ON KEYSPACE k TO ro;"),
    ("<all keyspaces>", "GRANT SELECT ON ALL KEYSPACES TO ro;"),
]


@pytest.mark.parametrize(("resource", "grant"), DENIED)
def test_a_missing_grant_comes_as_a_statement(resource: str, grant: str) -> None:
    text = _server(f"User ro has no SELECT permission on {resource} or any of its parents")
    told = translate(cassandra.Unauthorized(text), what="reading")
    assert told.kind == "permission"
    assert told.remedy == f"Have an administrator run: {grant}"


def test_a_role_that_needs_quotes_gets_them() -> None:
    text = _server("User Ro-1 has no SELECT permission on <table k.t> or any of its parents")
    assert 'TO "Ro-1";' in translate(cassandra.Unauthorized(text), what="reading").remedy


def test_of_several_hosts_the_most_telling_error_is_told() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    wrong_password = cassandra.AuthenticationFailed("Provided username u and/or password are incorrect")
    assert translate(_hosts(refused, wrong_password, refused), what="connecting").kind == "auth"


def test_a_translated_error_is_not_translated_again() -> None:
    error = StoreError("missing", "m", "r")
    assert translate(error, what="x") is error
