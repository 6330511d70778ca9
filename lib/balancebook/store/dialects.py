"""Where Apache Cassandra and ScyllaDB differ for a reader: which tables hold a view's build, what a scan may add.

Cassandra 5.0 is tested. ScyllaDB is UNTESTED here: it follows the tables that its documentation and sources describe
(system.versions, system_distributed.view_build_status, system.scylla_views_builds_in_progress).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from balancebook.store.errors import StoreError

if TYPE_CHECKING:
    from balancebook.settings import Profile
    from balancebook.store.reader import Reader

UNTESTED = "UNTESTED on ScyllaDB: read by its documented tables."


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server says it is. `note` is empty for what is tested here, and says so for what is not."""

    product: str
    version: str
    cluster_name: str
    partitioner: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """SELECTs with keyspace and view as their parameters; None for what a product has no table for.

    build_status: rows (host_id, status, its write time), one per node, SUCCESS when it has built the view.
    build_progress: on each node, rows (start_token, end_token, last_token, its write time) of the token ranges under
        way, the tokens as texts; a range is built from start_token to end_token, last_token is how far that came, null
        for not begun. Write times are in microseconds since 1970.
    own_ranges: whether those ranges together are the node's own replicas' tokens (else each one is a whole ring).
    locally_built: on each node, a row if this node has built the view.
    running_builds: on each node, the kinds of the tasks that run now, by keyspace and base table.
    scan_suffix: what ends the SELECT of a scan.
    """

    name: str
    build_status: str
    build_progress: str
    own_ranges: bool
    locally_built: str
    running_builds: str | None
    scan_suffix: str
    note: str


CASSANDRA = Dialect(
    name="cassandra",
    build_status=(
        "SELECT host_id, status, WRITETIME(status) FROM system_distributed.view_build_status "
        "WHERE keyspace_name = ? AND view_name = ?"
    ),
    build_progress=(
        "SELECT start_token, end_token, last_token, WRITETIME(last_token) FROM system.view_builds_in_progress "
        "WHERE keyspace_name = ? AND view_name = ?"
    ),
    own_ranges=True,
    locally_built="SELECT view_name FROM system.built_views WHERE keyspace_name = ? AND view_name = ?",
    running_builds="SELECT kind FROM system_views.sstable_tasks WHERE keyspace_name = ? AND table_name = ?",
    scan_suffix="",
    note="",
)
SCYLLA = Dialect(
    name="scylla",
    build_status=CASSANDRA.build_status,
    # Every shard walks the whole ring from its first token round to it again.
    build_progress=(
        "SELECT first_token, first_token, next_token, WRITETIME(next_token) "
        "FROM system.scylla_views_builds_in_progress WHERE keyspace_name = ? AND view_name = ?"
    ),
    own_ranges=False,
    locally_built=CASSANDRA.locally_built,
    running_builds=None,
    scan_suffix=" BYPASS CACHE",
    note=UNTESTED,
)


def dialect_of(server: ServerInfo, profile: Profile) -> Dialect:
    """The dialect that the profile names, else that of the product that answers."""
    if profile.dialect != "auto":
        return SCYLLA if profile.dialect == "scylla" else CASSANDRA
    return SCYLLA if server.product == "ScyllaDB" else CASSANDRA


def identify(reader: Reader) -> ServerInfo:
    """What answers, from system.local and, on ScyllaDB, system.versions (Cassandra has no such table)."""
    local = "SELECT cluster_name, release_version, partitioner FROM system.local"
    found = reader.rows(local)
    if not found:
        raise StoreError(
            "protocol", "The server's system.local is empty.", "See its log; it is no usable node."
        )
    cluster, version, partitioner = found[0]
    scylla = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'versions'"
    if not reader.rows(scylla):
        return ServerInfo("Apache Cassandra", version, cluster, partitioner)
    versions = reader.rows("SELECT version FROM system.versions")
    return ServerInfo("ScyllaDB", versions[0][0] if versions else version, cluster, partitioner, UNTESTED)
