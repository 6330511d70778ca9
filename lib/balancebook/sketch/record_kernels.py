"""The hot loop of a comparison by records: of each row of a raw page five hashes and what is known of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import LEFT_OVER, OK, TOO_NEAR, Page, Places, Words
from balancebook.sketch.memory import fold_product
from balancebook.sketch.rows import hash_bytes, next_row

_MIX = np.uint64(0x9E3779B97F4A7C15)
DERIVED, PROVED = 1, 2
SIZE_SHIFT = 8


@part
def _edge(starts: Places, ends: Places, column: int) -> Any:
    """Where a cell's bytes end in the row; those of null where they would begin."""
    return starts[column] if ends[column] < 0 else ends[column]


@kernel
def records(  # noqa: PLR0913, PLR0917 (C has no other way)
    body: Page,
    at: int,
    rows: int,
    widths: Places,
    keys: int,
    values: int,
    times: int,
    address: Places,
    proof: Places,
    every: int,
    seeds: Words,
    starts: Places,
    ends: Places,
    found: Words,
    bounds: Places,
) -> int:
    """Make a record of each row. Returns a code.

    The columns are `keys` of the view's key, `values` others, `times` write times that both sides have, and write times
    that this side alone has. address: the places of the base's primary key. proof: the places of write times; with
    `every` all of them must be there, else one, for the row to be PROVED: to have stood still where its record is the
    same later. found (rows, 6): lanes of the address, of the view's key (0 if a cell of it is null), of the values, of
    values and common times, of all but the key; then PROVED, DERIVED and the row's size. bounds (rows, 2): where each
    begins and ends.
    """
    if at < 4:
        return TOO_NEAR
    for row in range(rows):
        code, end, absent = next_row(body, at, widths, keys, starts, ends)
        if code != OK:
            return code
        lane = seeds[0]
        for index in range(address.size):
            column = address[index]
            cell = hash_bytes(body, starts[column] - 4, _edge(starts, ends, column), seeds[2], seeds[3])[0]
            lane = fold_product(lane ^ cell, _MIX) ^ cell
        found[row, 0] = lane
        key_end = _edge(starts, ends, keys - 1)
        found[row, 1] = np.uint64(0)
        flags = np.uint64(0)
        if not absent:
            found[row, 1] = hash_bytes(body, at, key_end, seeds[2], seeds[3])[0]
            flags = np.uint64(DERIVED)
        found[row, 2] = found[row, 3] = found[row, 4] = np.uint64(1)
        if values > 0:
            found[row, 2] = hash_bytes(
                body, key_end, _edge(starts, ends, keys + values - 1), seeds[0], seeds[1]
            )[0]
        if values + times > 0:
            last = _edge(starts, ends, keys + values + times - 1)
            found[row, 3] = hash_bytes(body, key_end, last, seeds[0], seeds[1])[0]
        if end > key_end:
            found[row, 4] = hash_bytes(body, key_end, end, seeds[0], seeds[1])[0]
        known = 0
        for index in range(proof.size):
            known += ends[proof[index]] > starts[proof[index]]
        if known > 0 and (every == 0 or known == proof.size):
            flags |= np.uint64(PROVED)
        found[row, 5] = (np.uint64(end - at) << np.uint64(SIZE_SHIFT)) | flags
        bounds[row, 0], bounds[row, 1] = at, end
        at = end
    return OK if at == body.size else LEFT_OVER


@kernel
def gather(source: Page, bounds: Places, order: Places, into: Page) -> int:
    """Copy the rows of `source` in that order, one after another. Returns how many bytes they are.

    bounds (rows, 2): where each begins and ends. `into` has room for all of them.
    """
    at = 0
    for index in range(order.size):
        row = order[index]
        for place in range(bounds[row, 0], bounds[row, 1]):
            into[at] = source[place]
            at += 1
    return at
