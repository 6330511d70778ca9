"""One session to the cluster of a profile: data-centre-aware, verified TLS, bounded waits, LOCAL_ONE."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from balancebook.errors import BalancebookError
from balancebook.settings import Profile, Tls
from balancebook.store.errors import StoreError, translate
from balancebook.store.names import close_name
from balancebook.store.tls import ssl_context

# Below this a healthy server behind a slow link would be called dead.
_LEAST_WAIT_S = 1.0
_PROBE_S = 2.0
# Named, since the driver left alone begins with the versions of DSE, one refused connection each. Every Cassandra from
# 2.2 on and ScyllaDB speak v4. v5 packs pages into checked segments, which the driver takes apart in Python: on a busy
# machine 0.20 s of CPU against 0.15 for the same 500,000 rows.
_PROTOCOL_VERSION = 4


def connect(profile: Profile, *, retry_policy: RetryPolicy | None = None) -> Session:
    """A session to the profile's cluster: rows as tuples, LOCAL_ONE, the profile's request timeout.

    All contact points together get about `limits.connect_timeout_s` (never less than a second each). Table metadata
    is not fetched: introspection reads system_schema where it needs to. Raises StoreError of kind unreachable,
    timeout, auth, tls, protocol or missing (an unknown `local_dc`), SettingsError for a secret that cannot be read.
    Close it with `close(session)`.
    """
    # Whatever the driver logs it also raises here, and a line on stderr makes a notebook test fail. A handler put on
    # this logger still sees all.
    logging.getLogger("cassandra").propagate = False
    what = f"connecting to {', '.join(profile.contact_points)} port {profile.port} (profile {profile.name})"
    try:
        cluster = _cluster(profile, retry_policy or RetryPolicy())
    except BalancebookError:
        raise
    except Exception as error:
        raise translate(error, what=what) from error
    try:
        return _session(cluster, profile)
    except Exception as error:
        cluster.shutdown()
        raise _explain(error, cluster, profile, what) from error


def _session(cluster: Cluster, profile: Profile) -> Session:
    session = _apart(cluster.connect)
    # The driver waits this long for PREPARE, and gives no public way to set it beside execution profiles.
    session._default_timeout = profile.limits.request_timeout_s
    # One host leaves nothing to choose; of several, a partition's query goes to one of its replicas.
    if len(cluster.metadata.all_hosts()) > 1:
        learn_replication(session, profile.keyspace)
    return session


def _apart(work: Callable[[], Session]) -> Session:
    """What `work` returns or raises, done in a thread that no signal reaches.

    Ctrl-C between the driver's creating the thread of its event loop and starting it would leave it a thread that its
    clean-up at exit cannot join.
    """
    done: Future[Session] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            done.set_exception(error)

    Thread(target=run, name="connecting", daemon=True).start()
    return done.result()


def close(session: Session) -> None:
    """Close the session and every connection of its cluster."""
    session.cluster.shutdown()


def learn_replication(session: Session, keyspace: str) -> None:
    """Read how `keyspace` is replicated into the driver's token map; a keyspace that is not there is passed over."""
    session.cluster.refresh_keyspace_metadata(keyspace, max_schema_agreement_wait=0)


def _cluster(profile: Profile, retry_policy: RetryPolicy) -> Cluster:
    wait = max(_LEAST_WAIT_S, profile.limits.connect_timeout_s / len(profile.contact_points))
    execution = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(profile.local_dc)),
        retry_policy=retry_policy,
        consistency_level=ConsistencyLevel.LOCAL_ONE,
        request_timeout=profile.limits.request_timeout_s,
        row_factory=tuple_factory,
    )
    return Cluster(
        list(profile.contact_points),
        port=profile.port,
        protocol_version=_PROTOCOL_VERSION,
        execution_profiles={EXEC_PROFILE_DEFAULT: execution},
        connect_timeout=wait,
        control_connection_timeout=wait,
        # The driver's own waits up to ten minutes, and gives up after 64 attempts; a node that is back is to be used.
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 4.0, max_attempts=None),
        # Measured on Cassandra 5.0 with one demo keyspace: 52-58 ms with table metadata, 11-14 ms without.
        schema_metadata_enabled=False,
        # Else every prepare waits for every host, and a paused one holds it up; hosts prepare on first use anyway.
        prepare_on_all_hosts=False,
        monitor_reporting_enabled=False,
        **_auth(profile),
        **_tls(profile.tls),
    )


def _auth(profile: Profile) -> dict[str, Any]:
    if profile.username is None:
        return {}
    password = profile.password.reveal() if profile.password else ""
    return {"auth_provider": PlainTextAuthProvider(profile.username, password)}


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    options = {"server_hostname": tls.server_hostname} if tls.server_hostname else {}
    return {"ssl_context": ssl_context(tls), "ssl_options": options}


def _explain(error: Exception, cluster: Cluster, profile: Profile, what: str) -> StoreError:
    known = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
    if known and profile.local_dc not in known:
        return StoreError(
            "missing",
            f"{what}: there is no data centre {profile.local_dc!r}; the cluster has {', '.join(known)}.",
            f"Set local_dc = {(close_name(profile.local_dc, known) or known[0])!r} in the profile.",
        )
    told = translate(error, what=what)
    # A server that wants TLS hangs up on, or never answers, a plain connection: ask it before saying so.
    if profile.tls is None and isinstance(error, NoHostAvailable) and told.kind in ("unreachable", "timeout"):
        speaks_tls = [point for point in profile.contact_points if _answers_tls(point, profile.port)]
        if speaks_tls:
            return StoreError(
                "tls",
                f"{what}: {speaks_tls[0]} speaks TLS only, and the profile has no [tls].",
                "Add [tls] with ca = the PEM file of the CA that signed the server's certificate.",
            )
    return told


def _answers_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake works there. Nothing is sent over it, so the certificate need not be verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:
        return False
