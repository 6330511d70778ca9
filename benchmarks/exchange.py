"""A ledger of any size in a Cassandra of its own, for the benchmarks that need one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cassandra.cluster import Session
from server import load, own_server

import balancebook.demo
from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.settings import Profile, load_profile
from balancebook.store.connect import close, connect
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view

KEYSPACE = "bench"
TARGET = f"{KEYSPACE}.{VIEW}"


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
    try:
        with own_server(folder, heap_mb=2048) as node:
            config = _config(folder, node.config.cql_port)
            profile = load_profile("bench", env={"BALANCEBOOK_CONFIG": str(config)})
            session = connect(profile)
            try:
                create_schema(session.execute, KEYSPACE, indexes=False)
                filled = load(session, f"{KEYSPACE}.{LEDGER}", rows)
                with node.admin() as tools:
                    for table in (LEDGER, VIEW):
                        tools.flush(KEYSPACE, table)
                    # As every cluster has them after five minutes.
                    tools._exec("org.apache.cassandra.db:type=StorageService", "refreshSizeEstimates")
                with open_reader(profile) as reader:
                    yield Exchange(node, profile, config, session, reader, filled)
            finally:
                close(session)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def commit() -> str:
    """Which state of the code is measured."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
