"""Rows set aside for being newer than the cut-off: those of base and view are compared with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.reconcile.model.words import mixed
from balancebook.sketch.layout import Words
from balancebook.sketch.sketch import FoundRows
from balancebook.store.raw import RawCells


@dataclass(frozen=True)
class Aside:
    """The rows of one side that the other has not, or has otherwise: `places` among those that were set aside."""

    rows: FoundRows
    places: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[RawCells]:
        return (self.rows.cells(place) for place in self.places.tolist())


def differing_aside(base: FoundRows, view: FoundRows) -> tuple[Aside, Aside]:
    """Those of base and view that differ. Their lanes tell them apart."""
    return _missing_from(view, base), _missing_from(base, view)


def _missing_from(other: FoundRows, rows: FoundRows) -> Aside:
    return Aside(rows, np.flatnonzero(~np.isin(_versions(rows), _versions(other))))


def _versions(rows: FoundRows) -> Words:
    """A word for each row, of its key and its cells."""
    return mixed(rows.lanes[:, 0], rows.lanes[:, 1])
