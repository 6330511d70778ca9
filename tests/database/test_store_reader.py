"""The reading session against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from cassandra.cluster import Session

from balancebook.demo.node import Node
from balancebook.profile import Profile
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader, open_reader


@pytest.fixture
def reader(profile: Profile, keyspace: str) -> Iterator[Reader]:
    with open_reader(profile.model_copy(update={"keyspace": keyspace})) as opened:
        yield opened


@pytest.fixture
def numbered(session: Session, keyspace: str) -> str:
    """A table of 1,000 rows in one partition; its name."""
    name = f"{keyspace}.numbered"
    session.execute(f"CREATE TABLE {name} (p int, c int, PRIMARY KEY (p, c))")
    insert = session.prepare(f"INSERT INTO {name} (p, c) VALUES (1, ?)")
    futures = [session.execute_async(insert, (number,)) for number in range(1000)]
    for future in futures:
        future.result()
    return name


WRITES = [
    "INSERT INTO {t} (p, c) VALUES (2, 2)",
    "TRUNCATE {t}",
    "DROP TABLE {t}",
    "BEGIN BATCH DELETE FROM {t} WHERE p = 1 APPLY BATCH",
    "-- SELECT\rTRUNCATE {t}",
    "/* SELECT */ TRUNCATE {t}",
    "SELECT * FROM {t}; TRUNCATE {t}",
    "\u017fELECT * FROM {t}",
]


def test_nothing_but_a_select_reaches_the_server(reader: Reader, numbered: str) -> None:
    host = reader.hosts()[0]
    ways: list[Callable[[str], object]] = [
        reader.rows,
        reader.frame,
        lambda cql: list(reader.pages(cql)),
        lambda cql: reader.execute_async(cql).rows(),
        lambda cql: reader.rows_on(host, cql),
    ]
    for statement in WRITES:
        for way in ways:
            with pytest.raises(StoreError) as caught:
                way(statement.format(t=numbered))
            assert caught.value.kind == "refused_statement"
    assert reader.rows(f"SELECT COUNT(*) FROM {numbered}") == [(1000,)]


def test_a_statement_with_text_that_looks_like_another_is_one_select(reader: Reader) -> None:
    cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = "
    assert reader.rows(cql + "'x''; TRUNCATE t; --'") == []
    assert reader.rows(cql + "$$'; -- $$") == []


def test_rows_come_from_every_page(reader: Reader, numbered: str) -> None:
    cql = f"SELECT c FROM {numbered}"
    pages = list(reader.pages(cql, page_size=300))
    assert [len(page) for page in pages] == [300, 300, 300, 100]
    assert [row for page in pages for row in page] == [(number,) for number in range(1000)]
    assert reader.rows(cql) == [(number,) for number in range(1000)]
    assert list(reader.frame(cql)["c"]) == list(range(1000))
    assert reader.execute_async(cql).rows() == reader.rows(cql)
    assert reader.rows_on(reader.hosts()[0], cql) == reader.rows(cql)


def test_more_than_a_page_of_the_driver_s_is_read_whole(
    reader: Reader, session: Session, numbered: str
) -> None:
    insert = session.prepare(f"INSERT INTO {numbered} (p, c) VALUES (2, ?)")
    for future in [session.execute_async(insert, (number,)) for number in range(6000)]:
        future.result()
    cql = f"SELECT c FROM {numbered} WHERE p = ?"
    assert len(reader.rows(cql, (2,))) == 6000
    assert len(reader.frame(cql, (2,))) == 6000
    assert len(reader.execute_async(cql, (2,)).rows()) == 6000
    assert len(reader.rows_on(reader.hosts()[0], cql, (2,))) == 6000


def test_an_empty_answer_is_one_empty_page(reader: Reader, numbered: str) -> None:
    assert list(reader.pages(f"SELECT c FROM {numbered} WHERE p = 9")) == [[]]


def test_a_frame_is_exact_and_typed_as_declared(reader: Reader, session: Session, keyspace: str) -> None:
    session.execute(
        f"CREATE TABLE {keyspace}.kinds (p int PRIMARY KEY, big bigint, vast varint, d decimal, t text, b boolean, "
        f"f double)"
    )
    session.execute(
        f"INSERT INTO {keyspace}.kinds (p, big, vast, d, t, b, f) VALUES "
        f"(1, 9223372036854775807, 18446744073709551616, 1.00, '', true, 0.5)"
    )
    session.execute(f"INSERT INTO {keyspace}.kinds (p) VALUES (2)")
    cql = f"SELECT p, big, vast, d, t, b, f FROM {keyspace}.kinds WHERE p IN (?, ?)"
    frame = reader.frame(cql, (1, 2))
    dtypes = ["Int64", "Int64", "object", "object", "object", "boolean", "Float64"]
    assert [str(dtype) for dtype in frame.dtypes] == dtypes
    assert frame.iloc[0].to_list() == [1, 2**63 - 1, 2**64, Decimal("1.00"), "", True, 0.5]
    assert frame.iloc[1].isna().to_list() == [False, True, True, True, True, True, True]
    assert frame["t"].iloc[1] is None
    empty = reader.frame(cql, (8, 9))
    assert [str(dtype) for dtype in empty.dtypes] == dtypes


@pytest.mark.parametrize("params", [(2**31,), ("1",), (1, 2), ([1],)])
def test_a_parameter_that_does_not_fit_is_an_error_not_a_crash(
    reader: Reader, numbered: str, params: tuple[object, ...]
) -> None:
    with pytest.raises(StoreError, match="does not fit"):
        reader.rows(f"SELECT c FROM {numbered} WHERE p = ?", params)


def test_what_is_not_there_comes_with_what_was_meant(reader: Reader, keyspace: str) -> None:
    cases = {
        f"SELECT * FROM {keyspace}.balance_legder": ("balance_legder", "balance_ledger"),
        f"SELECT * FROM {keyspace}.user_balance_by_user": ("user_balance_by_user", "user_balances_by_user"),
        "SELECT * FROM systen.local": ("systen", "system"),
    }
    for cql, (wrong, meant) in cases.items():
        with pytest.raises(StoreError) as caught:
            reader.rows(cql)
        assert caught.value.kind == "missing"
        assert wrong in caught.value.message
        assert caught.value.remedy.startswith(f"Did you mean {meant}?")


def test_a_syntax_error_and_a_refused_filter_are_told(reader: Reader, numbered: str) -> None:
    for cql, words in (
        ("SELECT * frm x", "mismatched input"),
        (f"SELECT * FROM {numbered} WHERE c = 1", "filtering"),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            reader.rows(cql)
        assert caught.value.kind == "protocol"
        assert caught.value.__cause__ is not None


def test_a_consistency_that_one_node_cannot_give(reader: Reader, session: Session, keyspace: str) -> None:
    session.execute(
        f"ALTER KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}"
    )
    cql = f"SELECT * FROM {keyspace}.balance_ledger WHERE user_id = 1 AND asset_id = 1"
    assert reader.rows(cql) == []
    with pytest.raises(StoreError) as caught:
        reader.rows(cql, consistency="QUORUM")
    assert caught.value.kind == "unavailable"
    assert "required replicas 2, alive replicas 1" in caught.value.message


def test_many_threads_share_one_reader(reader: Reader, numbered: str) -> None:
    def read(number: int) -> object:
        return reader.rows(f"SELECT c FROM {numbered} WHERE p = 1 AND c = ?", (number,))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(read, range(200))) == [[(number,)] for number in range(200)]


def test_the_server_and_its_hosts_are_known(reader: Reader, server: Node) -> None:
    assert (reader.server.product, reader.server.note) == ("Apache Cassandra", "")
    assert reader.server.version.startswith("5.0.")
    assert reader.server.cluster_name == server.config.cluster_name
    [host] = reader.hosts()
    assert (host.address, host.dc, host.up) == (server.config.address, "datacenter1", True)
    assert reader.rows("SELECT host_id FROM system.local") == [(host.host_id,)]
    assert reader.token_spans(reader.profile.keyspace) == {host.host_id: 2**64}
    assert reader.token_spans("no_such_keyspace") == {}


def test_a_table_that_was_dropped_and_made_anew_is_read_as_it_is_now(
    reader: Reader, session: Session, numbered: str
) -> None:
    cql = f"SELECT * FROM {numbered}"
    assert len(reader.rows(cql)) == 1000
    session.execute(f"DROP TABLE {numbered}")
    with pytest.raises(StoreError) as caught:
        reader.rows(cql)
    assert caught.value.kind == "missing"
    session.execute(f"CREATE TABLE {numbered} (p text PRIMARY KEY, c bigint, d bigint)")
    session.execute(f"INSERT INTO {numbered} (p, c, d) VALUES ('x', 1, 2)")
    assert reader.rows(cql) == [("x", 1, 2)]
    assert list(reader.frame(cql).columns) == ["p", "c", "d"]


def test_a_closed_reader_says_so(profile: Profile) -> None:
    reader = open_reader(profile)
    reader.close()
    reader.close()
    with pytest.raises(StoreError):
        reader.rows("SELECT key FROM system.local")
