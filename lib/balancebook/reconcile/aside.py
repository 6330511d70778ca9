"""Rows set aside for being newer than the cut-off: those of base and view are compared with each other."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.sketch import FoundRows
from balancebook.store.raw import RawCells


def differing_aside(base: FoundRows, view: FoundRows) -> tuple[list[RawCells], list[RawCells]]:
    """The rows that one of them has and the other has not, or has otherwise. Their lanes tell them apart."""
    return _missing_from(view, base), _missing_from(base, view)


def _missing_from(other: FoundRows, rows: FoundRows) -> list[RawCells]:
    wanted = ~np.isin(_versions(rows), _versions(other))
    return [rows.cells(number) for number in np.flatnonzero(wanted).tolist()]


def _versions(rows: FoundRows) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """A word for each row, of its key and its cells."""
    return rows.lanes[:, 0] ^ (rows.lanes[:, 1] * np.uint64(0x9E3779B97F4A7C15))
