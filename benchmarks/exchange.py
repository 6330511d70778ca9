"""A ledger of any size in a Cassandra of its own, for the benchmarks that need one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

import balancebook.demo
from balancebook.demo.node import Node, NodeConfig
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.settings import Profile, load_profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view

KEYSPACE = "bench"
TARGET = f"{KEYSPACE}.{VIEW}"
EVENTS = 50
_ASSETS = 4
_COLUMNS = "user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, event_type, ref_id, created_at"
# Long ago, so that no cut-off leaves a row out.
_BEGAN_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Exchange:
    """A running node with base and view of `rows` rows, a session that may write, and one that reads."""

    node: Node
    profile: Profile
    config: Path
    session: Session
    reader: Reader
    rows: int

    @property
    def view(self) -> View:
        """The view, as the server describes it."""
        view = read_view(self.reader, KEYSPACE, VIEW)
        assert view is not None
        return view


@contextmanager
def exchange(rows: int) -> Iterator[Exchange]:
    """A server with that many rows a side, gone with the block."""
    folder = Path(tempfile.mkdtemp(prefix="balancebook-bench-"))
    cql, storage, admin = _free_ports(3)
    node = Node(
        NodeConfig(
            home=folder / "server",
            cql_port=cql,
            storage_port=storage,
            admin_port=admin,
            heap_mb=2048,
            quick=False,
        )
    )
    try:
        node.start()
        config = _config(folder, cql)
        profile = load_profile("bench", env={"BALANCEBOOK_CONFIG": str(config)})
        session = connect(profile)
        try:
            create_schema(session.execute, KEYSPACE, indexes=False)
            load(session, f"{KEYSPACE}.{LEDGER}", rows)
            with node.admin() as tools:
                for table in (LEDGER, VIEW):
                    tools.flush(KEYSPACE, table)
            with open_reader(profile) as reader:
                yield Exchange(node, profile, config, session, reader, rows)
        finally:
            close(session)
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def load(session: Session, table: str, rows: int, more: int = 0) -> None:
    """Fill a ledger: 50 events for each asset of each user, four assets a user. `more` is added to each balance."""
    insert = f"INSERT INTO {table} ({_COLUMNS}) VALUES ({', '.join('?' * 10)});"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * EVENTS} APPLY BATCH")
    partitions = (
        [cell for seq in range(EVENTS) for cell in _event(number, seq, more)]
        for number in range(rows // EVENTS)
    )
    execute_concurrent_with_args(session, batch, partitions, concurrency=32, raise_on_first_error=True)


def _event(number: int, seq: int, more: int) -> tuple[object, ...]:
    user, asset = 1000 + number // _ASSETS, 1 + number % _ASSETS
    amount = (number * 7919 + seq * 104729) % 10**12
    return (
        user,
        asset,
        seq,
        amount,
        0,
        amount * seq + more,
        seq,
        "deposit",
        number,
        _BEGAN_MS + number + seq,
    )


def key_of(number: int) -> dict[str, int]:
    """The key of the n-th row."""
    partition, seq = divmod(number, EVENTS)
    return {"user_id": 1000 + partition // _ASSETS, "asset_id": 1 + partition % _ASSETS, "seq": seq}


def _config(folder: Path, port: int) -> Path:
    registry = Path(balancebook.demo.__file__).parent / "assets.toml"
    config = folder / "balancebook.toml"
    config.write_text(
        f'default_profile = "bench"\n[profiles.bench]\ncontact_points = ["127.0.0.1"]\nport = {port}\n'
        f'local_dc = "datacenter1"\nkeyspace = "{KEYSPACE}"\nregistry = "{registry}"\ngrace_s = 1.0\n'
        '[profiles.bench.gateway]\nurl = "http://127.0.0.1:1"\n'
        "[profiles.bench.limits]\nmax_rows = 1000000000\nrequest_timeout_s = 30.0\n"
    )
    return config


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def commit() -> str:
    """Which state of the code is measured."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
