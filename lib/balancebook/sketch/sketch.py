"""An invertible Bloom lookup table over the rows of a view (Goodrich, Mitzenmacher 2011; k = 3, sums for xor)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from balancebook.sketch import layout as pages
from balancebook.sketch.layout import (
    BLOCK,
    COUNT,
    LANE_A,
    LANE_B,
    LEVEL_BITS,
    LEVEL_CELLS,
    LEVELS,
    NAME,
    Page,
    RowLayout,
    Shape,
    Words,
)
from balancebook.sketch.machine_code import Kernel
from balancebook.store.errors import StoreError

_WALK = "i8[:] i8 i8 i8[:] u8[:] i8[:] u8[:] i8[:] i8[:] i8 i8 i8"
_SHAPE, _ROOM = "i8 i8", "i8[:] i8[:] u8[:,:] u8[:,:] u1[:]"
_FOLD = Kernel("kernels.fold", f"u1[:] i8 i8 {_WALK} u8[:] u8[:,:] {_SHAPE} {_ROOM} i8[:,:] u8[:,:] i8[:]")
_PEEL = Kernel("kernels.peel", "u8[:,:] i8 i8 u8[:,:] i8[:]")
_FILL_TABLE = Kernel("finding.fill_table", "u8[:] u8[:]")
_FIND = Kernel("finding.find", "u1[:] i8 i8 i8[:] i8 u8[:] u8[:] i8[:] i8[:] u1[:] i8[:] u8[:,:] i8[:]")
_KEY_LANE = Kernel("finding.key_lane", "u1[:] u8[:]")
CELL_BYTES = 8
_LINE = 64
_MEANINGS = {
    pages.CUT_SHORT: "it ends within a row",
    pages.BAD_LENGTH: "a cell has a length below -1",
    pages.LEFT_OVER: "there are bytes after its last row",
    pages.TOO_NEAR: "its rows begin before byte 4",
}


class PageError(StoreError):
    """A page that is not what its layout says. Some of its rows may have been folded: the sketch is spoilt."""

    def __init__(self, why: str) -> None:
        super().__init__("protocol", f"A page cannot be read: {why}", "Run it again.")


class KeyWidthError(ValueError):
    """A key cell is empty where its type has a fixed width: name the rows by their tokens (RowLayout.by_tokens)."""


@dataclass(frozen=True, slots=True)
class Folded:
    """How many rows of a page were folded, and were no row of the view (a null in its key); and those newer than the
    cut-off, which were not folded."""

    rows: int
    dropped: int
    aside: FoundRows | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """What was peeled: rows that one side alone has, as it has them.

    signs: int64 (n,), 1 for the minuend's, -1 for the subtrahend's. names: uint64 (n, words), key words or (base token,
    view token, lane a of the key). lanes: uint64 (n, 2). complete: whether these are all of them.
    """

    signs: npt.NDArray[np.int64]
    names: Words
    lanes: Words
    complete: bool

    def __len__(self) -> int:
        return len(self.signs)

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...], tuple[int, int]]]:
        for sign, name, (a, b) in zip(
            self.signs.tolist(), self.names.tolist(), self.lanes.tolist(), strict=True
        ):
            yield sign, tuple(name), (a, b)


class Sketch:
    """Sums over rows, in about `cells` cells; what it holds of n rows takes no more memory than of one.

    Two sketches of equal layout names, cells and seed can be added and subtracted. Whatever order the rows come in, and
    however they are split among pages and sketches, the sums are the same. Not safe to fold into from two threads.
    """

    def __init__(self, layout: RowLayout, *, cells: int, seed: int) -> None:
        self.layout, self.seed = layout, seed
        self._shape = Shape(max(1, -(-cells // 3)), layout.words)
        self.seeds = seeds_of(seed)
        self._walk = layout.walk()
        parts = 3 * self._shape.third + 3 * LEVELS * LEVEL_CELLS
        self.cells = _aligned(parts, _padded(NAME + layout.words))
        columns = len(layout.widths)
        self._starts, self._ends = np.empty(columns, np.int64), np.empty(columns, np.int64)
        self._lanes, self._names = np.empty((BLOCK, 3), np.uint64), np.empty((BLOCK, layout.words), np.uint64)
        self._serialized = np.empty(0, np.uint8)
        self._left_out = np.zeros(2, np.int64)

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
        return self.cells.nbytes

    def fold(self, body: Page, start: int, rows: int) -> Folded:
        """Add the rows of a page that begin at `start` (at least 4) and end with it.

        Raises PageError, KeyWidthError.
        """
        needed = 0 if self.layout.keeps_key else len(body) + 3 * len(self.layout.widths)
        if len(self._serialized) < needed:
            self._serialized = np.empty(needed, np.uint8)
        room = self._starts, self._ends, self._lanes, self._names, self._serialized
        newest = rows if self.layout.cutoff else 0
        aside = np.empty((newest, 2), np.int64), np.empty((newest, 2), np.uint64)
        into = self.cells, *self._shape, *room, *aside, self._left_out
        raise_for(_FOLD(body, start, rows, *self._walk, self.seeds, *into))
        dropped, newer = self._left_out.tolist()
        taken = _taken(body, aside[0][:newer], aside[1][:newer]) if newer else None
        return Folded(rows - dropped - newer, dropped, taken)

    def merge(self, other: Sketch) -> Self:
        """Add what the other holds."""
        self._same_kind(other)
        self.cells += other.cells
        return self

    def subtract(self, other: Sketch) -> Self:
        """Take away what the other holds."""
        self._same_kind(other)
        self.cells -= other.cells
        return self

    def clear(self) -> None:
        """Hold nothing."""
        self.cells.fill(0)

    def copy(self) -> Sketch:
        """Another with the same content."""
        twin = self.like()
        twin.cells[:] = self.cells
        return twin

    def like(self) -> Sketch:
        """An empty one that can be merged into this."""
        return Sketch(self.layout, cells=3 * self._shape.third, seed=self.seed)

    def peel(self) -> Items:
        """The rows left in it. Uses up the main part of the cells; `estimate` stays possible."""
        return self._peeled(0, self._shape.third)

    def estimate(self) -> int:
        """About how many rows are left in it (16 % off at one sigma), for one that does not peel. Uses up its cells."""
        first = 3 * self._shape.third
        for level in range(1, LEVELS + 1):
            items = self._peeled(first, LEVEL_CELLS)
            if items.complete:
                return int(len(items) << (LEVEL_BITS * level))
            first += 3 * LEVEL_CELLS
        return 3 * LEVEL_CELLS << (LEVEL_BITS * LEVELS)

    def _peeled(self, first: int, size: int) -> Items:
        total = 3 * size
        room, waiting = np.empty((total, self.cells.shape[1]), np.uint64), np.empty(4 * total + 3, np.int64)
        found = room[: _PEEL(self.cells, first, size, room, waiting)].copy()
        complete = not self.cells[first : first + total].any()
        names, lanes = found[:, NAME : NAME + self.layout.words], found[:, LANE_A : LANE_B + 1]
        return Items(found[:, COUNT].view(np.int64), names, lanes, complete)

    def _same_kind(self, other: Sketch) -> None:
        mine, theirs = ((it.seed, it._shape, it.layout.keeps_key) for it in (self, other))
        if mine != theirs:
            raise ValueError("Only sketches of equal cells, seed and names can be added or subtracted.")


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Rows of a page: their bytes as they came, where each ends in them, and lanes, uint64 (n, 2), of key and row."""

    body: bytes
    ends: npt.NDArray[np.int64]
    lanes: Words

    def __len__(self) -> int:
        return len(self.ends)

    def cells(self, row: int) -> tuple[bytes | None, ...]:
        """The cells of one of them, None for null."""
        begin = int(self.ends[row - 1]) if row else 0
        return cells_of(self.body[begin : int(self.ends[row])])

    @staticmethod
    def joined(parts: Sequence[FoundRows]) -> FoundRows:
        """All of them, in that order."""
        if not parts:
            return FoundRows(b"", np.empty(0, np.int64), np.empty((0, 2), np.uint64))
        before = np.cumsum([0, *(len(part.body) for part in parts[:-1])])
        ends = np.concatenate([part.ends + start for part, start in zip(parts, before, strict=True)])
        return FoundRows(
            b"".join(part.body for part in parts), ends, np.concatenate([p.lanes for p in parts])
        )


def cells_of(row: bytes) -> tuple[bytes | None, ...]:
    """The cells of a row's bytes, None for null."""
    cells: list[bytes | None] = []
    at = 0
    while at < len(row):
        length = int.from_bytes(row[at : at + 4], "big", signed=True)
        at += 4
        cells.append(None if length < 0 else row[at : at + length])
        at += max(length, 0)
    return tuple(cells)


def _taken(body: Page, bounds: npt.NDArray[np.int64], lanes: Words) -> FoundRows:
    """The rows of a page that begin and end there."""
    parts = [body[begin:end].tobytes() for begin, end in bounds.tolist()]
    return FoundRows(b"".join(parts), np.cumsum(bounds[:, 1] - bounds[:, 0]), lanes.copy())


class Wanted:
    """Rows to look for in pages, by the first lane of their key's bytes."""

    def __init__(self, layout: RowLayout, seed: int, lanes: Iterable[int]) -> None:
        self._walk, self._seeds = layout.walk(), seeds_of(seed)
        wanted = lanes if isinstance(lanes, np.ndarray) else np.fromiter(lanes, np.uint64)
        self._table = np.zeros(1 << (2 * len(wanted) + 2).bit_length(), np.uint64)
        _FILL_TABLE(np.ascontiguousarray(wanted), self._table)

    def find(self, body: Page, start: int, rows: int) -> tuple[FoundRows, Folded]:
        """The page's rows that are wanted, and how many rows it has. Raises PageError."""
        widths, keys = self._walk.widths, self._walk.keys
        room = np.empty_like(widths), np.empty_like(widths)
        taken, ends, lanes = np.empty_like(body), np.empty(rows, np.int64), np.empty((rows, 2), np.uint64)
        counted = np.zeros(2, np.int64)
        into = *room, taken, ends, lanes, counted
        raise_for(_FIND(body, start, rows, widths, keys, self._seeds, self._table, *into))
        count, dropped = counted.tolist()
        size = int(ends[count - 1]) if count else 0
        found = FoundRows(taken[:size].tobytes(), ends[:count].copy(), lanes[:count].copy())
        return found, Folded(rows - dropped, dropped)


def key_lane(cells: Sequence[bytes], seed: int) -> int:
    """The lane by which `Wanted` looks for a key of these cells."""
    parts = [len(cell).to_bytes(4, "big") + cell for cell in cells]
    body = np.frombuffer(b"".join(parts), np.uint8)
    return _KEY_LANE(body, seeds_of(seed)) % 2**64


def raise_for(code: int) -> None:
    """Raise what a kernel's code stands for, if anything."""
    if code == pages.KEY_WIDTH:
        raise KeyWidthError("A cell of the view's key is empty where its type has a fixed width.")
    if code != pages.OK:
        raise PageError(f"The page is not as its columns say: {_MEANINGS[code]}.")


@lru_cache(maxsize=16)
def seeds_of(seed: int) -> Words:
    """The four words of a seed: two for the lanes of a row, two for those of a key."""
    words = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**64, 4, np.uint64)
    words.flags.writeable = False
    return words


def _padded(words: int) -> int:
    """A cell of up to 8 words takes a whole cache line."""
    return max(words, _LINE // CELL_BYTES)


def _aligned(rows: int, words: int) -> Words:
    """Zeros, uint64, whose first begins a cache line."""
    spare = np.zeros(rows * words + _LINE // CELL_BYTES, np.uint64)
    skip = -spare.ctypes.data % _LINE // CELL_BYTES
    return spare[skip : skip + rows * words].reshape(rows, words)
