"""A desk for each test: a working folder in which the command line is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from cassandra.cluster import Session

from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, create_schema
from checking import THREE_ASSETS, WHOLE, booker
from e2e.commands import KEYSPACE, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose commands know no server."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture(scope="session")
def ledger(session: Session) -> None:
    """A ledger of one user. Its keyspace, and a second view, have to be quoted. Read-only by convention."""
    create_schema(session.execute, KEYSPACE, indexes=False)
    session.execute(
        f'CREATE MATERIALIZED VIEW "{KEYSPACE}"."Balances" AS SELECT user_id, asset_id, seq, avail, frozen, created_at '
        f'FROM "{KEYSPACE}".{LEDGER} WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL '
        "PRIMARY KEY (user_id, asset_id, seq)"
    )
    booker(session, f'"{KEYSPACE}"')(
        (THREE_ASSETS, 1, 1, 9_100 * WHOLE, 0),
        (THREE_ASSETS, 2, 1, 10_100_000 * WHOLE, 0),
        (THREE_ASSETS, 3, 1, 100_000 * WHOLE, 0),
    )


@pytest.fixture
def at(desk: Desk, server: Node, ledger: None) -> Desk:  # noqa: ARG001 (it has to be there)
    """A desk with a profile of the shared server and that ledger, and a secret that the server does not ask for."""
    desk.profile(
        port=server.config.cql_port, keyspace=KEYSPACE, username="reader", password="env:TEST_SECRET"
    )
    return desk
