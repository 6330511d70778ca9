"""Raw pages against the driver's own decoder, and client-side tokens against the server's."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session

from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.profile import Limits, Profile
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import Sketch
from balancebook.store import raw, raw_scan
from balancebook.store.connect import close, connect
from balancebook.store.errors import StoreError
from balancebook.store.ranges import tasks_by_turns
from balancebook.store.raw import RawPage, decode, raw_pages
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import read_table

LEDGER_ROWS = 250
COLUMNS = (
    "k, ascii, bigint, blob, boolean, date, decimal, double, duration, float, inet, int, smallint, text, time, "
    "timestamp, timeuuid, tinyint, uuid, varint, l, s, m, f, t, u, n, v"
)


@pytest.fixture(scope="module")
def filled(session: Session) -> str:
    """A keyspace with a ledger of LEDGER_ROWS rows, and a table of every type; to be read only."""
    name = f"raw_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    for number in range(LEDGER_ROWS):
        session.execute(
            f"INSERT INTO {name}.balance_ledger (user_id, asset_id, seq, avail) "
            f"VALUES ({number % 9 - 4}, {number % 5 - 2}, {number}, {number})"
        )
    session.execute(f"CREATE TYPE {name}.pair (a int, b text)")
    session.execute(
        f"CREATE TABLE {name}.every (k int PRIMARY KEY, ascii ascii, bigint bigint, blob blob, boolean boolean, "
        "date date, decimal decimal, double double, duration duration, float float, inet inet, int int, "
        "smallint smallint, text text, time time, "
        "timestamp timestamp, timeuuid timeuuid, tinyint tinyint, uuid uuid, varint varint, l list<int>, "
        "s set<text>, m map<text, decimal>, f frozen<map<int, frozen<list<text>>>>, t tuple<int, text>, u pair, "
        "n frozen<pair>, v vector<float, 3>)"
    )
    session.execute(
        f"INSERT INTO {name}.every ({COLUMNS}) VALUES (1, 'a', 2, 0xff, true, '2024-02-29', 1.50, 2.5, 1mo2d3ns, 0.5, "
        "'::1', 5, 6, 'ü', '01:02:03.000000004', 1700000000123, 8d5b1880-0000-11ee-8000-000000000000, 7, "
        "8d5b1880-0000-41ee-8000-000000000000, 123456789012345678901234567890, [3, 1, 3], {'b', 'a'}, {'x': 1.0}, "
        "{1: ['p']}, (1, null), {a: 1}, {a: 2, b: ''}, [1, 2, 3])"
    )
    session.execute(f"INSERT INTO {name}.every (k, text, blob) VALUES (2, '', 0x)")
    return name


def decoded(page: RawPage) -> list[tuple[Any, ...]]:
    return [decode(page.types, row) for row in page.cells()]


def test_pages_of_a_scan_are_fitted_to_their_bytes(
    reader: Reader, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table(reader, filled, "balance_ledger")
    assert table
    sizes: list[int] = []

    def gather(_table: int, pages: Iterator[RawPage]) -> int:
        of_range = [page.rows for page in pages]
        sizes.extend(of_range)
        return sum(of_range)

    # A row of two bigints takes 24 bytes. The first range comes in one page, which tells how wide they are.
    monkeypatch.setattr(raw_scan, "PAGE_BYTES", 24 * 30)
    columns, tasks = ("user_id", "seq"), tasks_by_turns(2, 1)
    scan = raw_scan.raw_scan(reader, [table], columns, gather, tasks, in_flight=1)
    assert sum(part.gathered for part in scan) == sum(sizes) == LEDGER_ROWS
    assert sizes[0] > 30
    assert sizes[1] == max(sizes[1:]) == 30


@pytest.mark.parametrize("page_size", [7, 50, LEDGER_ROWS, 5000])
def test_the_rows_are_those_of_the_ordinary_decoder(reader: Reader, filled: str, page_size: int) -> None:
    cql = f"SELECT user_id, asset_id, seq, avail, frozen FROM {filled}.balance_ledger"
    pages = list(raw_pages(reader, cql, page_size=page_size))
    assert max(page.rows for page in pages) <= page_size
    assert sum(page.rows for page in pages) == LEDGER_ROWS
    assert [row for page in pages for row in decoded(page)] == reader.rows(cql)


def test_a_page_is_let_go_at_once(reader: Reader, filled: str) -> None:
    """Not when garbage is collected, nor when a timer is up: else memory would grow with what is read."""
    cql = f"SELECT user_id, asset_id, seq FROM {filled}.balance_ledger"
    gc.collect()
    before = _pages_there()
    gc.disable()
    try:
        assert sum(page.rows for page in raw_pages(reader, cql, page_size=10)) == LEDGER_ROWS
        assert _pages_there() == before
    finally:
        gc.enable()


def _pages_there() -> int:
    # By their type alone: some objects of others are proxies of what is gone.
    return sum(type(each) is RawPage for each in gc.get_objects())


def test_every_type_and_null_and_empty(reader: Reader, filled: str) -> None:
    cql = f"SELECT {COLUMNS} FROM {filled}.every"
    [page] = raw_pages(reader, cql)
    assert page.names == tuple(COLUMNS.split(", "))
    assert repr(decoded(page)) == repr(reader.rows(cql))
    empty = next(row for row in page.cells() if row[0] == b"\0\0\0\2")
    assert (empty[page.names.index("text")], empty[page.names.index("blob")]) == (b"", b"")
    assert empty[page.names.index("int")] is None


def test_parameters_may_be_cells_as_they_came(reader: Reader, filled: str) -> None:
    cql = f"SELECT avail FROM {filled}.balance_ledger WHERE user_id = ? AND asset_id = ? AND seq = ?"
    key = [(-4).to_bytes(8, "big", signed=True), (-2).to_bytes(4, "big", signed=True), (0).to_bytes(8, "big")]
    [page] = raw_pages(reader, cql, key, serialized=True, consistency="LOCAL_QUORUM")
    assert decoded(page) == [(0,)] == reader.rows(cql, (-4, -2, 0))
    bound = reader.bind(cql, key, "LOCAL_QUORUM", serialized=True)
    assert bound.consistency_level == ConsistencyLevel.LOCAL_QUORUM
    with pytest.raises(StoreError, match="Expected 8"):
        list(raw_pages(reader, cql, [b"\0", *key[1:]], serialized=True))


def test_nothing_but_a_select_is_sent(reader: Reader, filled: str) -> None:
    with pytest.raises(StoreError) as refused:
        list(raw_pages(reader, f"TRUNCATE {filled}.balance_ledger"))
    assert refused.value.kind == "refused_statement"


def test_no_rows_and_no_such_table(reader: Reader, filled: str) -> None:
    [page] = raw_pages(reader, f"SELECT k FROM {filled}.every WHERE k = 77")
    assert (page.rows, page.names, list(page.cells())) == (0, ("k",), [])
    with pytest.raises(StoreError) as missing:
        list(raw_pages(reader, f"SELECT k FROM {filled}.nothing"))
    assert missing.value.kind == "missing"


def test_an_answer_without_columns_is_an_error_and_not_zero_rows(
    reader: Reader, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cql = f"SELECT k FROM {filled}.every"
    # As if another version of the driver kept them elsewhere.
    monkeypatch.setattr(raw._RawResult, "recv_results_metadata", lambda *_: None)
    with pytest.raises(StoreError, match="does not say what its columns are"):
        list(raw_pages(reader, cql))


@pytest.mark.e2e
def test_a_paused_server_is_noticed_between_pages(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable()
    profile = profile_of(node, limits=Limits(request_timeout_s=1.0))
    session = connect(profile_of(node))
    create_schema(session.execute, "k", indexes=False)
    for number in range(30):
        session.execute(f"INSERT INTO k.balance_ledger (user_id, asset_id, seq) VALUES ({number}, 1, 1)")
    close(session)
    with open_reader(profile) as reader:
        pages = raw_pages(reader, "SELECT user_id FROM k.balance_ledger", page_size=5)
        next(pages)
        node.pause()
        try:
            begun = time.monotonic()
            with pytest.raises(StoreError) as late:
                list(pages)
            assert late.value.kind == "timeout"
            assert time.monotonic() - begun < 5
        finally:
            node.resume()
        assert sum(page.rows for page in raw_pages(reader, "SELECT user_id FROM k.balance_ledger")) == 30


@pytest.mark.parametrize(
    ("columns", "widths"),
    [
        ("user_id", (8,)),
        ("user_id, asset_id", (8, 4)),
        ("name", (None,)),
        ("name, part", (None, None)),
        ("part, id, name", (None, 16, None)),
    ],
)
def test_tokens_are_the_servers(
    reader: Reader, session: Session, filled: str, columns: str, widths: tuple[int | None, ...]
) -> None:
    table = f"{filled}.tokens_{abs(hash(columns))}"
    session.execute(
        f"CREATE TABLE {table} (user_id bigint, asset_id int, name text, part blob, id uuid, "
        f"PRIMARY KEY (({columns})))"
    )
    texts = ["a", "ü" * 9, "x" * 16, "日本語" * 7] + ([""] if "," in columns else [])
    for number, text in enumerate(texts):
        values = {
            "user_id": str((-1) ** number * 10**number),
            "asset_id": str(-number),
            "name": f"'{text}'",
            "part": "0x" + "f0" * number,
            "id": f"8d5b1880-0000-41ee-8000-00000000000{number}",
        }
        names = columns.split(", ")
        session.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join(values[name] for name in names)})"
        )
    place = tuple(range(len(widths)))
    layout = RowLayout(widths, len(widths), place, place, by_token=True)
    sketch = Sketch(layout, cells=100, seed=1)
    for page in raw_pages(reader, f"SELECT {columns} FROM {table}"):
        assert sketch.fold(page.body, page.start, page.rows).rows == page.rows == len(texts)
    expected = [token for (token,) in reader.rows(f"SELECT token({columns}) FROM {table}")]
    assert sorted(name[0] for _, name, _ in sketch.peel()) == sorted(token % 2**64 for token in expected)
