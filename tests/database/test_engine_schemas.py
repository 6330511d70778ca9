"""The sketch's comparison on real tables of every shape, with real faults, against the plain comparison."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.schema import create_schema
from balancebook.store.pace import Pace
from balancebook.store.reader import Reader
from balancebook.verdict import Verdict
from oracle import read_and_compare
from reconciling import Shape, compared, counts, made

UUID = "8d5b1880-0000-41ee-8000-00000000000"

SHAPES = {
    "a non-key base column in the view's key, nulls in it": Shape(
        columns="p int, c int, owner text, n int",
        key="p, c",
        selected="p, c, owner, n",
        view_key="owner, p, c",
        rows=(
            *(f"(p, c, owner, n) VALUES ({p}, {c}, 'o{c % 3}', {p * c})" for p in range(4) for c in range(5)),
            "(p, c, n) VALUES (9, 9, 9)",
        ),
        faults=(
            "DELETE FROM {table} WHERE owner = 'o1' AND p = 1 AND c = 1",
            "INSERT INTO {table} (owner, p, c, n) VALUES ('o2', 1, 1, 1)",
            "INSERT INTO {table} (owner, p, c, n) VALUES ('o2', 2, 2, 77)",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "an empty partition key, quoted mixed-case names, a static column": Shape(
        columns='"P" int, c int, s text STATIC, "Owner""s" text, n text',
        key='"P", c',
        selected='"P", c, "Owner""s", n',
        view_key='"Owner""s", "P", c',
        rows=(
            *(f'("P", c, "Owner""s", n) VALUES ({p}, {c}, \'\', \'\')' for p in range(3) for c in range(3)),
            "(\"P\", s) VALUES (7, 'static only')",
            '("P", c, "Owner""s") VALUES (8, 1, \'x\')',
        ),
        faults=(
            'DELETE FROM {table} WHERE "Owner""s" = \'x\' AND "P" = 8 AND c = 1',
            'INSERT INTO {table} ("Owner""s", "P", c, n) VALUES (\'y\', 8, 1, \'\')',
        ),
        expected={"LOST": 1, "ORPHAN": 1},
    ),
    "composite keys of text, uuid and blob, reversed": Shape(
        columns="a text, b uuid, c blob, d timestamp, v float",
        key="(a, b), c, d",
        selected="a, b, c, d, v",
        view_key="(b, c), d, a",
        options="WITH CLUSTERING ORDER BY (d DESC, a ASC)",
        rows=tuple(
            f"(a, b, c, d, v) VALUES ('{'ü' * n}a', {UUID}{n}, 0x{'00' * n}ff, {n}, 0.{n})" for n in range(8)
        ),
        faults=(
            f"DELETE FROM {{table}} WHERE b = {UUID}2 AND c = 0x0000ff AND d = 2 AND a = 'üüa'",
            f"INSERT INTO {{table}} (b, c, d, a, v) VALUES ({UUID}3, 0x000000ff, 3, 'üüüa', 9.9)",
            f"INSERT INTO {{table}} (b, c, d, a) VALUES ({UUID}3, 0x, -3, '')",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "decimal and varint in the key": Shape(
        columns="p decimal, c varint, d decimal, v decimal",
        key="p, c",
        selected="p, c, d, v",
        view_key="c, d, p",
        rows=tuple(
            f"(p, c, d, v) VALUES (1.{n}0, {(-1) ** n * 7 ** (9 * n)}, {n}.50, {n}.0)" for n in range(6)
        ),
        faults=(
            f"INSERT INTO {{table}} (c, d, p, v) VALUES ({7**18}, 2.50, 1.20, 2.00)",
            f"DELETE FROM {{table}} WHERE c = {7**36} AND d = 4.5 AND p = 1.40",
            "INSERT INTO {table} (c, d, p, v) VALUES (1, 0.51, 1.00, 1)",
        ),
        expected={"LOST": 1, "ORPHAN": 1, "MISMATCH": 1},
    ),
    "collections, tuples, user types, vector, duration, half-null": Shape(
        types=("pair (a int, b text)",),
        columns="p int, c int, l list<int>, s set<text>, m map<text, decimal>, f frozen<map<int, frozen<list<text>>>>, "
        "t tuple<int, text>, u pair, z frozen<pair>, v vector<float, 3>, d duration, i inet, h time, e date",
        key="p, c",
        selected="*",
        view_key="c, p",
        rows=(
            *(
                "(p, c, l, s, m, f, t, u, z, v, d, i, h, e) VALUES "
                f"(1, {n}, [3, 1, 3], {{'b', 'a'}}, {{'x': 1.0}}, {{1: ['p']}}, (1, null), {{a: 1}}, {{a: 2, b: ''}}, "
                "[1, 2, 3], 1mo2d3ns, '::1', '01:02:03', '2024-02-29')"
                for n in range(9)
            ),
            "(p, c) VALUES (2, 1)",
            "(p, c, s, l) VALUES (2, 2, {}, [])",
        ),
        faults=(
            "INSERT INTO {table} (c, p, l) VALUES (1, 1, [3, 1])",
            "INSERT INTO {table} (c, p, u) VALUES (2, 1, {a: 1, b: ''})",
            "INSERT INTO {table} (c, p, v) VALUES (3, 1, [1, 2, 4])",
            "INSERT INTO {table} (c, p, t) VALUES (4, 1, (1, ''))",
            "INSERT INTO {table} (c, p, m) VALUES (5, 1, {'x': 1.00})",
            "DELETE d, i FROM {table} WHERE c = 6 AND p = 1",
            "DELETE FROM {table} WHERE c = 7 AND p = 1",
            "INSERT INTO {table} (c, p, f) VALUES (1, 2, {})",
        ),
        expected={"LOST": 1, "MISMATCH": 7},
    ),
    "frozen collections and a tuple in the key": Shape(
        columns="p frozen<list<int>>, c frozen<tuple<int, text>>, k frozen<set<int>>, v boolean",
        key="p, c",
        selected="p, c, k, v",
        view_key="k, p, c",
        rows=tuple(f"(p, c, k, v) VALUES ([{n}, 1], ({n}, null), {{{n}, 5}}, true)" for n in range(6)),
        faults=(
            "DELETE FROM {table} WHERE k = {1, 5} AND p = [1, 1] AND c = (1, null)",
            "INSERT INTO {table} (k, p, c, v) VALUES ({2, 5}, [2, 1], (2, null), false)",
        ),
        expected={"LOST": 1, "MISMATCH": 1},
    ),
    "a view that selects its key alone": Shape(
        columns="p bigint, c int, v text",
        key="p, c",
        selected="p, c",
        view_key="c, p",
        rows=tuple(f"(p, c, v) VALUES ({p}, {c}, 'v')" for p in range(5) for c in range(5)),
        faults=("DELETE FROM {table} WHERE c = 3 AND p = 3", "INSERT INTO {table} (c, p) VALUES (6, 3)"),
        expected={"LOST": 1, "ORPHAN": 1},
    ),
}


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace for the tables of this file."""
    name = f"engine_schemas_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    return name


@pytest.mark.parametrize("name", SHAPES)
def test_any_schema(session: Session, reader: Reader, place: str, fault: Injector, name: str) -> None:
    shape = SHAPES[name]
    view = made(session, reader, place, shape)
    sound = compared(reader, view)
    assert (sound.verdict, sound.counts) == (Verdict.PASS, counts())
    assert sound.rows_base == sound.rows_view > 0
    fault.import_cells(view.name, [(statement, ()) for statement in shape.faults])
    oracle = read_and_compare(reader, view)
    by_key = compared(reader, view)
    assert by_key.counts == counts(**shape.expected)
    assert (by_key.rows_base, by_key.rows_view) == (oracle.rows_base, oracle.rows_view)
    by_scan = compared(reader, view, most_by_key=0)
    assert repr(by_scan.samples) == repr(by_key.samples)
    assert oracle.counts == by_key.counts
    assert repr([replace(each, reason="") for each in by_key.samples]) == repr(list(oracle.samples))
    named = [by_key.named(sample) | {"reason": ""} for sample in by_key.samples]
    assert named == [oracle.named(sample) for sample in oracle.samples]


def test_a_key_spelled_otherwise_is_the_same_key(session: Session, reader: Reader, place: str) -> None:
    rows = tuple(f"(p, c, v) VALUES (1, {n}.0, 1)" for n in range(5))
    view = made(
        session, reader, place, Shape("p int, c decimal, v int", "p, c", "p, c, v", "p, c", rows, (), {})
    )
    base = f"{place}.{view.base_name}"
    session.execute(f"DELETE FROM {base} WHERE p = 1 AND c = 2.0")
    session.execute(f"INSERT INTO {base} (p, c, v) VALUES (1, 2.00, 7)")
    session.execute(f"INSERT INTO {base} (p, c, v) VALUES (1, 3.000, 7)")
    report = compared(reader, view)
    assert (report.verdict, report.counts) == (Verdict.PASS, counts())


def test_an_empty_number_in_the_key_is_named_by_its_token(
    session: Session, reader: Reader, place: str, fault: Injector
) -> None:
    empty = "(p, c, v) VALUES (1, blob_as_int(0x), 5)"
    rows = (*(f"(p, c, v) VALUES (1, {n}, 1)" for n in range(5)), empty.replace("5", "1"))
    view = made(session, reader, place, Shape("p int, c int, v int", "p, c", "*", "p, c", rows, (), {}))
    for pace in (None, Pace(rate=10**6)):
        # The names were to be short, and are read again with tokens.
        assert compared(reader, view, pace=pace).counts == counts()
    fault.import_cells(view.name, [(f"INSERT INTO {{table}} {row}", ()) for row in (empty, rows[3])])
    fault.import_cells(view.name, [("INSERT INTO {table} (p, c, v) VALUES (1, 3, 5)", ())])
    report = compared(reader, view)
    assert report.counts == counts(MISMATCH=2)
    assert {sample.key for sample in report.samples} == {(1, b""), (1, 3)}


@pytest.mark.parametrize("most_by_key", [10_000, 0], ids=["by key", "by scan"])
@pytest.mark.parametrize("kind", ["text", "int"])
def test_a_row_under_an_empty_partition_key_is_read_again(
    session: Session,
    reader: Reader,
    place: str,
    fault: Injector,
    most_by_key: int,
    kind: str,
) -> None:
    values = [*["''"] * 5, "'6'", "'7'"] if kind == "text" else [*["blob_as_int(0x)"] * 5, "6", "7"]
    rows = tuple(f"(p, v) VALUES ({n}, {value})" for n, value in enumerate(values))
    view = made(session, reader, place, Shape(f"p int, v {kind}", "p", "*", "v, p", rows, (), {}))
    assert compared(reader, view, most_by_key=most_by_key).counts == counts()
    fault.import_cells(view.base_name, [("DELETE FROM {table} WHERE p = 3", ())])
    report = compared(reader, view, most_by_key=most_by_key)
    assert report.counts == counts(ORPHAN=1)
    assert report.samples[0].key == ("" if kind == "text" else b"", 3)
