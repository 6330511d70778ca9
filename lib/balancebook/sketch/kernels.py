"""The hot loops: walk the rows of a raw page, hash them, add them to the cells; and peel what is left.

A page is what the server sends: for each row, for each column, [int32 length, big-endian][bytes]; length -1 is null.
A row is hashed as it lies there, length fields and all, so null, empty and every split between cells are told apart.

A cell is a row of uint64: count, lane a, lane b, check, and the words that name the row; all sums modulo 2^64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import Walk
from balancebook.sketch.memory import fold_product, load32, load64, swap64
from balancebook.sketch.murmur3 import token

Page = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

OK, CUT_SHORT, BAD_LENGTH, LEFT_OVER, KEY_WIDTH, TOO_NEAR = range(6)
COUNT, LANE_A, LANE_B, CHECK, NAME = range(5)
LEVELS = 6
LEVEL_BITS = 4
LEVEL_CELLS = 256


class Shape(NamedTuple):
    """A sketch's measures: cells of each third of its main part, words that name a row, which bucket of how many.

    Behind the main part stand LEVELS small ones of 3 * LEVEL_CELLS, each with one in 16 of the rows of the one before;
    from them the number of differences is estimated.
    """

    third: int
    words: int
    bucket: int
    buckets: int


_K = np.uint64(0xA0761D6478BD642F)
_NULL = np.uint64(0xFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_LEVEL_MASK = np.uint64(2**LEVEL_BITS - 1)


@part
def _length(raw: np.uint64) -> Any:
    """A length field, loaded as 4 bytes, as the signed number it stands for."""
    return np.int64(np.int32(swap64(raw) >> np.uint64(32)))


@part
def _hash(body: Page, start: int, end: int, one: np.uint64, other: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Two lanes of 64 bits over body[start:end], at least 4 bytes, in the manner of wyhash."""
    size = np.uint64(end - start)
    a, b = one ^ size, other ^ size
    at = start
    while end - at > 16:
        low, high = load64(body, at), load64(body, at + 8)
        a = fold_product(low ^ one, high ^ a)
        b = fold_product(low ^ b, high ^ other)
        at += 16
    if end - start >= 8:
        # The last two words overlap what was taken before, or each other: with the size known, nothing is ambiguous.
        low, high = load64(body, max(end - 16, start)), load64(body, end - 8)
    else:
        low, high = load32(body, start), load32(body, end - 4)
    a = fold_product(low ^ one, high ^ a)
    b = fold_product(low ^ b, high ^ other)
    return fold_product(a ^ _K, size ^ one), fold_product(b ^ _K, size ^ other)


@part
def _check(a: np.uint64, b: np.uint64) -> np.uint64:
    """No sum of the lanes of several rows has the sum of their checks, but by a chance of 2^-64."""
    mixed: np.uint64 = fold_product(a ^ np.uint64(0xE7037ED1A0B428DB), b ^ np.uint64(0x8EBC6AF09C88C6E3))
    return mixed ^ a


@part
def _place(lane: np.uint64, which: int, size: int) -> np.int64:
    """One of `size` cells by 32 bits of a lane."""
    bits = (lane >> np.uint64(32)) if which == 1 else (lane & _LOW)
    return np.int64((bits * np.uint64(size)) >> np.uint64(32))


@part
def _add_to(cells: Words, place: np.int64, a: np.uint64, b: np.uint64, check: np.uint64, name: Words) -> None:
    # Unsigned, or numba would ask each time whether it counts from the end.
    at = np.uint64(place)
    cells[at, np.uint64(COUNT)] += np.uint64(1)
    cells[at, np.uint64(LANE_A)] += a
    cells[at, np.uint64(LANE_B)] += b
    cells[at, np.uint64(CHECK)] += check
    for word in range(name.shape[0]):
        cells[at, np.uint64(NAME + word)] += name[word]


@part
def _add(
    cells: Words, first: int, size: int, a: np.uint64, b: np.uint64, check: np.uint64, name: Words
) -> None:
    """Add an item to its three cells among the 3 * size that begin at `first`."""
    _add_to(cells, first + _place(a, 0, size), a, b, check, name)
    _add_to(cells, first + size + _place(a, 1, size), a, b, check, name)
    _add_to(cells, first + 2 * size + _place(b, 2, size), a, b, check, name)


@part
def _take(cells: Words, place: int, item: Words, sign: np.uint64) -> None:
    for word in range(item.shape[0]):
        cells[place, word] -= sign * item[word]


@part
def _next_row(
    body: Page, at: int, widths: Places, keys: int, starts: Places, ends: Places
) -> tuple[int, int, bool]:
    """(code, end of the row, whether a key cell is null); the cells' bounds into `starts` and `ends`."""
    limit = body.shape[0]
    absent = False
    for column in range(widths.shape[0]):
        if at + 4 > limit:
            return CUT_SHORT, at, absent
        length = _length(load32(body, at))
        at += 4
        if length < -1:
            return BAD_LENGTH, at, absent
        starts[column] = at
        if length < 0:
            absent |= column < keys
            ends[column] = -1
        elif length > limit - at:
            return CUT_SHORT, at, absent
        else:
            at += length
            ends[column] = at
    return OK, at, absent


@part
def _is_regular(body: Page, at: int, stride: int, places: Places, lengths: Words) -> bool:
    """Whether the row is there in full with every cell of its fixed width."""
    if stride == 0 or at + stride > body.shape[0]:
        return False
    wrong = np.uint64(0)
    for column in range(places.shape[0]):
        wrong |= load32(body, at + places[column]) ^ lengths[column]
    return bool(wrong == 0)


@part
def _number(body: Page, end: int, width: int) -> np.int64:
    """The signed big-endian number of `width` bytes that ends there."""
    word = swap64(load64(body, end - 8))
    unused = 64 - 8 * width
    return np.int64(word << np.uint64(unused)) >> unused


@kernel
def _token(body: Page, columns: Places, starts: Places, ends: Places, serialized: Page) -> np.uint64:
    """The token of a row's partition key of these columns, as two's complement. `serialized`: space to work in."""
    if columns.shape[0] == 1:
        start = starts[columns[0]]
        return np.uint64(token(body, start, ends[columns[0]] - start))
    at = 0
    for index in range(columns.shape[0]):
        column = columns[index]
        length = ends[column] - starts[column]
        serialized[at] = (length >> 8) & 255
        serialized[at + 1] = length & 255
        at += 2
        for byte in range(starts[column], ends[column]):
            serialized[at] = body[byte]
            at += 1
        serialized[at] = 0
        at += 1
    return np.uint64(token(serialized, 0, at))


@part
def _key_is_regular(widths: Places, keys: int, starts: Places, ends: Places) -> bool:
    for column in range(keys):  # noqa: SIM110 (numba knows no all())
        if ends[column] - starts[column] != widths[column]:
            return False
    return True


@kernel
def _add_to_levels(
    cells: Words, first: int, a: np.uint64, b: np.uint64, check: np.uint64, name: Words
) -> None:
    """Add an item to the small parts that it belongs to, which begin at `first`: one in 16, one in 256, ..."""
    bits = check
    for _ in range(LEVELS):
        if bits & _LEVEL_MASK:
            return
        bits >>= np.uint64(LEVEL_BITS)
        _add(cells, first, LEVEL_CELLS, a, b, check, name)
        first += 3 * LEVEL_CELLS


@kernel
def fold(  # noqa: PLR0912 (in one piece: what is split off by rows costs more than it tells)
    body: Page, at: int, rows: int, walk: Walk, seeds: Words, cells: Words, shape: Shape
) -> tuple[int, int, int, int]:
    """Add the page's rows to the cells. Returns (code, rows folded, left out as no view row, left out as too new).

    With several buckets only rows whose key belongs to the bucket are added; all are counted. If the code is not OK,
    some rows of the page have been added.
    """
    # Unpacked once: numba counts references to an array each time that it is taken out of a tuple.
    widths, keys, stride, places, lengths, word_ends, word_shifts, base_key, view_key, cutoff, latest = walk
    size, words, bucket, buckets = shape
    columns, by_key = widths.shape[0], word_ends.shape[0] > 0
    starts, ends, name = np.empty(columns, np.int64), np.empty(columns, np.int64), np.empty(words, np.uint64)
    serialized = np.empty(0 if by_key else body.shape[0] + 3 * columns, np.uint8)
    row_seed, row_seed2, key_seed, key_seed2 = seeds[0], seeds[1], seeds[2], seeds[3]
    key_size = places[keys] if keys < places.shape[0] else stride
    needs_bounds = cutoff >= 0 or not by_key
    dropped = newer = 0
    if at < 4:
        return TOO_NEAR, 0, 0, 0
    for row in range(rows):
        if _is_regular(body, at, stride, places, lengths):
            end, key_end = at + stride, at + key_size
            if needs_bounds:
                for column in range(columns):
                    starts[column] = at + places[column] + 4
                    ends[column] = starts[column] + widths[column]
        else:
            code, end, absent = _next_row(body, at, widths, keys, starts, ends)
            if code != OK:
                return code, row - dropped - newer, dropped, newer
            if absent:
                dropped += 1
                at = end
                continue
            if by_key and not _key_is_regular(widths, keys, starts, ends):
                return KEY_WIDTH, row - dropped - newer, dropped, newer
            key_end = ends[keys - 1]
        if (
            cutoff >= 0
            and ends[cutoff] - starts[cutoff] == widths[cutoff]
            and _number(body, ends[cutoff], widths[cutoff]) > latest
        ):
            newer += 1
            at = end
            continue
        if buckets > 1 and _place(_hash(body, at, key_end, key_seed, key_seed2)[0], 0, buckets) != bucket:
            at = end
            continue
        a, b = _hash(body, at, end, row_seed, row_seed2)
        check = _check(a, b)
        if by_key:
            for word in range(words):
                name[word] = load64(body, at + word_ends[word] - 8) >> word_shifts[word]
        else:
            name[0] = _token(body, base_key, starts, ends, serialized)
            name[1] = _token(body, view_key, starts, ends, serialized)
        _add(cells, 0, size, a, b, check, name)
        if check & _LEVEL_MASK == 0:
            _add_to_levels(cells, 3 * size, a, b, check, name)
        at = end
    return (OK if at == body.shape[0] else LEFT_OVER), rows - dropped - newer, dropped, newer


@kernel
def peel(cells: Words, first: int, size: int) -> tuple[Words, bool]:
    """Take items off the 3 * size cells from `first` on, one pure cell after the other, until none is pure.

    Returns the items as rows of uint64 (count is 1 or 2^64-1, the rest as folded), and whether every cell is empty now:
    then these are all. The cells are used up.
    """
    total = 3 * size
    found = np.empty((total, cells.shape[1]), np.uint64)
    count = 0
    # Every cell once, and each peeled item brings its three back.
    waiting = np.empty(4 * total + 3, np.int64)
    for place in range(total):
        waiting[place] = first + place
    left = total
    while left > 0 and count < total:
        left -= 1
        place = waiting[left]
        sign = cells[place, COUNT]
        if sign != np.uint64(1) and sign != ~np.uint64(0):
            continue
        a, b = sign * cells[place, LANE_A], sign * cells[place, LANE_B]
        if sign * cells[place, CHECK] != _check(a, b):
            continue
        third = (place - first) // size
        if place != first + third * size + _place(b if third == 2 else a, third, size):
            continue
        item = found[count]
        item[COUNT] = 1
        for word in range(1, cells.shape[1]):
            item[word] = sign * cells[place, word]
        for other in range(3):
            waiting[left] = first + other * size + _place(b if other == 2 else a, other, size)
            _take(cells, waiting[left], item, sign)
            left += 1
        item[COUNT] = sign
        count += 1
    empty = True
    for place in range(first, first + total):
        for word in range(cells.shape[1]):
            empty &= cells[place, word] == 0
    return found[:count].copy(), empty


@part
def _holds(wanted: Words, lane: np.uint64) -> bool:
    """Whether the open table has that lane; 0 marks a free place, and is always thought to be in."""
    mask = np.uint64(wanted.shape[0] - 1)
    place = lane & mask
    while wanted[np.int64(place)] != lane:
        if wanted[np.int64(place)] == 0:
            return bool(lane == 0)
        place = (place + np.uint64(1)) & mask
    return True


@kernel
def open_table(lanes: Words, places: int) -> Words:
    """A table for `find` of `places`, a power of two and more than there are lanes."""
    table = np.zeros(places, np.uint64)
    mask = np.uint64(places - 1)
    for lane in lanes:
        place = lane & mask
        while table[np.int64(place)] != 0 and table[np.int64(place)] != lane:
            place = (place + np.uint64(1)) & mask
        table[np.int64(place)] = lane
    return table


@kernel
def find(
    body: Page, at: int, rows: int, walk: Walk, seeds: Words, wanted: Words, by_key: bool
) -> tuple[int, Places, Words, int]:
    """The rows that are wanted: (code, places (n, columns, 2) of their cells' bounds, lanes, rows left out).

    By key: those whose key has a lane in the open table `wanted`; else those whose own lane a is there. The bounds of a
    null are (start, -1).
    """
    widths, keys = walk.widths, walk.keys
    columns = widths.shape[0]
    starts, ends = np.empty(columns, np.int64), np.empty(columns, np.int64)
    bounds = np.empty((rows, columns, 2), np.int64)
    lanes = np.empty(rows, np.uint64)
    count = 0
    dropped = 0
    for _ in range(rows):
        code, end, absent = _next_row(body, at, widths, keys, starts, ends)
        if code != OK:
            return code, bounds[:0], lanes[:0], dropped
        if absent:
            dropped += 1
        else:
            until = ends[keys - 1] if by_key else end
            first = 2 if by_key else 0
            lane = _hash(body, at, until, seeds[first], seeds[first + 1])[0]
            if _holds(wanted, lane):
                bounds[count, :, 0], bounds[count, :, 1] = starts, ends
                lanes[count] = lane
                count += 1
        at = end
    return (OK if at == body.shape[0] else LEFT_OVER), bounds[:count].copy(), lanes[:count].copy(), dropped


@kernel
def key_lane(body: Page, start: int, end: int, seeds: Words) -> np.uint64:
    """Lane a of a key, as `find` by key compares it."""
    return _hash(body, start, end, seeds[2], seeds[3])[0]
