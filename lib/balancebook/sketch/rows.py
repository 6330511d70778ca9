"""The rows of a raw page: where they and their cells end, their hashes, the tokens of their partitions.

A page is what the server sends: for each row, for each column, [int32 length, big-endian][bytes]; length -1 is null.
A row is hashed as it lies there, length fields and all, so null, empty and every split between cells are told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from balancebook.sketch.compiler import part
from balancebook.sketch.layout import BAD_LENGTH, CUT_SHORT, OK, Page, Places, Words
from balancebook.sketch.memory import fold_product, load32, load64, swap64
from balancebook.sketch.murmur3 import token_part

_K = np.uint64(0xA0761D6478BD642F)


@part
def _length(raw: np.uint64) -> Any:
    """A length field, loaded as 4 bytes, as the signed number it stands for."""
    return np.int64(np.int32(swap64(raw) >> np.uint64(32)))


@part
def hash_bytes(
    body: Page, start: int, end: int, one: np.uint64, other: np.uint64
) -> tuple[np.uint64, np.uint64]:
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
def next_row(
    body: Page, at: int, widths: Places, keys: int, starts: Places, ends: Places
) -> tuple[int, int, bool]:
    """(code, end of the row, whether a key cell is null); the cells' bounds into `starts` and `ends`."""
    limit = body.size
    absent = False
    for column in range(widths.size):
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
def is_regular(body: Page, at: int, stride: int, places: Places, lengths: Words) -> bool:
    """Whether the row is there in full with every cell of its fixed width."""
    if stride == 0 or at + stride > body.size:
        return False
    wrong = np.uint64(0)
    for column in range(places.size):
        wrong |= load32(body, at + places[column]) ^ lengths[column]
    return bool(wrong == 0)


@part
def number_before(body: Page, end: int, width: int) -> np.int64:
    """The signed big-endian number of `width` bytes that ends there."""
    word = swap64(load64(body, end - 8))
    unused = 64 - 8 * width
    return np.int64(word << np.uint64(unused)) >> unused


@part
def partition_token(body: Page, columns: Places, starts: Places, ends: Places, serialized: Page) -> np.uint64:
    """The token of a row's partition key of these columns, as two's complement. `serialized`: space to work in."""
    if columns.size == 1:
        start = starts[columns[0]]
        return np.uint64(token_part(body, start, ends[columns[0]] - start))
    at = 0
    for index in range(columns.size):
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
    return np.uint64(token_part(serialized, 0, at))


@part
def key_is_regular(widths: Places, keys: int, starts: Places, ends: Places) -> bool:
    for column in range(keys):  # noqa: SIM110 (numba knows no all())
        if ends[column] - starts[column] != widths[column]:
            return False
    return True
