"""Finding wanted rows in raw pages again, by the hash of their key."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import LEFT_OVER, OK, Page, Places, Words
from balancebook.sketch.rows import hash_bytes, next_row


@part
def _holds(wanted: Words, lane: np.uint64) -> bool:
    """Whether the open table has that lane; 0 marks a free place, and is always thought to be in."""
    mask = np.uint64(wanted.size - 1)
    place = lane & mask
    while wanted[np.int64(place)] != lane:
        if wanted[np.int64(place)] == 0:
            return False
        place = (place + np.uint64(1)) & mask
    return True


@kernel
def fill_table(lanes: Words, table: Words) -> int:
    """Make zeros, a power of two and more than there are lanes, a table for `find`."""
    mask = np.uint64(table.size - 1)
    for lane in lanes:
        place = lane & mask
        while table[np.int64(place)] != 0 and table[np.int64(place)] != lane:
            place = (place + np.uint64(1)) & mask
        table[np.int64(place)] = lane
    return OK


@kernel
def find(  # noqa: PLR0913, PLR0917 (C has no other way)
    body: Page,
    at: int,
    rows: int,
    widths: Places,
    keys: int,
    seeds: Words,
    wanted: Words,
    starts: Places,
    ends: Places,
    taken: Page,
    bounds: Places,
    lanes: Words,
    counted: Places,
) -> int:
    """Take the rows that are wanted. Returns a code; counted: how many were taken, and how many are no view row.

    Wanted are those whose key has its lane in the open table `wanted`. starts, ends: space to work in, by column.
    taken: the rows' bytes, one after the other, and bounds: where each ends in them; lanes (n, 2) of their key and of
    themselves.
    """
    count = size = dropped = 0
    for _ in range(rows):
        code, end, absent = next_row(body, at, widths, keys, starts, ends)
        if code != OK:
            return code
        if absent:
            dropped += 1
        else:
            key_end = ends[keys - 1]
            lane = hash_bytes(body, at, key_end, seeds[2], seeds[3])[0]
            if _holds(wanted, lane):
                lanes[count, 0] = lane
                lanes[count, 1] = hash_bytes(body, at, end, seeds[0], seeds[1])[0]
                for place in range(at, end):
                    taken[size + place - at] = body[place]
                size += end - at
                bounds[count] = size
                count += 1
        at = end
    counted[0], counted[1] = count, dropped
    return OK if at == body.size else LEFT_OVER


@kernel
def key_lane(body: Page, seeds: Words) -> np.int64:
    """Lane a of a key, as `find` compares it; in two's complement."""
    return np.int64(hash_bytes(body, 0, body.size, seeds[2], seeds[3])[0])
