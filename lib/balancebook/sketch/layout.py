"""How the rows of one side lie in a page, and what of them the sketch needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Page = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

# What a kernel says of a page.
OK, CUT_SHORT, BAD_LENGTH, LEFT_OVER, KEY_WIDTH, TOO_NEAR = range(6)
# A cell of a sketch: sums of these, and from NAME on of the words that name a row.
COUNT, LANE_A, LANE_B, CHECK, NAME = range(5)
LEVELS = 6
LEVEL_BITS = 4
LEVEL_CELLS = 256
# So many rows are folded at a time.
BLOCK = 16

_WIDTHS = {
    "tinyint": 1,
    "boolean": 1,
    "smallint": 2,
    "int": 4,
    "float": 4,
    "date": 4,
    "bigint": 8,
    "counter": 8,
    "double": 8,
    "time": 8,
    "timestamp": 8,
    "uuid": 16,
    "timeuuid": 16,
}
_WORD = 8
# Both partition tokens, and lane a of the key.
_TOKEN_WORDS = 3


def fixed_width(cql_type: str) -> int | None:
    """How many bytes a value of that CQL type takes (if it is not empty), or None if they vary."""
    return _WIDTHS.get(cql_type)


class Shape(NamedTuple):
    """A sketch's measures: cells of each third of its main part, words that name a row.

    Behind the main part stand LEVELS small ones of 3 * LEVEL_CELLS, each with one in 16 of the rows of the one before;
    from them the number of differences is estimated.
    """

    third: int
    words: int


class Walk(NamedTuple):
    """A layout as the kernels take it.

    widths: of each column, -1 if they vary. lengths, places: if all are fixed, the length field of each cell (as the
    machine loads its 4 bytes) and where it stands in the row; `stride` is then the row's size, else 0.
    words: for each key word, where the 8 bytes end in the row, and by how many bits to shift them; none: the two tokens
    and the key's lane are kept instead. base_key, view_key: the columns of either partition key. cutoff: the column, or
    -1; rows with latest < value <= horizon are set aside.
    """

    widths: Places
    keys: int
    stride: int
    places: Places
    lengths: Words
    word_ends: Places
    word_shifts: Words
    base_key: Places
    view_key: Places
    cutoff: int
    latest: int
    horizon: int


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Rows of a view, as either side sends them: the view's key columns first, then its others.

    widths: bytes of each column, None if they vary. keys: how many of the columns are the view's key; a row with a null
    among them is no row of the view. base_partition, view_partition: the places of the partition keys' columns, in
    their order. cutoff: the place of a column of fixed width up to 8, signed, and the bounds (latest, horizon]
    between which rows are set aside. by_token: keep both partition tokens of a row and its key's lane, even if its key
    would fit.
    """

    widths: tuple[int | None, ...]
    keys: int
    base_partition: tuple[int, ...]
    view_partition: tuple[int, ...]
    cutoff: tuple[int, int, int] | None = None
    by_token: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.keys <= len(self.widths):
            raise ValueError(f"{self.keys} key columns of {len(self.widths)}")
        for part in (self.base_partition, self.view_partition):
            if not part or not set(part) <= set(range(self.keys)):
                raise ValueError(
                    f"A partition key of columns {part}: they must be among the {self.keys} keys."
                )
        if self.cutoff and not 0 < (self.widths[self.cutoff[0]] or 0) <= _WORD:
            raise ValueError("The cut-off needs a column of at most 8 bytes.")

    @property
    def keeps_key(self) -> bool:
        """Whether an item names its row by its key's bytes, rather than by its partitions' tokens."""
        return not self.by_token and None not in self.widths[: self.keys]

    @property
    def words(self) -> int:
        """How many words of a cell name the row."""
        return len(self._key_words()) if self.keeps_key else _TOKEN_WORDS

    def by_tokens(self) -> RowLayout:
        """The same, naming rows by their tokens: for a key with an empty value where a fixed width is declared."""
        return replace(self, by_token=True)

    def walk(self) -> Walk:
        """The layout as arrays."""
        fixed = [width for width in self.widths if width is not None]
        sizes = [4 + width for width in fixed]
        whole = len(fixed) == len(self.widths)
        words = self._key_words() if self.keeps_key else []
        cutoff, latest, horizon = self.cutoff or (-1, 0, 0)
        return Walk(
            widths=np.array([-1 if width is None else width for width in self.widths], np.int64),
            keys=self.keys,
            stride=sum(sizes) if whole else 0,
            places=np.array([sum(sizes[:column]) for column in range(len(sizes))] if whole else [], np.int64),
            lengths=np.array([_as_loaded(width) for width in fixed] if whole else [], np.uint64),
            word_ends=np.array([end for end, _ in words], np.int64),
            word_shifts=np.array([8 * (_WORD - width) for _, width in words], np.uint64),
            base_key=np.array(self.base_partition, np.int64),
            view_key=np.array(self.view_partition, np.int64),
            cutoff=cutoff,
            latest=latest,
            horizon=horizon,
        )

    def key_cells(self, words: Sequence[int]) -> list[bytes]:
        """The key's cells, as they came, of an item's words. Only if `keeps_key`."""
        parts = [
            int(word).to_bytes(_WORD, "little")[:width]
            for word, (_, width) in zip(words, self._key_words(), strict=True)
        ]
        cells = []
        for width in self._key_widths():
            taken = b""
            while len(taken) < width:
                taken += parts.pop(0)
            cells.append(taken)
        return cells

    def _key_words(self) -> list[tuple[int, int]]:
        """(end in the row, bytes) of each word of a key of fixed widths."""
        words, at = [], 0
        for width in self._key_widths():
            at += 4
            for part in range(0, width, _WORD):
                taken = min(_WORD, width - part)
                words.append((at + part + taken, taken))
            at += width
        return words

    def _key_widths(self) -> list[int]:
        return [width for width in self.widths[: self.keys] if width is not None]


def _as_loaded(length: int) -> int:
    return int(np.frombuffer(length.to_bytes(4, "big"), np.uint32)[0])
