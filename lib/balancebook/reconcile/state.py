"""How far a comparison has come, kept in one file, so that one that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from balancebook.errors import UsageError
from balancebook.reconcile.fold import Counts, FoldedPart, no_counts
from balancebook.sketch.layout import Words
from balancebook.sketch.sketch import FoundRows
from balancebook.store.ranges import RangeTask

_EVERY_S = 2.0


@dataclass
class Pass:
    """One reading of both sides: the ranges that are done, their rows, and those that are set aside."""

    total: int
    done: list[RangeTask] = field(default_factory=list)
    counts: tuple[Counts, Counts] = field(default_factory=no_counts)
    rows: int = 0
    cells: Words | None = None
    aside: tuple[list[FoundRows], list[FoundRows]] = field(default_factory=lambda: ([], []))

    def add(self, part: FoldedPart) -> None:
        """Note a part's ranges and their rows; `cells` are the caller's."""
        self.done += part.done
        for counted, more in zip(self.counts, part.counts, strict=True):
            counted.add(more)
        for kept, rows in zip(self.aside, part.aside, strict=True):
            if len(rows):
                kept.append(rows)


@dataclass
class State:
    """Where a comparison stands.

    cells: of the sketch. ahead: by how many rows, at most, the base was ahead of the view when both were read and what
    differed was not named. by_token: rows are named by their tokens. cutoff: (latest, horizon], as at the very start.
    begun: when, in seconds since 1970. resumed: whether it was begun by an earlier process.
    """

    seed: int
    ranges: int
    cells: int
    begun: float
    cutoff: tuple[int, int] | None = None
    under_way: Pass | None = None
    passes: int = 0
    ahead: int = 0
    by_token: bool = False
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Common:
    """What a later run must have in common with the first. schema: of base and view, as a digest."""

    schema: str
    cutoff: str
    samples: int
    all_differences: bool

    @property
    def ways(self) -> dict[str, str]:
        """How it was asked for, by the parameter that says so."""
        return {
            "cutoff": f"with --cutoff {self.cutoff}",
            "samples": f"with --samples {self.samples}",
            "differences": f"{'with' if self.all_differences else 'without'} --differences",
        }


def digest_of(*parts: object) -> str:
    """A digest: it differs if the parts differ."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Keeper:
    """Keeps a State in a file, every few seconds. Without a path it keeps nothing."""

    def __init__(self, path: Path | None, common: Common) -> None:
        self._path, self._common = path, common
        self._last = time.monotonic()

    def resumed(self) -> State | None:
        """The state that was kept, or None if there is none yet. Raises UsageError if it is not of this comparison."""
        if self._path is None or not self._path.exists():
            return None
        try:
            with zipfile.ZipFile(self._path) as kept:
                document = json.loads(kept.read("state.json"))
                common = Common(**document["common"])
                state = _from_json(document["state"], _pass_of(kept, document["state"]["under_way"]))
        except Exception as error:  # a damaged file raises whatever its bytes lead to
            raise UsageError(
                f"What {self._path} kept of the run cannot be read: {type(error).__name__}: {error}.",
                "Run it again without --resume.",
                parameter="resume",
            ) from error
        _require_same(common, self._common)
        return state

    def keep(self, state: State, *, at_once: bool = False) -> None:
        """Write it, if the last time was a while ago."""
        if self._path is None or (not at_once and time.monotonic() - self._last < _EVERY_S):
            return
        aside = self._path.with_suffix(".new")
        with aside.open("wb") as file:
            with zipfile.ZipFile(file, "w") as kept:
                document = {"common": asdict(self._common), "state": _to_json(state)}
                kept.writestr("state.json", json.dumps(document))
                if state.under_way and state.under_way.cells is not None:
                    _write_arrays(kept, state.under_way)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        self._last = time.monotonic()


def _require_same(first: Common, now: Common) -> None:
    """Raises UsageError, naming what differs, if one cannot go on where the other stopped."""
    if first.schema != now.schema:
        raise UsageError(
            "Since the run to be resumed began, the schema of the base or the view has changed.",
            "Run it again without --resume.",
            parameter="resume",
        )
    for name, way in first.ways.items():
        if way != now.ways[name]:
            raise UsageError(
                f"The run to be resumed was begun {way}.",
                f"Resume it {way} too, or run it again without --resume.",
                parameter=name,
            )


def _write_arrays(kept: zipfile.ZipFile, under_way: Pass) -> None:
    arrays: dict[str, Any] = {"cells": under_way.cells}
    for side, rows in enumerate(map(FoundRows.joined, under_way.aside)):
        arrays |= {
            f"body{side}": np.frombuffer(rows.body, np.uint8),
            f"ends{side}": rows.ends,
            f"lanes{side}": rows.lanes,
        }
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        kept.writestr(f"{name}.npy", file.getbuffer())


def _pass_of(kept: zipfile.ZipFile, value: Any) -> Pass | None:
    if value is None:
        return None

    def array(name: str) -> Any:
        return np.load(io.BytesIO(kept.read(f"{name}.npy")))

    base, view = (
        [FoundRows(array(f"body{side}").tobytes(), array(f"ends{side}"), array(f"lanes{side}"))]
        for side in (0, 1)
    )
    return Pass(
        value["total"],
        [RangeTask(table, (lo, hi)) for table, lo, hi in value["done"]],
        (Counts(**value["counts"][0]), Counts(**value["counts"][1])),
        value["rows"],
        array("cells"),
        (base, view),
    )


def _to_json(state: State) -> dict[str, Any]:
    under_way = state.under_way
    if under_way is not None and under_way.cells is None:
        under_way = None
    return {
        "seed": state.seed,
        "ranges": state.ranges,
        "cells": state.cells,
        "begun": state.begun,
        "cutoff": state.cutoff,
        "under_way": under_way
        and {
            "total": under_way.total,
            "done": [[task.table, *task.tokens] for task in under_way.done],
            "counts": [asdict(counts) for counts in under_way.counts],
            "rows": under_way.rows,
        },
        "passes": state.passes,
        "ahead": state.ahead,
        "by_token": state.by_token,
    }


def _from_json(value: dict[str, Any], under_way: Pass | None) -> State:
    return State(
        seed=value["seed"],
        ranges=value["ranges"],
        cells=value["cells"],
        begun=value["begun"],
        cutoff=None if value["cutoff"] is None else (value["cutoff"][0], value["cutoff"][1]),
        under_way=under_way,
        passes=value["passes"],
        ahead=value["ahead"],
        by_token=value["by_token"],
        resumed=True,
    )
