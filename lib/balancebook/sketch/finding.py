"""Finding wanted rows in raw pages again, by their own hash or their key's."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import Walk
from balancebook.sketch.rows import LEFT_OVER, OK, Page, Places, Words, hash_bytes, next_row


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
        code, end, absent = next_row(body, at, widths, keys, starts, ends)
        if code != OK:
            return code, bounds[:0], lanes[:0], dropped
        if absent:
            dropped += 1
        else:
            until = ends[keys - 1] if by_key else end
            first = 2 if by_key else 0
            lane = hash_bytes(body, at, until, seeds[first], seeds[first + 1])[0]
            if _holds(wanted, lane):
                bounds[count, :, 0], bounds[count, :, 1] = starts, ends
                lanes[count] = lane
                count += 1
        at = end
    return (OK if at == body.shape[0] else LEFT_OVER), bounds[:count].copy(), lanes[:count].copy(), dropped


@kernel
def key_lane(body: Page, start: int, end: int, seeds: Words) -> np.uint64:
    """Lane a of a key, as `find` by key compares it."""
    return hash_bytes(body, start, end, seeds[2], seeds[3])[0]
