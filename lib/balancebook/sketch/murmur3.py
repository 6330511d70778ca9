"""The token of a partition key as Cassandra's Murmur3Partitioner computes it, in the client.

It is the first half of MurmurHash3 x64-128 with seed 0, but for one slip that is now the format: bytes of the tail
are taken as signed (https://github.com/apache/cassandra, utils/MurmurHash.java, hash3_x64_128). -2^63 as a result
becomes 2^63-1, and an empty key has the token -2^63 (dht/Murmur3Partitioner.java).
"""

from __future__ import annotations

import numpy as np

from balancebook.sketch.compiler import kernel, part
from balancebook.sketch.layout import Page
from balancebook.sketch.memory import load64

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_TOP_BITS = np.uint64(0x8080808080808080)
_LOWEST = np.int64(-(2**63))
_HIGHEST = np.int64(2**63 - 1)


@part
def _turn(word: np.uint64, by: int) -> np.uint64:
    return (word << np.uint64(by)) | (word >> np.uint64(64 - by))


@part
def _finish(word: np.uint64) -> np.uint64:
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xFF51AFD7ED558CCD)
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xC4CEB9FE1A85EC53)
    return word ^ (word >> np.uint64(33))


@part
def _tail(body: Page, start: int, end: int) -> np.uint64:
    """Up to 8 bytes, each of them sign-extended to 64 bits before it is put in its place."""
    if end >= 8:
        # What stands before them is shifted out.
        word: np.uint64 = load64(body, end - 8) >> np.uint64(64 - 8 * (end - start))
    else:
        word = np.uint64(0)
        for at in range(start, end):
            word |= np.uint64(body[at]) << np.uint64(8 * (at - start))
    if word & _TOP_BITS:
        for at in range(start, end):
            if body[at] > 127:
                # A negative byte turns every bit above it.
                word ^= ~np.uint64(0) << np.uint64(8 * (at - start)) << np.uint64(8)
    return word


@kernel
def token(body: Page, start: int, length: int) -> np.int64:
    """As token_part, for Python."""
    return token_part(body, start, length)


@part
def token_part(body: Page, start: int, length: int) -> np.int64:
    """The token of the serialized partition key body[start:start + length].

    One column: its bytes. Several: each as [uint16 length][bytes][0], one after the other.
    """
    if length == 0:
        return _LOWEST
    one, two = np.uint64(0), np.uint64(0)
    end = start + length
    at = start
    while at + 16 <= end:
        one ^= _turn(load64(body, at) * _C1, 31) * _C2
        one = (_turn(one, 27) + two) * np.uint64(5) + np.uint64(0x52DCE729)
        two ^= _turn(load64(body, at + 8) * _C2, 33) * _C1
        two = (_turn(two, 31) + one) * np.uint64(5) + np.uint64(0x38495AB5)
        at += 16
    if at + 8 < end:
        two ^= _turn(_tail(body, at + 8, end) * _C2, 33) * _C1
    if at < end:
        one ^= _turn(_tail(body, at, min(at + 8, end)) * _C1, 31) * _C2
    one ^= np.uint64(length)
    two ^= np.uint64(length)
    one += two
    two += one
    one, two = _finish(one), _finish(two)
    found = np.int64(one + two)
    return _HIGHEST if found == _LOWEST else found
