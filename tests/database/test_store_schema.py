"""Introspection of real tables and views, whatever their names."""

from __future__ import annotations

from cassandra.cluster import Session

from balancebook.profile import Profile
from balancebook.store.dialects import CASSANDRA, SCYLLA, ServerInfo, dialect_of
from balancebook.store.reader import Reader
from balancebook.store.schema import (
    Table,
    read_keyspaces,
    read_table,
    read_table_names,
    read_view,
    read_view_names,
)


def _names(table: Table) -> dict[str, list[str]]:
    parts = {
        "partition": table.partition_key,
        "clustering": table.clustering_key,
        "static": table.static,
        "regular": table.regular,
    }
    return {part: [column.name for column in columns] for part, columns in parts.items()}


def test_the_demo_s_view_and_its_base(reader: Reader, keyspace: str) -> None:
    view = read_view(reader, keyspace, "user_balances_by_user")
    assert view is not None
    assert _names(view) == {
        "partition": ["user_id"],
        "clustering": ["asset_id", "seq"],
        "static": [],
        "regular": ["avail", "created_at", "frozen"],
    }
    assert [column.clustering_order for column in view.clustering_key] == ["asc", "desc"]
    assert (view.base_name, view.include_all) == ("balance_ledger", False)
    assert "user_id IS NOT NULL" in view.where_clause
    base = read_table(reader, keyspace, view.base_name)
    assert base is not None
    assert _names(base)["partition"] == ["user_id", "asset_id"]
    assert {column.name: column.cql_type for column in base.columns}["event_type"] == "text"
    ids = reader.rows(
        "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?",
        (keyspace, base.name),
    )
    assert ids == [(base.table_id,)]


def test_names_in_upper_case_and_reserved_words(reader: Reader, session: Session, keyspace: str) -> None:
    session.execute(
        f'CREATE TABLE {keyspace}."Ledger" ("Select" int, "From" text, "order" int, "token" int, shared int static, '
        f'PRIMARY KEY (("Select", "From"), "order"))'
    )
    session.execute(
        f'CREATE MATERIALIZED VIEW {keyspace}."By_From" AS SELECT "Select", "From", "order", "token" '
        f'FROM {keyspace}."Ledger" WHERE "Select" IS NOT NULL AND "From" IS NOT NULL AND "order" > 5 '
        f'PRIMARY KEY ("From", "order", "Select")'
    )
    table = read_table(reader, keyspace, "Ledger")
    assert table is not None
    assert _names(table) == {
        "partition": ["Select", "From"],
        "clustering": ["order"],
        "static": ["shared"],
        "regular": ["token"],
    }
    view = read_view(reader, keyspace, "By_From")
    assert view is not None
    assert (view.base_name, _names(view)["clustering"]) == ("Ledger", ["order", "Select"])
    assert '"order" > 5' in view.where_clause
    session.execute(
        f'INSERT INTO {table.cql_name} ("Select", "From", "order", "token") VALUES (1, \'x\', 9, 3)'
    )
    assert reader.rows(f'SELECT "token" FROM {view.cql_name}') == [(3,)]
    assert read_table(reader, keyspace, "ledger") is None
    assert read_view(reader, keyspace, "by_from") is None


def test_a_view_is_no_table_and_a_table_no_view(reader: Reader, keyspace: str) -> None:
    assert read_table(reader, keyspace, "user_balances_by_user") is None
    assert read_view(reader, keyspace, "balance_ledger") is None
    assert read_table_names(reader, keyspace) == ("balance_ledger", "settled_trades")
    assert read_view_names(reader, keyspace) == ("user_balances_by_user",)


def test_what_is_not_there_is_none(reader: Reader, keyspace: str) -> None:
    assert keyspace in read_keyspaces(reader)
    assert "no_such_keyspace" not in read_keyspaces(reader)
    assert read_table(reader, "no_such_keyspace", "t") is None
    assert read_view(reader, keyspace, "x'; DROP TABLE t") is None
    assert read_view_names(reader, "no_such_keyspace") == ()


def test_the_dialect_is_the_product_s_unless_the_profile_names_one(reader: Reader, profile: Profile) -> None:
    assert dialect_of(reader.server, profile) is CASSANDRA
    assert dialect_of(reader.server, profile.model_copy(update={"dialect": "scylla"})) is SCYLLA
    scylla = ServerInfo("ScyllaDB", "6.2.0", "c", reader.server.partitioner)
    assert dialect_of(scylla, profile) is SCYLLA
    assert dialect_of(scylla, profile.model_copy(update={"dialect": "cassandra"})) is CASSANDRA
    assert "UNTESTED" in SCYLLA.note
    assert CASSANDRA.note == ""
