"""Whatever the driver raises, as one clear line and its remedy.

The texts matched here are those of cassandra-driver 3.30 and Apache Cassandra 5.0, seen against real servers; the
original exception stays chained as the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

import cassandra
from cassandra import protocol
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable

from balancebook.errors import BalancebookError
from balancebook.store.names import quote_if_needed

Kind = Literal[
    "unreachable",
    "auth",
    "tls",
    "permission",
    "missing",
    "timeout",
    "unavailable",
    "protocol",
    "refused_statement",
]

# Of time, load or network: all other kinds stay as they are, however often it is tried.
MAY_PASS: tuple[Kind, ...] = ("timeout", "unavailable", "unreachable")

# When the hosts of one attempt fail in different ways, the first of these is the one worth telling.
_MOST_TELLING: tuple[Kind, ...] = (
    "tls",
    "auth",
    "permission",
    "missing",
    "protocol",
    "timeout",
    "unavailable",
    "unreachable",
)
_NO_PERMISSION = re.compile(
    r"User (?P<role>.+?) has no (?P<verb>\w+) permission on <(?P<what>[a-z ]+?)(?: (?P<name>[\w.]+))?>"
)
_SERVER_TEXT = re.compile(r'message="(?P<text>.*)"', re.DOTALL)
_MISSING = re.compile(
    r"(?P<what>[Kk]eyspace|[Tt]able) '?(?P<name>\w+)'? does not exist|Undefined column name (?P<column>\S+)"
)


class StoreError(BalancebookError):
    """The database could not be read (or, for the demo, written). `kind` says why, from a closed set."""

    code = "store"

    def __init__(self, kind: Kind, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind: Kind = kind


def translate(exc: BaseException, *, what: str) -> StoreError:
    """The StoreError that says what `exc`, raised by the driver while doing `what`, means to a person.

    `what` begins the message ("reading trading.balance_ledger"). A StoreError comes back unchanged. Raise the result
    `from exc`, so that the original stays at hand.
    """
    if isinstance(exc, StoreError):
        return exc
    if isinstance(exc, NoHostAvailable):
        return _of_hosts(exc, what)
    return _of_one(exc, what)


def _of_hosts(exc: NoHostAvailable, what: str) -> StoreError:
    if not isinstance(exc.errors, dict) or not exc.errors:
        return _unreachable(what, "no host of the local data centre could be reached")
    told = [_of_one(error, what) for error in exc.errors.values()]
    return min(told, key=lambda error: _MOST_TELLING.index(error.kind))


def _of_one(exc: BaseException, what: str) -> StoreError:
    text = _server_text(exc)
    if "SSL" in text or "_ssl.c" in text or "CERTIFICATE" in text:
        return _tls(what, text)
    for types, handler in _HANDLERS:
        if isinstance(exc, types):
            return handler(what, text)
    return _protocol(what, f"{type(exc).__name__}: {text}")


def _server_text(exc: BaseException) -> str:
    """The words of the server itself where there are any, on one line; with the counts where replicas were counted."""
    if isinstance(exc, _COUNTING):
        return " ".join(str(exc).split())
    found = _SERVER_TEXT.search(str(exc))
    return " ".join((found["text"] if found else str(exc)).split())


def _tls(what: str, text: str) -> StoreError:
    for sign, meaning, remedy in _TLS_SIGNS:
        if sign in text:
            return StoreError("tls", f"{what}: {meaning}.", remedy)
    return StoreError("tls", f"{what}: TLS failed: {text}.", "Check the [tls] settings of the profile.")


_TLS_SIGNS = (
    (
        "timed out",
        "the server accepted the connection but did not answer the TLS handshake in time",
        "It is paused, overloaded, or the port is not that of TLS.",
    ),
    (
        "ostname mismatch",
        "the server's certificate is for another host name",
        "Connect by a name that the certificate holds, or set tls.server_hostname to it.",
    ),
    (
        "IP address mismatch",
        "the server's certificate does not hold the address connected to",
        "Connect by a name that the certificate holds, or set tls.server_hostname to it.",
    ),
    (
        "certificate has expired",
        "the server's certificate has expired",
        "Have it renewed; nothing was read.",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is not signed by the CA of the profile",
        "Point tls.ca to the CA that signed it. If it should be that one, somebody may be in between.",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "the server does not speak TLS on this port",
        "Remove [tls] from the profile, or give the TLS port.",
    ),
    (
        "CERTIFICATE_REQUIRED",
        "the server asks for a client certificate",
        "Set tls.cert and tls.key in the profile.",
    ),
)


def _auth(what: str, text: str) -> StoreError:
    if "requires authentication" in text:
        return StoreError(
            "auth",
            f"{what}: the server wants a user name and a password, and the profile has none.",
            "Set username and password (by reference: env:NAME, file:PATH, command:...) in the profile.",
        )
    if "not permitted to log in" in text:
        return StoreError(
            "auth", f"{what}: {text}.", "Use another role, or have LOGIN = true set on this one."
        )
    return StoreError(
        "auth",
        f"{what}: the server refused the user name or the password.",
        "Check username and what the password reference of the profile leads to.",
    )


def _permission(what: str, text: str) -> StoreError:
    denied = _NO_PERMISSION.search(text)
    if not denied:
        return StoreError("permission", f"{what}: not permitted: {text}.", "Ask for the missing GRANT.")
    role, verb, kind, name = denied.group("role", "verb", "what", "name")
    resource = ".".join(quote_if_needed(part) for part in name.split(".")) if name else ""
    on = {"table": resource, "keyspace": f"KEYSPACE {resource}"}.get(
        kind, f"{kind} {resource}".strip().upper()
    )
    return StoreError(
        "permission",
        f"{what}: role {role} has no {verb} permission on {kind} {name or ''}".rstrip() + ".",
        f"Have an administrator run: GRANT {verb} ON {on} TO {quote_if_needed(role)};",
    )


def _invalid(what: str, text: str) -> StoreError:
    missing = missing_name(text)
    if not missing:
        return _protocol(what, text)
    return StoreError(
        "missing",
        f"{what}: there is no {missing[0]} {missing[1]}.",
        "Check keyspace and view in the profile (names are case-sensitive).",
    )


def missing_name(text: str) -> tuple[str, str] | None:
    """What a server's refusal says is not there: ("keyspace"|"table"|"column", its name), or None."""
    found = _MISSING.search(text)
    if not found:
        return None
    return (found["what"].lower(), found["name"]) if found["what"] else ("column", found["column"])


def _timeout(what: str, text: str) -> StoreError:
    waited = re.search(r"\((\d+(?:\.\d+)?) seconds\)", text)
    return StoreError(
        "timeout",
        f"{what}: the server did not answer in time{f' ({waited[1]} s)' if waited else ''}.",
        "It is paused, overloaded or cut off by the network; see its load, or raise the limits of the profile.",
    )


def _replica_timeout(what: str, text: str) -> StoreError:
    return StoreError(
        "timeout",
        f"{what}: the replicas did not answer the coordinator in time ({_replicas(text)}).",
        "See `nodetool tpstats` and the replicas' logs; try again when the load is lower.",
    )


def _unavailable(what: str, text: str) -> StoreError:
    return StoreError(
        "unavailable",
        f"{what}: too few replicas are up ({_replicas(text)}).",
        "See `nodetool status`; start the nodes that are down.",
    )


def _failure(what: str, text: str) -> StoreError:
    return StoreError(
        "unavailable",
        f"{what}: replicas failed ({_replicas(text)}).",
        "The reason is in the logs of the replicas.",
    )


def _overloaded(what: str, text: str) -> StoreError:
    return StoreError("unavailable", f"{what}: the server cannot serve now: {text}.", "Try again later.")


def _replicas(text: str) -> str:
    """The part of the driver's text that counts replicas, without its Python spelling."""
    facts = re.findall(r"'(consistency|\w+_(?:replicas|responses)|failures)': '?(\w+)'?", text)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts) or text


def _unreachable(what: str, text: str) -> StoreError:
    return StoreError(
        "unreachable",
        f"{what}: no connection: {text}.",
        "Is the server running, and are contact_points and port right? The embedded one: `balancebook up`.",
    )


def _refused(what: str, _text: str) -> StoreError:
    return _unreachable(what, "connection refused, nothing listens there")


def _unresolvable(what: str, _text: str) -> StoreError:
    return _unreachable(what, "none of the contact points' names can be resolved")


def _protocol(what: str, text: str) -> StoreError:
    return StoreError(
        "protocol",
        f"{what}: {text.rstrip('.')}.",
        "The server or its answer is not as expected: check its version, and that the port is the one for CQL.",
    )


_COUNTING = (cassandra.Timeout, cassandra.Unavailable, cassandra.CoordinationFailure)
Handler = Callable[[str, str], StoreError]
_Types = tuple[type[BaseException], ...]
# In this order: a subclass stands before its base.
_HANDLERS: Iterable[tuple[_Types, Handler]] = (
    ((cassandra.AuthenticationFailed, protocol.BadCredentials), _auth),
    ((cassandra.Unauthorized,), _permission),
    ((cassandra.InvalidRequest,), _invalid),
    ((cassandra.OperationTimedOut,), _timeout),
    ((cassandra.Timeout,), _replica_timeout),
    ((cassandra.Unavailable,), _unavailable),
    ((cassandra.CoordinationFailure,), _failure),
    (
        (
            protocol.OverloadedErrorMessage,
            protocol.IsBootstrappingErrorMessage,
            protocol.TruncateError,
            NoConnectionsAvailable,
            ConnectionBusy,
        ),
        _overloaded,
    ),
    ((cassandra.UnresolvableContactPoints,), _unresolvable),
    ((ConnectionRefusedError,), _refused),
    ((TimeoutError,), _timeout),
    ((protocol.ProtocolException,), _protocol),
    ((ConnectionException, OSError), _unreachable),
)
