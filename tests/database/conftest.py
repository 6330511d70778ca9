"""What the tests of the checks share: one ledger with users of its own for each fault, real gateways, and `ask`.

A test marked `check(code, verdict)` fails unless it saw a check of that code return that verdict.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.settings import Profile, retarget
from balancebook.verdict import Result
from checking import GRACE_S, THREE_ASSETS, WHOLE, Ask, Book, behind, booker, nowhere, run_check
from edges import build
from gateway_process import running_gateway
from ledger_books import Books
from small_exchange import filled


@pytest.fixture
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """ask("V001", profile, **params) -> what the check says."""
    seen: set[tuple[str, str]] = set()

    def asked(code: str, profile: Profile, **params: Any) -> Result:
        result = run_check(code, profile, **params)
        assert "The check crashed" not in result.message, result
        seen.add((code, result.verdict.value))
        return result

    yield asked
    claimed = {mark.args for mark in request.node.iter_markers("check")}
    assert claimed <= seen, f"marked, but never seen: {sorted(claimed - seen)}"


@pytest.fixture(scope="session")
def impatient(profile: Profile) -> Profile:
    """The shared server's profile with a short grace period and no gateway."""
    return retarget(profile.model_copy(update={"grace_s": GRACE_S}), gateway_url=nowhere())


@pytest.fixture(scope="session")
def place(session: Session) -> str:
    """One keyspace for all tests that need not have a ledger to themselves: each uses users of its own."""
    name = f"checks_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    booker(session, name)(
        (THREE_ASSETS, 1, 1, 1, 0),
        (THREE_ASSETS, 1, 2, 9_100 * WHOLE, 0),
        (THREE_ASSETS, 2, 1, 10_100_000 * WHOLE, 0),
        (THREE_ASSETS, 3, 1, 5 * WHOLE, 0),
        (THREE_ASSETS, 3, 2, 100_000 * WHOLE, 250_000_000),
    )
    return name


@pytest.fixture(scope="session")
def ledger(impatient: Profile, place: str) -> Profile:
    """A profile of `place`."""
    return retarget(impatient, keyspace=place)


@pytest.fixture
def alone(impatient: Profile, keyspace: str) -> Profile:
    """A profile of a keyspace that no other test uses."""
    return retarget(impatient, keyspace=keyspace)


@pytest.fixture
def book(session: Session, place: str) -> Book:
    """Books rows into `place`."""
    return booker(session, place)


@pytest.fixture
def fault(server: Node, session: Session, place: str) -> Iterator[Injector]:
    """Real faults in `place`."""
    with server.admin() as admin:
        yield Injector(session.execute, admin, place)


@pytest.fixture(scope="session")
def fixed(ledger: Profile) -> Iterator[Profile]:
    """A profile of `place` with a gateway that answers as it should."""
    with running_gateway(ledger.port, "--keyspace", ledger.keyspace) as client:
        yield behind(ledger, client.base_url)


@pytest.fixture(scope="session")
def seed(ledger: Profile) -> Iterator[Profile]:
    """A profile of `place` with the gateway of the report."""
    with running_gateway(ledger.port, "--keyspace", ledger.keyspace, "--mode", "seed") as client:
        yield behind(ledger, client.base_url)


@pytest.fixture(scope="session")
def edges(server: Node, session: Session, impatient: Profile) -> Profile:
    """A profile of a keyspace with all of `edges.EDGES` in one ledger."""
    name = f"edges_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    with server.admin() as admin:
        build(session, Injector(session.execute, admin, name), name)
    return retarget(impatient, keyspace=name)


@pytest.fixture
def books(session: Session, keyspace: str) -> Books:
    """An exchange of the test's own."""
    filled(session, keyspace)
    return Books(session, keyspace)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is drawn from 64 token ranges, so that all of them are soon read."""
    monkeypatch.setattr("balancebook.ledger.parts._GRID", 64)
