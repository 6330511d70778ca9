"""Rows of raw pages as records of fixed size, by which two sides are compared without holding their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.sketch.layout import Page, Words
from balancebook.sketch.machine_code import Kernel
from balancebook.sketch.sketch import raise_for, seeds_of

_RECORDS = Kernel(
    "record_kernels.records",
    "u1[:] i8 i8 i8[:] i8 i8 i8 i8[:] i8[:] i8 u8[:] i8[:] i8[:] u8[:,:] i8[:,:]",
)
_GATHER = Kernel("record_kernels.gather", "u1[:] i8[:,:] i8[:] u1[:]")
ADDRESS, KEY, VALUES, IN_STEP, VERSION, FLAGS = range(6)
WORDS = 6
RECORD_BYTES = 8 * WORDS
# As in record_kernels, which only the compiler imports.
DERIVED, PROVED, SIZE_SHIFT = 1, 2, 8


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How the rows of one side lie: `keys` columns of the view's key, `values` others, `times` write times that both
    sides have, `own_times` that this one alone has.

    address: the places of the base's primary key among the keys. proof: the places of the write times that show that a
    row with the same record stood still in between: all of them if `every`, else one.
    """

    keys: int
    values: int
    times: int
    own_times: int
    address: tuple[int, ...]
    proof: tuple[int, ...]
    every: bool

    @property
    def columns(self) -> int:
        """How many columns a row has."""
        return self.keys + self.values + self.times + self.own_times


class RecordReader:
    """Makes records of pages. Not safe to use from two threads."""

    def __init__(self, layout: RecordLayout, seed: int) -> None:
        self._layout, self._seeds = layout, seeds_of(seed)
        self._widths = np.full(layout.columns, -1, np.int64)
        self._room = np.empty(layout.columns, np.int64), np.empty(layout.columns, np.int64)
        self._address, self._proof = (np.array(each, np.int64) for each in (layout.address, layout.proof))

    def read(self, body: Page, start: int, rows: int) -> tuple[Words, npt.NDArray[np.int64]]:
        """The records of the page's rows, uint64 (rows, 6), and where each begins and ends in it. Raises PageError."""
        layout = self._layout
        found, bounds = np.empty((rows, WORDS), np.uint64), np.empty((rows, 2), np.int64)
        counts = layout.keys, layout.values, layout.times
        how = self._address, self._proof, int(layout.every), self._seeds
        raise_for(_RECORDS(body, start, rows, self._widths, *counts, *how, *self._room, found, bounds))
        return found, bounds


def sizes(records: Words) -> npt.NDArray[np.int64]:
    """The size in bytes of each record's row."""
    return (records[:, FLAGS] >> np.uint64(SIZE_SHIFT)).astype(np.int64)


def flagged(records: Words, flag: int) -> npt.NDArray[np.bool_]:
    """Which records have a flag."""
    return np.asarray((records[:, FLAGS] & np.uint64(flag)) != 0)


def gathered(source: Page, bounds: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> Page:
    """The bytes of rows in that order, one after another. bounds: where each row of `source` begins and ends."""
    into = np.empty(int((bounds[order, 1] - bounds[order, 0]).sum()), np.uint8)
    _GATHER(source, bounds, order, into)
    return into


def joined(parts: Sequence[Words]) -> Words:
    """All of them, in that order."""
    return np.concatenate(parts) if parts else np.empty((0, WORDS), np.uint64)
