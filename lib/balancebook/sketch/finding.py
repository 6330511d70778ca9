"""Finding wanted rows in raw pages again, by their own hash or their key's."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import Walk
from balancebook.sketch.rows import LEFT_OVER, OK, Page, Places, Words, hash_bytes, next_row

_WORD = 8


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
) -> tuple[int, Page, Places, Words, int]:
    """The rows that are wanted: (code, their bytes one after the other, where each ends in them, lanes (n, 2) of their
    key and of themselves, rows left out).

    By key: those whose key has its lane in the open table `wanted`; else those whose own lane a is there.
    """
    widths, keys = walk.widths, walk.keys
    columns = widths.shape[0]
    starts, ends = np.empty(columns, np.int64), np.empty(columns, np.int64)
    bounds = np.empty((rows, 2), np.int64)
    lanes = np.empty((rows, 2), np.uint64)
    count = size = dropped = 0
    for _ in range(rows):
        code, end, absent = next_row(body, at, widths, keys, starts, ends)
        if code != OK:
            return code, body[:0].copy(), bounds[:0, 1].copy(), lanes[:0], dropped
        if absent:
            dropped += 1
        else:
            key_end = ends[keys - 1]
            lane = (
                hash_bytes(body, at, key_end, seeds[2], seeds[3])[0]
                if by_key
                else hash_bytes(body, at, end, seeds[0], seeds[1])[0]
            )
            if _holds(wanted, lane):
                lanes[count, 0] = hash_bytes(body, at, key_end, seeds[2], seeds[3])[0]
                lanes[count, 1] = hash_bytes(body, at, end, seeds[0], seeds[1])[0]
                bounds[count, 0], bounds[count, 1] = at, end
                size += end - at
                count += 1
        at = end
    taken = np.empty(size, np.uint8)
    size = 0
    for row in range(count):
        start, end = bounds[row]
        taken[size : size + end - start] = body[start:end]
        size += end - start
        bounds[row, 1] = size
    return (
        (OK if at == body.shape[0] else LEFT_OVER),
        taken,
        bounds[:count, 1].copy(),
        lanes[:count].copy(),
        dropped,
    )


@kernel
def key_lane(body: Page, start: int, end: int, seeds: Words) -> np.uint64:
    """Lane a of a key, as `find` by key compares it."""
    return hash_bytes(body, start, end, seeds[2], seeds[3])[0]


@kernel
def key_lanes(names: Words, widths: Places, keys: int, seeds: Words) -> Words:
    """Lane a of the key of each item that is named by its key's words (see RowLayout.key_cells)."""
    lanes = np.empty(names.shape[0], np.uint64)
    size = 4 * keys
    for column in range(keys):
        size += widths[column]
    body = np.zeros(size, np.uint8)
    for item in range(names.shape[0]):
        at = word = 0
        for column in range(keys):
            # No key has 64 KiB: the upper half of the length is zero.
            body[at + 2], body[at + 3] = (widths[column] >> 8) & 255, widths[column] & 255
            at += 4
            for start in range(0, widths[column], _WORD):
                value = names[item, word]
                for byte in range(min(_WORD, widths[column] - start)):
                    body[at + byte] = (value >> np.uint64(8 * byte)) & np.uint64(255)
                at += min(_WORD, widths[column] - start)
                word += 1
        lanes[item] = hash_bytes(body, 0, size, seeds[2], seeds[3])[0]
    return lanes
