"""The hot loops: hash the rows of a raw page, add them to the cells; and peel what is left.

A cell is a row of uint64: count, lane a, lane b, check, and the words that name the row; all sums modulo 2^64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import (
    BLOCK,
    CHECK,
    COUNT,
    KEY_WIDTH,
    LANE_A,
    LANE_B,
    LEFT_OVER,
    LEVEL_BITS,
    LEVEL_CELLS,
    LEVELS,
    NAME,
    OK,
    TOO_NEAR,
    Page,
    Places,
    Words,
)
from balancebook.sketch.memory import fold_product, load64, prefetch
from balancebook.sketch.rows import (
    hash_bytes,
    is_regular,
    key_is_regular,
    next_row,
    number_before,
    partition_token,
)

_LOW = np.uint64(0xFFFFFFFF)
_LEVEL_MASK = np.uint64(2**LEVEL_BITS - 1)


@part
def _check(a: np.uint64, b: np.uint64) -> np.uint64:
    """No sum of the lanes of several rows has the sum of their checks, but by a chance of 2^-64."""
    mixed: np.uint64 = fold_product(a ^ np.uint64(0xE7037ED1A0B428DB), b ^ np.uint64(0x8EBC6AF09C88C6E3))
    return mixed ^ a


@part
def _place(lane: np.uint64, which: int, size: int) -> Any:
    """One of `size` cells by 32 bits of a lane."""
    bits = (lane >> np.uint64(32)) if which == 1 else (lane & _LOW)
    return np.int64((bits * np.uint64(size)) >> np.uint64(32))


@part
def _add_to(
    cells: Words, place: int, a: np.uint64, b: np.uint64, check: np.uint64, names: Words, which: int
) -> None:
    # Unsigned, or numba would ask each time whether it counts from the end.
    at = np.uint64(place)
    cells[at, np.uint64(COUNT)] += np.uint64(1)
    cells[at, np.uint64(LANE_A)] += a
    cells[at, np.uint64(LANE_B)] += b
    cells[at, np.uint64(CHECK)] += check
    for word in range(names.shape[1]):
        cells[at, np.uint64(NAME + word)] += names[which, word]


@part
def _add(  # noqa: PLR0913, PLR0917 (read from an array, the lanes would be read anew for each cell)
    cells: Words,
    first: int,
    size: int,
    a: np.uint64,
    b: np.uint64,
    check: np.uint64,
    names: Words,
    which: int,
) -> None:
    """Add an item, named by names[which], to its three cells among the 3 * size that begin at `first`."""
    _add_to(cells, first + _place(a, 0, size), a, b, check, names, which)
    _add_to(cells, first + size + _place(a, 1, size), a, b, check, names, which)
    _add_to(cells, first + 2 * size + _place(b, 2, size), a, b, check, names, which)


@part
def _take(cells: Words, place: int, item: Words, sign: np.uint64) -> None:
    for word in range(item.size):
        cells[place, word] -= sign * item[word]


@kernel
def _add_to_levels(cells: Words, first: int, lanes: Words, names: Words, which: int) -> None:
    """Add an item to the small parts that it belongs to, which begin at `first`: one in 16, one in 256, ..."""
    a, b, check = lanes[which, 0], lanes[which, 1], lanes[which, 2]
    bits = check
    for _ in range(LEVELS):
        if bits & _LEVEL_MASK:
            return
        bits >>= np.uint64(LEVEL_BITS)
        _add(cells, first, LEVEL_CELLS, a, b, check, names, which)
        first += 3 * LEVEL_CELLS


@part
def _add_all(cells: Words, size: int, lanes: Words, names: Words, count: int) -> None:
    """Add the first `count` items; lanes[n] are lane a, lane b and the check."""
    for which in range(count):
        a, b, check = lanes[which, 0], lanes[which, 1], lanes[which, 2]
        _add(cells, 0, size, a, b, check, names, which)
        if check & _LEVEL_MASK == 0:
            _add_to_levels(cells, 3 * size, lanes, names, which)


@kernel
def fold(  # noqa: PLR0912, PLR0913, PLR0917 (in one piece: what is split off by rows costs more than it tells)
    body: Page,
    at: int,
    rows: int,
    widths: Places,
    keys: int,
    stride: int,
    places: Places,
    lengths: Words,
    word_ends: Places,
    word_shifts: Words,
    base_key: Places,
    view_key: Places,
    cutoff: int,
    latest: int,
    horizon: int,
    seeds: Words,
    cells: Words,
    size: int,
    words: int,
    starts: Places,
    ends: Places,
    lanes: Words,
    names: Words,
    serialized: Page,
    aside: Places,
    aside_lanes: Words,
    left_out: Places,
) -> int:
    """Add the page's rows to the cells. Returns a code; left_out: how many are no view row, and how many too new.

    From `widths` on as in Walk, from `size` on as in Shape. Space to work in: starts, ends: by column; lanes, names:
    BLOCK rows; serialized: if rows are named by tokens, for a partition key. Rows that are too new are not added: where
    each begins and ends goes to `aside` (rows, 2), the lanes of its key and of itself to `aside_lanes` (rows, 2). If
    the code is not OK, some rows of the page have been added.
    """
    columns, by_key = widths.size, word_ends.size > 0
    # Rows wait here a moment, while the cells that they go to come from memory.
    waiting = 0
    row_seed, row_seed2, key_seed, key_seed2 = seeds[0], seeds[1], seeds[2], seeds[3]
    key_size = places[keys] if keys < places.size else stride
    needs_bounds = cutoff >= 0 or not by_key
    dropped = newer = 0
    if at < 4:
        return TOO_NEAR
    for _ in range(rows):
        if is_regular(body, at, stride, places, lengths):
            end, key_end = at + stride, at + key_size
            if needs_bounds:
                for column in range(columns):
                    starts[column] = at + places[column] + 4
                    ends[column] = starts[column] + widths[column]
        else:
            code, end, absent = next_row(body, at, widths, keys, starts, ends)
            if code != OK:
                return code
            if absent:
                dropped += 1
                at = end
                continue
            if by_key and not key_is_regular(widths, keys, starts, ends):
                return KEY_WIDTH
            key_end = ends[keys - 1]
        if cutoff >= 0 and ends[cutoff] - starts[cutoff] == widths[cutoff]:
            moment = number_before(body, ends[cutoff], widths[cutoff])
            if latest < moment <= horizon:
                aside[newer, 0], aside[newer, 1] = at, end
                aside_lanes[newer, 0] = hash_bytes(body, at, key_end, key_seed, key_seed2)[0]
                aside_lanes[newer, 1] = hash_bytes(body, at, end, row_seed, row_seed2)[0]
                newer += 1
                at = end
                continue
        a, b = hash_bytes(body, at, end, row_seed, row_seed2)
        lanes[waiting, 0], lanes[waiting, 1], lanes[waiting, 2] = a, b, _check(a, b)
        prefetch(cells, _place(a, 0, size))
        prefetch(cells, size + _place(a, 1, size))
        prefetch(cells, 2 * size + _place(b, 2, size))
        if by_key:
            for word in range(words):
                names[waiting, word] = load64(body, at + word_ends[word] - 8) >> word_shifts[word]
        else:
            names[waiting, 0] = partition_token(body, base_key, starts, ends, serialized)
            names[waiting, 1] = partition_token(body, view_key, starts, ends, serialized)
            names[waiting, 2] = hash_bytes(body, at, key_end, key_seed, key_seed2)[0]
        waiting += 1
        if waiting == BLOCK:
            _add_all(cells, size, lanes, names, BLOCK)
            waiting = 0
        at = end
    _add_all(cells, size, lanes, names, waiting)
    left_out[0], left_out[1] = dropped, newer
    return OK if at == body.size else LEFT_OVER


@kernel
def peel(cells: Words, first: int, size: int, found: Words, waiting: Places) -> int:
    """Take items off the 3 * size cells from `first` on, one pure cell after the other, until none is pure.

    Returns how many; they are in `found`, which has a row for each cell (count is 1 or 2^64-1, the rest as folded). If
    every cell is empty then, these are all. waiting: space for 4 * 3 * size + 3, since every cell comes once, and each
    peeled item brings its three back.
    """
    total = 3 * size
    count = 0
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
    return count
