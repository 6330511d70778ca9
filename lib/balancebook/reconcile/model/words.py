"""Two hashes of a row as one word, by which rows are told apart or found again."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.layout import Words

# 2^64 divided by the golden ratio: it spreads the bits of the other word, so that the two do not cancel each other out.
_ODD = np.uint64(0x9E3779B97F4A7C15)


def mixed(one: Words, other: Words) -> Words:
    """A word for each pair of words, in the shape of the two."""
    return one ^ (other * _ODD)
