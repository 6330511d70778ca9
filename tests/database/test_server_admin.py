"""Administration over HTTP, and the real faults made by it; each is seen in the tables themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW
from balancebook.errors import UsageError
from balancebook.store.admin import Admin, AdminError, data_folder
from ports import free_ports

Rows = dict[tuple[int, int, int], tuple[int | None, ...]]


@pytest.fixture
def admin(server: Node) -> Iterator[Admin]:
    with server.admin() as opened:
        yield opened


def insert(session: Session, keyspace: str, seq: int) -> None:
    session.execute(
        f"INSERT INTO {keyspace}.{LEDGER} (user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, "
        "event_type, ref_id, created_at) VALUES (5, 1, %s, 10, 0, %s, 0, 'DEPOSIT', 1, 1700000000000)",
        (seq, 10 * seq),
    )


def rows(session: Session, keyspace: str, table: str) -> Rows:
    found = session.execute(
        f"SELECT user_id, asset_id, seq, avail, frozen, created_at FROM {keyspace}.{table}"
    )
    return {tuple(row[:3]): tuple(row[3:]) for row in found}


def both(session: Session, keyspace: str) -> tuple[Rows, Rows]:
    return rows(session, keyspace, LEDGER), rows(session, keyspace, VIEW)


@pytest.fixture
def three_rows(session: Session, keyspace: str) -> Rows:
    for seq in (1, 2, 3):
        insert(session, keyspace, seq)
    base, view = both(session, keyspace)
    assert base == view
    assert len(base) == 3
    return base


def key(seq: int) -> dict[str, int]:
    return {"user_id": 5, "asset_id": 1, "seq": seq}


def test_lost_rows_are_in_the_base_alone(
    session: Session, keyspace: str, inject: Injector, three_rows: Rows
) -> None:
    inject.lost(key(1), key(3))
    base, view = both(session, keyspace)
    assert base == three_rows
    assert view.keys() == {(5, 1, 2)}


def test_a_row_that_never_arrived_is_in_the_base_alone(
    session: Session, keyspace: str, inject: Injector, three_rows: Rows
) -> None:
    inject.never_arrived({**key(4), "avail": 40, "frozen": 0, "created_at": 7})
    base, view = both(session, keyspace)
    assert base == three_rows | {(5, 1, 4): (40, 0, 7)}
    assert view == three_rows


def test_orphans_are_in_the_view_alone(
    session: Session, keyspace: str, inject: Injector, three_rows: Rows
) -> None:
    inject.orphan({**key(9), "avail": 90, "frozen": 0, "created_at": 7})
    base, view = both(session, keyspace)
    assert base == three_rows
    assert view == three_rows | {(5, 1, 9): (90, 0, 7)}


def test_a_row_lost_in_the_base_leaves_an_orphan(
    session: Session, keyspace: str, inject: Injector, three_rows: Rows
) -> None:
    inject.base_lost(key(2))
    base, view = both(session, keyspace)
    assert base.keys() == {(5, 1, 1), (5, 1, 3)}
    assert view == three_rows


def test_a_mismatch_differs_in_the_named_cells_only(
    session: Session, keyspace: str, inject: Injector, three_rows: Rows
) -> None:
    inject.mismatch({**key(2), "avail": 9999})
    base, view = both(session, keyspace)
    assert base == three_rows
    assert view == three_rows | {(5, 1, 2): (9999, *three_rows[5, 1, 2][1:])}


def test_an_injection_leaves_no_scratch_table(session: Session, inject: Injector) -> None:
    inject.orphan({**key(9), "avail": 90})
    left = session.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'balancebook_scratch'"
    )
    assert list(left) == []


def test_a_fault_in_an_unknown_table_is_refused(inject: Injector) -> None:
    with pytest.raises(UsageError, match=r"no table or view .*\.nowhere"):
        inject.import_cells("nowhere", [])


def test_a_view_can_be_emptied_though_cql_refuses(
    session: Session, keyspace: str, admin: Admin, three_rows: Rows
) -> None:
    admin.truncate(keyspace, VIEW)
    assert both(session, keyspace) == (three_rows, {})


def test_a_snapshot_brings_back_what_was_truncated(
    session: Session, keyspace: str, admin: Admin, three_rows: Rows
) -> None:
    admin.snapshot("before", keyspace)
    folders = {
        table: admin.data_paths(keyspace, table)[0] / "snapshots" / "before" for table in (LEDGER, VIEW)
    }
    admin.truncate(keyspace, LEDGER)
    assert both(session, keyspace) == ({}, {})
    for table, folder in folders.items():
        admin.import_sstables(keyspace, table, folder)
    assert both(session, keyspace) == (three_rows, three_rows)
    admin.clear_snapshot("before", keyspace)
    assert not any(folder.exists() for folder in folders.values())


def test_data_folder_is_where_the_server_keeps_the_table(
    server: Node, session: Session, keyspace: str, admin: Admin
) -> None:
    found = session.execute(
        "SELECT id FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s", (keyspace, LEDGER)
    )
    folder = data_folder(server.config.home / "data", keyspace, LEDGER, str(next(iter(found))[0]))
    assert admin.data_paths(keyspace, LEDGER) == [folder]
    assert folder.is_dir()


def test_an_import_of_nothing_is_no_success(keyspace: str, admin: Admin, tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="holds no SSTables"):
        admin.import_sstables(keyspace, LEDGER, tmp_path)


def test_an_import_that_the_server_passes_over_in_silence_is_no_success(
    keyspace: str, admin: Admin, tmp_path: Path
) -> None:
    (tmp_path / "zz-1-big-Data.db").write_bytes(b"of a version that this server does not know")
    with pytest.raises(AdminError, match="did not take"):
        admin.import_sstables(keyspace, LEDGER, tmp_path)
    assert not list(admin.data_paths(keyspace, LEDGER)[0].glob("oa-1000*"))


def test_what_the_server_refuses_is_said(keyspace: str, admin: Admin) -> None:
    with pytest.raises(AdminError, match=f"forceKeyspaceFlush {keyspace} was refused: .*nowhere"):
        admin.flush(keyspace, "nowhere")
    with pytest.raises(AdminError, match="nowhere"):
        admin.data_paths(keyspace, "nowhere")


def test_stopping_view_builds_is_accepted(admin: Admin) -> None:
    admin.stop_view_build()


def test_administration_wants_its_password(server: Node) -> None:
    with server.admin() as admin:
        url = urlsplit(str(admin._client.base_url))
        bare = f"http://{url.hostname}:{url.port}/jolokia/version"
    assert httpx.get(bare, trust_env=False).status_code == 401


def test_an_agent_that_is_not_there_is_one_clear_error() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/jolokia"
    with Admin(url) as admin, pytest.raises(AdminError, match="administration does not answer"):
        admin.stop_view_build()
