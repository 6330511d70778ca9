"""The sketch against a plain Counter of rows: what differs is named, all of it, or it says that it cannot."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid1

import numpy as np
import pytest
from cassandra import cqltypes
from cassandra.metadata import Murmur3Token
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.sketch.layout import Page, RowLayout, fixed_width
from balancebook.sketch.sketch import (
    Folded,
    FoundRows,
    Items,
    KeyWidthError,
    PageError,
    Sketch,
    Wanted,
    key_lane,
)
from scanned_rows import row_bytes

Cell = bytes | None
Row = tuple[Cell, ...]
START = 24

LEDGER = RowLayout((8, 4, 8, 8, 8, 8), keys=3, base_partition=(0, 1), view_partition=(0,))
TEXTS = RowLayout((None, 8, None), keys=2, base_partition=(1,), view_partition=(0,))
LAYOUTS = [
    LEDGER,
    TEXTS,
    RowLayout((16, 1, None), keys=2, base_partition=(1,), view_partition=(0, 1)),
    RowLayout((4,), keys=1, base_partition=(0,), view_partition=(0,)),
    RowLayout((None,), keys=1, base_partition=(0,), view_partition=(0,)),
    RowLayout((2, None, None, 8), keys=1, base_partition=(0,), view_partition=(0,)),
    RowLayout((8, 4, 8, 8), keys=3, base_partition=(0, 1), view_partition=(0,), by_token=True),
]


def packed(rows: Iterable[Row]) -> bytes:
    return b"".join(map(row_bytes, rows))


def as_page(data: bytes) -> Page:
    return np.frombuffer(bytes(START) + data, np.uint8)


def folded(sketch: Sketch, rows: Sequence[Row]) -> Sketch:
    sketch.fold(as_page(packed(rows)), START, len(rows))
    return sketch


def new_sketch(layout: RowLayout, cells: int = 768, **options: Any) -> Sketch:
    return Sketch(layout, cells=cells, seed=options.pop("seed", 5), **options)


def difference(layout: RowLayout, one: Sequence[Row], other: Sequence[Row], cells: int = 768) -> Items:
    sketch = folded(new_sketch(layout, cells), one)
    return sketch.subtract(folded(new_sketch(layout, cells), other)).peel()


def lanes_of(layout: RowLayout, row: Row) -> tuple[int, int]:
    [(_, _, lanes)] = folded(new_sketch(layout), [row]).peel()
    return lanes


def ledger_rows(count: int) -> list[Row]:
    chance = random.Random(11)
    numbers = ((n // 7, n % 3, n, chance.getrandbits(40), 0, n) for n in range(count))
    return [
        tuple(v.to_bytes(w or 0, "big") for v, w in zip(row, LEDGER.widths, strict=True)) for row in numbers
    ]


@st.composite
def sides(draw: st.DrawFn) -> tuple[RowLayout, list[Row], list[Row]]:
    """Two lists of rows, many of them common, none twice in a list (a table has each key once)."""
    layout = draw(st.sampled_from(LAYOUTS))

    def cell(column: int, width: int | None) -> st.SearchStrategy[Cell]:
        given_width = st.binary(max_size=20) if width is None else st.binary(min_size=width, max_size=width)
        return given_width if column < layout.keys else st.none() | st.just(b"") | given_width

    row = st.tuples(*itertools.starmap(cell, enumerate(layout.widths)))
    rows = draw(st.lists(row, max_size=40, unique=True))
    places = draw(
        st.lists(st.sampled_from(["both", "both", "one", "other"]), min_size=len(rows), max_size=len(rows))
    )
    one = [row for row, place in zip(rows, places, strict=True) if place != "other"]
    other = [row for row, place in zip(rows, places, strict=True) if place != "one"]
    return layout, one, other


@settings(max_examples=200, deadline=None)
@given(sides())
def test_what_is_peeled_is_what_differs(given_sides: tuple[RowLayout, list[Row], list[Row]]) -> None:
    layout, one, other = given_sides
    items = difference(layout, one, other)
    assert items.complete
    expected = Counter({(1, *lanes_of(layout, row)): 1 for row in set(one) - set(other)})
    expected.update((-1, *lanes_of(layout, row)) for row in set(other) - set(one))
    assert Counter((sign, *lanes) for sign, _, lanes in items) == expected
    if layout.keeps_key:
        keys = Counter((1, row[: layout.keys]) for row in set(one) - set(other))
        keys.update((-1, row[: layout.keys]) for row in set(other) - set(one))
        assert Counter((sign, tuple(layout.key_cells(name))) for sign, name, _ in items) == keys


@settings(max_examples=100, deadline=None)
@given(sides(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_split_do_not_matter(
    given_sides: tuple[RowLayout, list[Row], list[Row]], chance: random.Random, parts: int
) -> None:
    layout, rows, _ = given_sides
    whole = folded(new_sketch(layout), rows)
    shuffled = chance.sample(rows, len(rows))
    merged = new_sketch(layout)
    for part in range(parts):
        merged.merge(folded(merged.like(), shuffled[part::parts]))
    assert (merged.cells == whole.cells).all()


@pytest.mark.parametrize("layout", [LEDGER, RowLayout((8, 4, 8, 8, 8, None), 3, (0, 1), (0,))])
def test_one_byte_changed_anywhere_is_found(layout: RowLayout) -> None:
    rows = ledger_rows(20)
    whole = folded(new_sketch(layout), rows)
    for row, column in itertools.product((0, 7, 19), range(6)):
        for byte, bit in itertools.product(range(len(rows[row][column] or b"")), (1, 128)):
            cell = bytearray(rows[row][column] or b"")
            cell[byte] ^= bit
            changed = [
                *rows[:row],
                (*rows[row][:column], bytes(cell), *rows[row][column + 1 :]),
                *rows[row + 1 :],
            ]
            items = whole.copy().subtract(folded(new_sketch(layout), changed)).peel()
            assert items.complete
            assert sorted(items.signs.tolist()) == [-1, 1]


def test_null_empty_and_zero_and_where_a_cell_ends_are_told_apart() -> None:
    layout = RowLayout((1, None, None), keys=1, base_partition=(0,), view_partition=(0,))
    texts: list[Cell] = [None, b"", b"\0", b"\0\0", b"a", b"ab"]
    rows: list[Row] = [(b"k", one, other) for one in texts for other in texts]
    assert len({lanes_of(layout, row) for row in rows}) == len(rows)


def test_a_row_counted_twice_is_found() -> None:
    rows = ledger_rows(500)
    items = difference(LEDGER, rows, [*rows, rows[3]])
    assert (items.signs.tolist(), items.complete) == ([-1], True)
    twice = difference(LEDGER, [*rows, *rows], rows)
    assert len(twice) == 500 or not twice.complete


@pytest.mark.parametrize("cells", [768, 9, 3])
def test_more_than_it_can_hold_is_noticed(cells: int) -> None:
    rows = ledger_rows(4000)
    assert difference(LEDGER, rows, rows[cells // 3 :], cells).complete or cells < 768
    for left in (cells + 1, 2 * cells, 10 * cells, 4000):
        assert not difference(LEDGER, rows, rows[left:], cells).complete


# The first level holds one row in 16, some 10,000 in all; the second one in 256.
@pytest.mark.parametrize("left", [1000, 4000, 40_000])
def test_how_many_there_are_is_estimated(left: int) -> None:
    rows = ledger_rows(left + 1000)
    sketch = folded(new_sketch(LEDGER, 30), rows).subtract(folded(new_sketch(LEDGER, 30), rows[left:]))
    assert not sketch.peel().complete
    assert left / 2 < sketch.estimate() < left * 2


def test_a_row_with_a_null_in_its_key_is_no_row_of_the_view() -> None:
    rows = ledger_rows(6)
    derived = rows[:2] + rows[3:]
    rows[2] = (rows[2][0], None, *rows[2][2:])
    sketch = new_sketch(LEDGER)
    assert sketch.fold(as_page(packed(rows)), START, 6) == Folded(rows=5, dropped=1)
    assert (sketch.cells == folded(new_sketch(LEDGER), derived).cells).all()


def test_rows_newer_than_the_cut_off_are_set_aside() -> None:
    layout = RowLayout((4, 8), 1, (0,), (0,), cutoff=(1, -5, 2**63 - 1))
    times = (-6, -5, -4, 0, 2**62, -(2**63))
    values: list[Cell] = [*(n.to_bytes(8, "big", signed=True) for n in times), None, b""]
    rows: list[Row] = [(bytes([0, 0, 0, n]), value) for n, value in enumerate(values)]
    sketch = new_sketch(layout)
    # What has no time is kept: it is not newer.
    folded_page = sketch.fold(as_page(packed(rows)), START, len(rows))
    assert (folded_page.rows, folded_page.dropped) == (5, 0)
    aside = folded_page.aside
    assert aside is not None
    assert [aside.cells(number) for number in range(len(aside))] == [rows[n] for n in (2, 3, 4)]
    assert aside.lanes[:, 0].tolist() == [key_lane([rows[n][0] or b""], 5) for n in (2, 3, 4)]
    plain = replace(layout, cutoff=None)
    assert aside.lanes[:, 1].tolist() == [lanes_of(plain, rows[n])[0] for n in (2, 3, 4)]
    kept = Counter(layout.key_cells(name)[0][3] for _, name, _ in sketch.peel())
    assert kept == Counter([0, 1, 5, 6, 7])


@settings(max_examples=100, deadline=None)
@given(sides(), st.data())
def test_a_page_that_is_not_as_it_says_is_refused(
    given_sides: tuple[RowLayout, list[Row], list[Row]], data: st.DataObject
) -> None:
    layout, rows, _ = given_sides
    if not rows:
        return
    whole = packed(rows)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(PageError):
        new_sketch(layout).fold(as_page(whole[:cut]), START, len(rows))
    with pytest.raises(PageError):
        new_sketch(layout).fold(as_page(whole + b"\0"), START, len(rows))
    with pytest.raises(PageError):
        new_sketch(layout).fold(as_page(whole), START, len(rows) - 1)
    with pytest.raises(PageError):
        Wanted(layout, 5, [1]).find(as_page(whole[:cut]), START, len(rows))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LAYOUTS), st.binary(max_size=200), st.integers(0, 50))
def test_any_bytes_at_all_are_read_within_their_bounds(layout: RowLayout, data: bytes, rows: int) -> None:
    try:
        found = new_sketch(layout).fold(as_page(data), START, rows)
    except (PageError, KeyWidthError):
        return
    assert found.rows + found.dropped == rows


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xfe", b"\x80\0\0\0", b"\x7f\xff\xff\xff"])
def test_a_length_that_cannot_be_is_refused(length: bytes) -> None:
    with pytest.raises(PageError):
        new_sketch(TEXTS).fold(as_page(length + packed(ledger_rows(3))), START, 1)


def test_an_empty_key_cell_of_fixed_width_asks_for_tokens() -> None:
    row: Row = (b"", *ledger_rows(1)[0][1:])
    with pytest.raises(KeyWidthError):
        folded(new_sketch(LEDGER), [row])
    items = folded(new_sketch(LEDGER.by_tokens()), [row]).peel()
    # The view's partition key is empty, so its token is the lowest.
    assert [name[1] for _, name, _ in items] == [2**63]


def test_sketches_of_another_kind_are_not_added() -> None:
    for other in (
        new_sketch(LEDGER, 900),
        new_sketch(LEDGER, seed=6),
        new_sketch(LEDGER.by_tokens()),
    ):
        with pytest.raises(ValueError, match="equal cells"):
            new_sketch(LEDGER).merge(other)


@settings(max_examples=100, deadline=None)
@given(sides(), st.data())
def test_wanted_rows_are_found(
    given_sides: tuple[RowLayout, list[Row], list[Row]], data: st.DataObject
) -> None:
    layout, rows, _ = given_sides
    chosen = data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else []
    keys = {row[: layout.keys] for row in chosen}
    lanes = [key_lane([c or b"" for c in key], 5) for key in keys]
    found, page = Wanted(layout, 5, lanes).find(as_page(packed(rows)), START, len(rows))
    assert page == Folded(len(rows), 0)
    expected = [row for row in rows if row[: layout.keys] in keys]
    assert Counter(found.cells(row) for row in range(len(found))) == Counter(expected)
    assert set(found.lanes[:, 0].tolist()) == set(lanes)
    again = FoundRows.joined([found, found])
    assert [again.cells(row) for row in range(len(again))] == 2 * [found.cells(n) for n in range(len(found))]


@settings(max_examples=50, deadline=None)
@given(sides())
def test_rows_that_are_named_by_tokens_bear_the_lane_of_their_key(
    given_sides: tuple[RowLayout, list[Row], list[Row]],
) -> None:
    layout, rows, _ = given_sides
    items = folded(new_sketch(layout.by_tokens()), rows).peel()
    lanes = {key_lane([cell or b"" for cell in row[: layout.keys]], 5) for row in rows}
    assert {name[2] for _, name, _ in items} <= lanes
    found, _ = Wanted(layout, 5, lanes).find(as_page(packed(rows)), START, len(rows))
    assert set(found.lanes[:, 0].tolist()) == lanes


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 12, 13, 16, 17, 28, 29, 32, 33, 47, 100])
def test_both_lanes_of_a_row_depend_on_each_of_its_bits(size: int) -> None:
    layout = RowLayout((None,), keys=1, base_partition=(0,), view_partition=(0,))
    cell = random.Random(size).randbytes(size)
    lanes = [lanes_of(layout, (cell,))]
    for bit in range(8 * size):
        changed = int.from_bytes(cell, "big") ^ (1 << bit)
        lanes.append(lanes_of(layout, (changed.to_bytes(size, "big"),)))
    for lane in zip(*lanes, strict=True):
        assert len(set(lane)) == len(lanes)


@pytest.mark.parametrize("partition", [(0,), (1,), (0, 1), (2, 0), (0, 1, 2)])
def test_rows_bear_the_tokens_by_which_the_server_places_their_partitions(partition: tuple[int, ...]) -> None:
    layout = RowLayout((None, 4, None), keys=3, base_partition=partition, view_partition=(1,), by_token=True)
    texts = [b"", b"a", b"x" * 300, bytes(range(256)) * 3]
    rows: list[Row] = [(text, n.to_bytes(4, "big"), text[::-1]) for n, text in enumerate(texts)]
    names = [name for _, name, _ in folded(new_sketch(layout), rows).peel()]
    assert {(name[0], name[1]) for name in names} == {
        (token_of([row[n] or b"" for n in partition]), token_of([row[1] or b""])) for row in rows
    }


def token_of(cells: Sequence[bytes]) -> int:
    """By the driver's own Murmur3; a composite key is serialized as [length, 2 bytes][bytes][0] for each part."""
    parts = (len(cell).to_bytes(2, "big") + cell + b"\0" for cell in cells)
    whole = cells[0] if len(cells) == 1 else b"".join(parts)
    # The token of nothing is the lowest there is.
    return (Murmur3Token.hash_fn(whole) if whole else -(2**63)) % 2**64


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"keys": 0}, "key columns"),
        ({"keys": 3}, "key columns"),
        ({"view_partition": (1,)}, "partition key"),
        ({"base_partition": ()}, "partition key"),
        ({"cutoff": (1, 0, 1)}, "cut-off"),
        ({"widths": (8, 0), "cutoff": (1, 0, 1)}, "cut-off"),
        ({"widths": (8, 9), "cutoff": (1, 0, 1)}, "cut-off"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(settings: dict[str, Any], reason: str) -> None:
    sound: dict[str, Any] = {"widths": (8, None), "keys": 1, "base_partition": (0,), "view_partition": (0,)}
    RowLayout(**sound)
    for width in (1, 8):
        RowLayout(**sound | {"widths": (8, width), "cutoff": (1, 0, 1)})
    with pytest.raises(ValueError, match=reason):
        RowLayout(**sound | settings)


FIXED: dict[str, tuple[Any, Any]] = {
    "tinyint": (cqltypes.ByteType, 1),
    "boolean": (cqltypes.BooleanType, True),
    "smallint": (cqltypes.ShortType, 1),
    "int": (cqltypes.Int32Type, 1),
    "float": (cqltypes.FloatType, 1.0),
    "date": (cqltypes.SimpleDateType, 1),
    "bigint": (cqltypes.LongType, 1),
    "counter": (cqltypes.CounterColumnType, 1),
    "double": (cqltypes.DoubleType, 1.0),
    "time": (cqltypes.TimeType, 1),
    "timestamp": (cqltypes.DateType, datetime(2026, 1, 1)),
    "uuid": (cqltypes.UUIDType, UUID(int=1)),
    "timeuuid": (cqltypes.TimeUUIDType, uuid1()),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_width_is_that_of_the_type_s_values(name: str) -> None:
    kind, value = FIXED[name]
    assert fixed_width(name) == len(kind.serialize(value, 4))


@pytest.mark.parametrize(
    "name", ["text", "blob", "varint", "decimal", "inet", "duration", "frozen<list<int>>"]
)
def test_other_types_have_no_width(name: str) -> None:
    assert fixed_width(name) is None
