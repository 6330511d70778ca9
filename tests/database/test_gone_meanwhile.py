"""A view that is dropped, or a permission that is taken away, while it is read: named as that, at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cassandra.cluster import Session

from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.profile import Limits, Profile, Secret
from balancebook.reconcile.run import Request, Telling, run
from balancebook.settings import retarget
from balancebook.store.connect import close, connect
from balancebook.store.errors import StoreError
from balancebook.store.gone import change_of, naming_what_is_gone
from balancebook.store.reader import Reader, open_reader
from balancebook.store.scan import scan
from balancebook.store.schema import View
from filling import insert
from reconciling import BASE, VIEW, there

ROWS = 4000
# Slow enough to be in the middle of it a second after it began.
READS = {
    "full": Request(budget_rows=10**6, rate=1500, paced=False),
    "paced": Request(budget_rows=10**6, rate=1500, paced=True),
    "sampled": Request(budget_rows=10**6, depth="sampled", within_s=20, rate=1500, paced=False),
}
COLUMNS = ["user_id", "asset_id", "seq"]


def fill(session: Session, keyspace: str) -> None:
    statement = session.prepare(
        f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES (?, 1, 1, ?)"
    )
    insert(session, statement, [(user, user) for user in range(ROWS)])


def refused(read: Callable[[], object], act: Callable[[], object]) -> tuple[StoreError, float]:
    """What reading raises if that happens a second after it began, and how long after."""
    done: list[float] = []

    def strike() -> None:
        act()
        done.append(time.monotonic())

    timer = threading.Timer(1.0, strike)
    timer.start()
    try:
        result = read()
    except StoreError as error:
        ended = time.monotonic()
        timer.join()
        return error, ended - done[0]
    finally:
        timer.join()
    raise AssertionError(f"it was not refused: {result}")


def compared(reader: Reader, view: View, request: Request) -> object:
    with naming_what_is_gone(reader, view, doing="compared"):
        return run(reader, view, request, Telling(), grace_s=0.2)


@pytest.mark.parametrize("way", READS)
def test_a_view_that_is_dropped_while_it_is_compared(
    session: Session, reader: Reader, keyspace: str, way: str
) -> None:
    fill(session, keyspace)
    view = there(reader, keyspace)
    error, seconds = refused(
        lambda: compared(reader, view, READS[way]),
        lambda: session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}"),
    )
    assert error.message == f"the view {keyspace}.{VIEW} was dropped while it was compared."
    assert (error.kind, error.exit_code) == ("missing", 11)
    assert error.remedy
    assert seconds < 5


def test_a_view_that_is_dropped_and_created_again(session: Session, reader: Reader, keyspace: str) -> None:
    fill(session, keyspace)
    view = there(reader, keyspace)

    def recreate() -> None:
        session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
        create_schema(session.execute, keyspace, indexes=False)

    error, _ = refused(lambda: compared(reader, view, READS["full"]), recreate)
    assert error.message.startswith(f"the view {keyspace}.{VIEW} was dropped ")
    assert error.message.endswith(" while it was compared.")


def test_a_table_that_is_dropped_while_rows_are_read(session: Session, reader: Reader, keyspace: str) -> None:
    fill(session, keyspace)
    view = there(reader, keyspace)

    def read() -> None:
        for _ in scan(reader, view, COLUMNS, budget_rows=10**6, page_size=20):
            time.sleep(0.1)

    error, _ = refused(read, lambda: session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}"))
    assert error.message == f"the view {keyspace}.{VIEW} was dropped while it was read."


def test_the_check_says_so_too(session: Session, profile: Profile, keyspace: str) -> None:
    fill(session, keyspace)
    held = retarget(profile, keyspace=keyspace).model_copy(update={"embedded": False})
    context = Context(held)
    assert context.view
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
    result = CHECKS["V005"].run(context)
    context.close()
    assert result.verdict.value == "unknown"
    assert f"the view {keyspace}.{VIEW} was dropped while it was compared." in result.message


def test_what_is_still_there_is_not_blamed(session: Session, reader: Reader, keyspace: str) -> None:
    view = there(reader, keyspace)
    mine = StoreError("protocol", "Something else.", "See.")
    with pytest.raises(StoreError) as caught, naming_what_is_gone(reader, view):
        raise mine
    assert caught.value is mine
    session.execute(f"ALTER TABLE {keyspace}.{BASE} ADD more int")
    assert change_of(view, view) == f"the view {keyspace}.{VIEW} was altered while it was read"


@pytest.mark.e2e
def test_a_permission_that_is_revoked(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile], tmp_path: Path
) -> None:
    node = disposable(auth=True)
    (tmp_path / "cassandra").write_text("cassandra")
    secret = Secret(kind="file", value=str(tmp_path / "cassandra"))
    patient = Limits(request_timeout_s=30.0)
    admin = connect(profile_of(node, username="cassandra", password=secret, limits=patient))
    create_schema(admin.execute, "k", indexes=False)
    fill(admin, "k")
    admin.execute("CREATE ROLE reader WITH LOGIN = true AND PASSWORD = 'cassandra'")
    quick = Limits(request_timeout_s=2.0)
    try:
        for request in READS.values():
            admin.execute(f"GRANT SELECT ON k.{BASE} TO reader")
            with open_reader(profile_of(node, username="reader", password=secret, limits=quick)) as reader:
                _until_granted(reader)
                view = there(reader, "k")
                error, seconds = refused(
                    lambda view=view, request=request, reader=reader: compared(reader, view, request),  # type: ignore[misc]
                    lambda: admin.execute(f"REVOKE SELECT ON k.{BASE} FROM reader"),
                )
            assert (error.kind, error.exit_code) == ("permission", 11)
            assert "role reader has no SELECT permission on table k." in error.message
            assert "GRANT SELECT ON k." in error.remedy
            assert seconds < 5
    finally:
        close(admin)


def _until_granted(reader: Reader) -> None:
    """A server remembers permissions for a while."""
    deadline = time.monotonic() + 20
    while True:
        try:
            reader.rows(f"SELECT user_id FROM k.{VIEW} LIMIT 1")
            return
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
