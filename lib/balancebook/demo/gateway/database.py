"""The gateway's connection: it connects whenever the database is there, and reads the state of a view."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from cassandra import DriverException, InvalidRequest, Unauthorized
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import ConstantReconnectionPolicy, RoundRobinPolicy
from cassandra.query import tuple_factory

LOG = logging.getLogger("balancebook.demo.gateway")
TIMEOUT_S = 3.0
_RETRY_S = 1.0
_RING = 2**64

_VIEW = "SELECT view_name FROM system_schema.views WHERE keyspace_name = %s AND view_name = %s"
_THIS_NODE = "SELECT host_id FROM system.local"
_OTHER_NODES = "SELECT host_id FROM system.peers_v2"
_STATUS = """SELECT host_id, status FROM system_distributed.view_build_status
    WHERE keyspace_name = %s AND view_name = %s"""
_BUILT_HERE = "SELECT view_name FROM system.built_views WHERE keyspace_name = %s AND view_name = %s"
_PROGRESS = """SELECT start_token, last_token FROM system.view_builds_in_progress
    WHERE keyspace_name = %s AND view_name = %s"""

Row = tuple[Any, ...]


class DatabaseDown(Exception):
    """The database did not answer, or not in time."""


class Unreadable(Exception):
    """The database answered, but there is no balance in what it has: the view is not there, or a row has no value."""


class Database:
    """The connection. Its methods block: they belong in a worker thread."""

    def __init__(self, contact_point: str, port: int) -> None:
        self._cluster_at = contact_point, port
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._tried, self._stopping = threading.Event(), threading.Event()
        self._connecting = threading.Thread(target=self._connect_when_possible, daemon=True)

    def start(self) -> None:
        """Connect, and keep trying in the background. Returns after the first attempt, whether it succeeded or not."""
        self._connecting.start()
        self._tried.wait(TIMEOUT_S)

    def stop(self) -> None:
        self._stopping.set()
        self._connecting.join(2 * TIMEOUT_S)
        if self._cluster is not None:
            self._cluster.shutdown()

    def _connect_when_possible(self) -> None:
        while not self._stopping.is_set():
            cluster = self._new_cluster()
            try:
                self._session = cluster.connect()
            except (DriverException, NoHostAvailable, OSError) as error:
                LOG.info("no database yet: %s", error)
                cluster.shutdown()
                self._tried.set()
                self._stopping.wait(_RETRY_S)
            else:
                # From here on the driver itself reconnects, however long the database is away.
                self._cluster = cluster
                self._tried.set()
                return

    def _new_cluster(self) -> Cluster:
        profile = ExecutionProfile(
            load_balancing_policy=RoundRobinPolicy(), request_timeout=TIMEOUT_S, row_factory=tuple_factory
        )
        return Cluster(
            [self._cluster_at[0]],
            port=self._cluster_at[1],
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(_RETRY_S, max_attempts=None),
            connect_timeout=TIMEOUT_S,
            control_connection_timeout=TIMEOUT_S,
            idle_heartbeat_interval=5,
            idle_heartbeat_timeout=TIMEOUT_S,
        )

    def rows(self, cql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement. Raises DatabaseDown or Unreadable."""
        if self._session is None:
            raise DatabaseDown
        try:
            return list(self._session.execute(cql, parameters))
        except (InvalidRequest, Unauthorized) as error:
            raise Unreadable(str(error)) from error
        except (DriverException, NoHostAvailable, OSError) as error:
            raise DatabaseDown(str(error)) from error

    def health(self, keyspace: str, view: str) -> str:
        """Missing, Rebuilding n % or Healthy: the view as its server describes it now.

        Healthy needs SUCCESS from every node of the ring. The percentage is that of the node asked, so of the whole
        view where there is one node, as in the demo. Sources: system_distributed.view_build_status and
        system.view_builds_in_progress of Cassandra 5.0.
        """
        names = keyspace, view
        if not self.rows(_VIEW, names):
            return "Missing"
        ring = {host for (host,) in self.rows(_THIS_NODE) + self.rows(_OTHER_NODES)}
        built = {host for host, status in self.rows(_STATUS, names) if status == "SUCCESS"}
        # The node's own list too: right after DROP and CREATE the status may still be that of the view before.
        if built >= ring and self.rows(_BUILT_HERE, names):
            return "Healthy"
        return f"Rebuilding {_percent(self.rows(_PROGRESS, names))} %"


def _percent(ranges: list[Row]) -> int:
    """How much of the token ring is built, in whole percent, never 100; tokens come as text, a range may wrap."""
    done = sum((int(last) - int(start)) % _RING for start, last in ranges if last is not None)
    return min(99, 100 * done // _RING)
