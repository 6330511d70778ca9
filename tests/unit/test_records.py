"""Records of rows: five lanes, each of which depends on its own cells alone, two flags, and where a row lies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from balancebook.sketch.records import (
    ADDRESS,
    DERIVED,
    FLAGS,
    IN_STEP,
    KEY,
    PROVED,
    VALUES,
    VERSION,
    RecordLayout,
    RecordReader,
    flagged,
    gathered,
    sizes,
)
from balancebook.sketch.sketch import PageError, seeds_of
from scanned_rows import row_bytes

Cell = bytes | None
Row = tuple[Cell, ...]
START = 24
# Keys k and p (the base's is p), values a and b, their common write times, and one of the base's own.
LAYOUT = RecordLayout(2, 2, 2, 1, (1,), (4, 5), every=False)
ROW: Row = (b"key", b"p", b"one", b"two", b"12345678", b"87654321", b"own time")


def page(rows: Sequence[Row]) -> bytes:
    return b"".join(map(row_bytes, rows))


def read(rows: Sequence[Row], layout: RecordLayout = LAYOUT, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    body = np.frombuffer(bytes(START) + page(rows), np.uint8)
    return RecordReader(layout, seed).read(body, START, len(rows))


def lanes(row: Row, layout: RecordLayout = LAYOUT) -> dict[int, int]:
    records, _ = read([row], layout)
    return {lane: int(records[0, lane]) for lane in (ADDRESS, KEY, VALUES, IN_STEP, VERSION)}


def folded(one: int, other: int) -> int:
    """Both halves of a product of 128 bits, as one word."""
    product = one * other
    return (product ^ (product >> 64)) & (2**64 - 1)


def hashed(data: bytes, one: int) -> int:
    """The first lane of sketch.rows.hash_bytes, in plain Python."""

    def word(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    a, at = one ^ len(data), 0
    while len(data) - at > 16:
        a, at = folded(word(at, 8) ^ one, word(at + 8, 8) ^ a), at + 16
    size = 8 if len(data) >= 8 else 4
    low = word(max(len(data) - 16, 0), 8) if size == 8 else word(0, 4)
    a = folded(low ^ one, word(len(data) - size, size) ^ a)
    return folded(a ^ 0xA0761D6478BD642F, len(data) ^ one)


def test_lanes_are_what_plain_python_computes() -> None:
    """Whoever resumes a run must hash as whoever began it, so what a row's lanes are is fixed."""
    seeds = [int(word) for word in seeds_of(5)]
    for size in (0, 1, 3, 4, 7, 8, 12, 13, 20, 21, 60, 300):
        row = (b"k" * size, b"p", bytes(range(size % 256)), *ROW[3:])
        cell = hashed(row_bytes(row[1:2]), seeds[2])
        assert lanes(row) == {
            ADDRESS: folded(seeds[0] ^ cell, 0x9E3779B97F4A7C15) ^ cell,
            KEY: hashed(row_bytes(row[:2]), seeds[2]),
            VALUES: hashed(row_bytes(row[2:4]), seeds[0]),
            IN_STEP: hashed(row_bytes(row[2:6]), seeds[0]),
            VERSION: hashed(row_bytes(row[2:]), seeds[0]),
        }, size


def changed(row: Row, place: int, cell: Cell) -> Row:
    return (*row[:place], cell, *row[place + 1 :])


ON: dict[int, set[int]] = {
    0: {KEY},
    1: {KEY, ADDRESS},
    2: {VALUES, IN_STEP, VERSION},
    3: {VALUES, IN_STEP, VERSION},
    4: {IN_STEP, VERSION},
    5: {IN_STEP, VERSION},
    6: {VERSION},
}


@pytest.mark.parametrize("place", ON)
@pytest.mark.parametrize("cell", [b"", b"x", b"another, longer than sixteen bytes"])
def test_each_lane_depends_on_its_own_cells(place: int, cell: Cell) -> None:
    before, after = lanes(ROW), lanes(changed(ROW, place, cell))
    assert {lane for lane in before if before[lane] != after[lane]} == ON[place]


@pytest.mark.parametrize("place", [2, 3, 4, 5, 6])
def test_null_is_neither_empty_nor_anything_else(place: int) -> None:
    found = [lanes(changed(ROW, place, cell)) for cell in (None, b"", b"\0")]
    for lane in ON[place]:
        assert len({each[lane] for each in found}) == 3
    assert len({(each[ADDRESS], each[KEY]) for each in found}) == 1


def test_where_a_cell_ends_counts() -> None:
    one, other = lanes(ROW), lanes((*ROW[:2], b"onet", b"wo", *ROW[4:]))
    assert all(one[lane] != other[lane] for lane in (VALUES, IN_STEP, VERSION))
    assert one[KEY] == other[KEY]
    assert lanes((b"ke", b"yp", *ROW[2:]))[KEY] != one[KEY]


def test_both_sides_have_the_same_lanes_of_what_they_share() -> None:
    view = RecordLayout(2, 2, 2, 0, (1,), (4, 5), every=False)
    base, same = lanes(ROW), lanes(ROW[:6], view)
    assert all(base[lane] == same[lane] for lane in (ADDRESS, KEY, VALUES, IN_STEP))
    assert same[VERSION] == same[IN_STEP]
    assert base[VERSION] != same[VERSION]


def test_columns_that_are_not_there_are_alike() -> None:
    keys_only = RecordLayout(2, 0, 0, 0, (1,), (), every=False)
    found = lanes(ROW[:2], keys_only)
    assert found[VALUES] == found[IN_STEP] == found[VERSION] == 1
    no_times = RecordLayout(2, 2, 0, 0, (1,), (), every=False)
    found = lanes(ROW[:4], no_times)
    assert found[VALUES] == found[IN_STEP] == found[VERSION] == lanes(ROW)[VALUES]
    # A value missing at the end, and one missing alone.
    assert lanes((*ROW[:3], None), no_times)[VALUES] != found[VALUES]
    only_own = RecordLayout(2, 0, 0, 1, (1,), (2,), every=False)
    found = lanes((*ROW[:2], b"own time"), only_own)
    assert found[VALUES] == found[IN_STEP] == 1 != found[VERSION]


def test_an_address_of_several_columns_has_an_order() -> None:
    layout = RecordLayout(3, 0, 0, 0, (2, 0), (), every=False)
    one = lanes((b"a", b"b", b"c"), layout)
    assert one[ADDRESS] == lanes((b"a", b"x", b"c"), layout)[ADDRESS]
    assert one[ADDRESS] != lanes((b"c", b"b", b"a"), layout)[ADDRESS]
    assert one[ADDRESS] != lanes((b"a", b"b", b"d"), layout)[ADDRESS]
    assert one[ADDRESS] != lanes((b"d", b"b", b"c"), layout)[ADDRESS]
    assert lanes((b"a", b"b"), RecordLayout(2, 0, 0, 0, (0,), (), every=False))[ADDRESS] not in {
        0,
        one[ADDRESS],
    }
    # A base that has no such cell is another address than one with an empty one.
    assert lanes((b"a", b"b", None), layout)[ADDRESS] != lanes((b"a", b"b", b""), layout)[ADDRESS]


@pytest.mark.parametrize("place", [0, 1])
def test_a_row_with_a_null_in_its_key_derives_none(place: int) -> None:
    records, bounds = read([ROW, changed(ROW, place, None), changed(ROW, 3, None)])
    assert flagged(records, DERIVED).tolist() == [True, False, True]
    assert [bool(lane) for lane in records[:, KEY].tolist()] == [True, False, True]
    assert records[1, ADDRESS] != 0
    assert bounds[2, 1] == START + len(page([ROW, changed(ROW, place, None), changed(ROW, 3, None)]))


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("proof", [(4,), (4, 5), (4, 5, 6), (6,), ()])
def test_write_times_prove_that_a_row_stood_still(proof: tuple[int, ...], every: bool) -> None:
    layout = replace(LAYOUT, proof=proof, every=every)
    for there in itertools.product((True, False), repeat=3):
        row = (*ROW[:4], *(cell if it else None for cell, it in zip(ROW[4:], there, strict=True)))
        given = [there[place - 4] for place in proof]
        wanted = bool(given) and (all if every else any)(given)
        records, _ = read([row], layout)
        assert flagged(records, PROVED).tolist() == [wanted], (proof, there)
        assert flagged(records, DERIVED).tolist() == [True]


def test_where_each_row_lies() -> None:
    rows: list[Row] = [ROW, changed(ROW, 2, b"x" * 300), changed(ROW, 6, None), changed(ROW, 0, b"")]
    records, bounds = read(rows)
    lengths = [len(page([row])) for row in rows]
    ends = np.cumsum(lengths) + START
    assert bounds.tolist() == [
        [end - length, end] for end, length in zip(ends.tolist(), lengths, strict=True)
    ]
    assert sizes(records).tolist() == lengths
    assert (records[:, FLAGS] & np.uint64(255)).tolist() == [DERIVED | PROVED] * 4


def test_a_seed_changes_every_lane() -> None:
    one, other = (read([ROW], seed=seed)[0][0] for seed in (5, 6))
    assert all(one[lane] != other[lane] for lane in (ADDRESS, KEY, VALUES, IN_STEP, VERSION))
    assert one[FLAGS] == other[FLAGS]


def test_a_page_that_is_not_as_it_says_is_refused() -> None:
    reader, whole = RecordReader(LAYOUT, 5), bytes(START) + page([ROW, ROW])
    for data, rows in ((whole[:-1], 2), (whole + b"\0", 2), (whole, 1), (whole, 3)):
        with pytest.raises(PageError):
            reader.read(np.frombuffer(data, np.uint8), START, rows)
    bad = bytes(START) + b"\xff\xff\xff\xfe" + whole[START + 4 :]
    with pytest.raises(PageError, match="below -1"):
        reader.read(np.frombuffer(bad, np.uint8), START, 2)
    for start in (0, 3):
        with pytest.raises(PageError, match="byte 4"):
            reader.read(np.frombuffer(whole[START - start :], np.uint8), start, 2)
    assert len(reader.read(np.frombuffer(whole[START - 4 :], np.uint8), 4, 2)[0]) == 2


def test_rows_are_gathered_in_any_order() -> None:
    source = np.frombuffer(bytes(START) + page([ROW, (b"key", None), (b"",)]), np.uint8)
    rows = [row_bytes(ROW), row_bytes((b"key", None)), row_bytes((b"",))]
    ends = list(itertools.accumulate(map(len, rows), initial=START))
    bounds = np.array(list(itertools.pairwise(ends)), np.int64)
    for order in ((0, 1, 2), (2, 0), (1,), (1, 1, 0), ()):
        found = gathered(source, bounds, np.array(order, np.int64))
        assert found.tobytes() == b"".join(rows[row] for row in order)
