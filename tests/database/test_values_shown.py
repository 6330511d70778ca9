"""Values of many types, from a real server, as JSON, as text, in Parquet and in tables: never as Python source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.reconcile.document import Reconciliation
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.reconcile.parquet import write_parquet
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sides import base_side, types_of, view_side
from balancebook.runs.reconcile_text import text_of
from balancebook.store.names import quote
from balancebook.store.raw import decode, encode, raw_pages
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_view
from balancebook.tables import cell_text

ONE, TWO = "8d5b1880-0000-41ee-8000-000000000001", "8d5b1880-0000-41ee-8000-000000000002"
DIGITS = "7" * 5000
# A decimal is its scale, an int32, and its digits as an integer: here more of them than can be decoded.
EXACT = "0x00000001" + "77" * 2500
KEY = {"k": [1, [ONE, TWO]], "id": ["0x", "0xcafe"]}
# Of each column its type, the value in CQL, and the value as JSON.
CELLS: dict[str, tuple[str, str, Any]] = {
    "uuids": ("set<uuid>", f"{{{TWO}, {ONE}}}", [ONE, TWO]),
    "part": (
        "frozen<part>",
        "{data: 0x00ff, sizes: {'a': [1, 2]}, at: null}",
        ["0x00ff", [["a", [1, 2]]], None],
    ),
    "vec": ("vector<float, 2>", "[0.5, -0.0]", ["0.5", "-0.0"]),
    "host": ("inet", "'2001:db8::1'", "2001:db8::1"),
    "took": ("duration", "1mo2d3ns", "1mo2d3ns"),
    "day": ("date", "'2024-02-29'", "2024-02-29"),
    "late": ("date", "2150416545", "2932897 days since 1970-01-01"),
    "clock": ("time", "'01:02:03.000000004'", "01:02:03.000000004"),
    "odd": ("list<double>", "[NaN, -0.0, Infinity, -Infinity]", ["NaN", "-0.0", "Infinity", "-Infinity"]),
    "zeros": ("set<double>", "{-0.0}", ["-0.0"]),
    "amount": ("decimal", "1.50", "1.50"),
    "vast": ("varint", DIGITS, DIGITS),
    "exact": ("decimal", f"blob_as_decimal({EXACT})", EXACT),
    "at": ("timestamp", "16725225600123", "2500-01-01T00:00:00.123Z"),
    "far": ("timestamp", "253402300800000", "0x0000e677d21fdc00"),
    "times": (
        "map<timestamp, frozen<tuple<int, blob>>>",
        "{16725225600123: (1, 0x01)}",
        [["2500-01-01T00:00:00.123Z", [1, "0x01"]]],
    ),
    "nest": (
        "frozen<map<frozen<set<int>>, frozen<list<part>>>>",
        "{{2, 1}: [{data: 0x, sizes: {}}]}",
        [[[1, 2], [["0x", [], None]]]],
    ),
    "none": ("frozen<set<uuid>>", "null", None),
    "bare": ("int", "blob_as_int(0x)", "0x"),
    "yes": ("boolean", "true", True),
    "name": ("text", "'ü, \"'''", "ü, \"'"),
}


@pytest.fixture(scope="module")
def place(session: Session, server: Node) -> str:
    """A base with one row of all these types, which is missing from its view."""
    name = f"shown_{os.getpid()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    session.execute(f"CREATE TYPE {name}.part (data blob, sizes map<text, frozen<list<int>>>, at timestamp)")
    columns = ", ".join(f"{column} {cql_type}" for column, (cql_type, *_) in CELLS.items())
    session.execute(
        f"CREATE TABLE {name}.base (k frozen<tuple<int, frozen<set<uuid>>>>, id frozen<set<blob>>, {columns}, "
        "PRIMARY KEY (id, k))"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {name}.by_k AS SELECT * FROM {name}.base WHERE k IS NOT NULL AND id IS NOT NULL "
        "PRIMARY KEY (k, id)"
    )
    k, identity = f"(1, {{{TWO}, {ONE}}})", "{0xcafe, 0x}"
    session.execute(
        f"INSERT INTO {name}.base (k, id, {', '.join(CELLS)}) "
        f"VALUES ({k}, {identity}, {', '.join(value for _, value, _ in CELLS.values())})"
    )
    with server.admin() as admin:
        Injector(session.execute, admin, name).import_cells(
            "by_k", [(f"DELETE FROM {{table}} WHERE k = {k} AND id = {identity}", ())]
        )
    return name


@pytest.fixture
def view(reader: Reader, place: str) -> View:
    found = read_view(reader, place, "by_k")
    assert found
    return found


@pytest.fixture
def report(reader: Reader, view: View) -> ComparisonReport:
    found = reconcile(reader, view, Options(grace_s=0, sleep=lambda _: None))
    assert found.counts[Kind.LOST] == len(found.samples) == 1
    return found


def test_the_document_of_a_reconciliation(view: View, report: ComparisonReport) -> None:
    done = Reconciliation(view=view, depth="full", report=report, written=(), not_written="", seconds=1.0)
    [difference] = done.document("run")["differences"]
    assert difference["key"] == KEY
    assert {name: cell["value"] for name, cell in difference["base"].items()} == {
        name: expected for name, (*_, expected) in CELLS.items()
    }
    shown = text_of(done, [])
    assert f'[1, ["{ONE}"'[:39] in shown
    assert '["0x", "0xcafe"]' in shown
    for python in ("SortedSet", "UUID(", "OrderedMap", "b'", "\\x", "Decimal", "part(", "datetime", "None"):
        assert python not in shown


def test_the_parquet_file(reader: Reader, view: View, tmp_path: Path) -> None:
    sides = base_side(reader, view), view_side(view)
    names = sides[1].key, sides[1].values
    cql = f"SELECT {', '.join(map(quote, (*names[0], *names[1])))} FROM {sides[0].table.cql_name}"
    rows = [row for page in raw_pages(reader, cql) for row in page.cells()]
    found = [RawDifference(Kind.LOST, row[:2], row[2:], None) for row in rows]
    write_parquet(tmp_path / "d.parquet", found, view, names, types_of(reader, sides), {})
    [difference] = pq.read_table(tmp_path / "d.parquet").to_pylist()
    assert difference["key"] == {"k": f'[1, ["{ONE}", "{TWO}"]]', "id": '["0x", "0xcafe"]'}
    assert difference["base"]["part"] == '["0x00ff", [["a", [1, 2]]], null]'
    assert difference["base"]["zeros"] == '["-0.0"]'
    assert difference["base"]["vast"] == DIGITS
    assert difference["base"]["far"] == "0x0000e677d21fdc00"
    # An empty cell is no number.
    assert (difference["base"]["bare"], difference["base"]["yes"]) == (None, True)


def test_a_table_for_people(reader: Reader, place: str) -> None:
    frame = reader.frame(f"SELECT id, part, uuids, host, far, at, amount, none, yes FROM {place}.base")
    assert [cell_text(cell) for cell in frame.iloc[0]] == [
        '["0x", "0xcafe"]',
        '["0x00ff", [["a", [1, 2]]], null]',
        f'["{ONE}", "{TWO}"]',
        "2001:db8::1",
        "0x0000e677d21fdc00",
        "2500-01-01T00:00:00.123Z",
        "1.5",
        "—",
        "True",
    ]


def test_every_value_is_sent_back_as_it_came(reader: Reader, place: str) -> None:
    """So a row can be asked for again by any key."""
    names = ("k", "id", *CELLS)
    [page] = raw_pages(reader, f"SELECT {', '.join(names)} FROM {place}.base")
    [row] = page.cells()
    for name, kind, value, cell in zip(names, page.types, decode(page.types, row), row, strict=True):
        assert cell is None or encode(kind, value) == cell, name
    cql = f"SELECT k, id FROM {place}.base WHERE id = ? AND k = ?"
    [(k, identity)] = reader.rows(f"SELECT k, id FROM {place}.base")
    assert reader.rows(cql, (identity, k)) == [(k, identity)]
    assert hash(identity) == hash((b"", b"\xca\xfe"))
