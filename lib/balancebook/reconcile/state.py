"""How far a comparison has come, kept in one file, so that one that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from balancebook.errors import UsageError
from balancebook.reconcile.fold import Bucket, Counts, no_counts
from balancebook.reconcile.found import RawDifference, Tally
from balancebook.reconcile.kinds import Kind
from balancebook.sketch.layout import Words
from balancebook.store.ranges import RangeTask
from balancebook.store.raw import RawCells

_EVERY_S = 2.0


@dataclass
class Pass:
    """One reading of both sides for a bucket: the ranges that are done, and their rows."""

    bucket: Bucket
    total: int
    done: list[RangeTask] = field(default_factory=list)
    counts: tuple[Counts, Counts] = field(default_factory=no_counts)
    rows: int = 0
    cells: Words | None = None


@dataclass
class State:
    """Where a comparison stands.

    waiting: the buckets still to be read, the next one last. counts: of the first pass. by_token: rows are named by
    their tokens. cutoff: (latest, horizon], as at the very start. spooled: how many bytes of the spool count. resumed:
    whether it was begun by an earlier process.
    """

    seed: int
    ranges: int
    waiting: list[Bucket]
    cutoff: tuple[int, int] | None = None
    under_way: Pass | None = None
    passes: int = 0
    by_token: bool = False
    counts: tuple[Counts, Counts] = field(default_factory=no_counts)
    kinds: Counter[Kind] = field(default_factory=Counter)
    worst: list[RawDifference] = field(default_factory=list)
    spooled: int = 0
    resumed: bool = False


def digest_of(*parts: object) -> str:
    """What a later run must have in common with the first: schema and parameters."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Keeper:
    """Keeps a State in a file, every few seconds. Without a path it keeps nothing."""

    def __init__(self, path: Path | None, digest: str) -> None:
        self._path, self._digest = path, digest
        self._last = time.monotonic()

    def resumed(self) -> State | None:
        """The state that was kept, or None if there is none yet. Raises UsageError if it is not of this comparison."""
        if self._path is None or not self._path.exists():
            return None
        try:
            with zipfile.ZipFile(self._path) as kept:
                document = json.loads(kept.read("state.json"))
                cells = (
                    np.load(io.BytesIO(kept.read("cells.npy"))) if document["state"]["under_way"] else None
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"What {self._path} kept of the run cannot be read: {error}.",
                "Run it again without --resume.",
                parameter="resume",
            ) from error
        if document["digest"] != self._digest:
            raise UsageError(
                "The run to be resumed was of another schema, or had other parameters.",
                "Run it again without --resume, or with the parameters that it had.",
                parameter="resume",
            )
        return _from_json(document["state"], cells)

    def keep(self, state: State, *, at_once: bool = False) -> None:
        """Write it, if the last time was a while ago."""
        if self._path is None or (not at_once and time.monotonic() - self._last < _EVERY_S):
            return
        aside = self._path.with_suffix(".new")
        with aside.open("wb") as file:
            with zipfile.ZipFile(file, "w") as kept:
                document = {"digest": self._digest, "state": _to_json(state)}
                kept.writestr("state.json", json.dumps(document))
                if state.under_way and state.under_way.cells is not None:
                    cells = io.BytesIO()
                    np.save(cells, state.under_way.cells)
                    kept.writestr("cells.npy", cells.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        self._last = time.monotonic()


def to_json(difference: RawDifference) -> list[Any]:
    """A difference as JSON: its bytes in hexadecimal."""
    cells = (difference.key, difference.base, difference.view)
    return [difference.kind.value, *map(_hex, cells), difference.reason]


def from_json(value: list[Any]) -> RawDifference:
    """The difference that `to_json` wrote."""
    kind, key, base, view, reason = value
    return RawDifference(Kind(kind), _bytes(key) or (), _bytes(base), _bytes(view), reason)


def _hex(cells: RawCells | None) -> list[str | None] | None:
    return None if cells is None else [None if cell is None else cell.hex() for cell in cells]


def _bytes(cells: list[str | None] | None) -> RawCells | None:
    return None if cells is None else tuple(None if cell is None else bytes.fromhex(cell) for cell in cells)


def _to_json(state: State) -> dict[str, Any]:
    under_way = state.under_way
    return {
        "seed": state.seed,
        "ranges": state.ranges,
        "waiting": [asdict(bucket) for bucket in state.waiting],
        "cutoff": state.cutoff,
        "under_way": under_way
        and {
            "bucket": asdict(under_way.bucket),
            "total": under_way.total,
            "done": [[task.table, *task.tokens] for task in under_way.done],
            "counts": [asdict(counts) for counts in under_way.counts],
            "rows": under_way.rows,
        },
        "passes": state.passes,
        "by_token": state.by_token,
        "counts": [asdict(counts) for counts in state.counts],
        "kinds": state.kinds,
        "worst": [to_json(difference) for difference in state.worst],
        "spooled": state.spooled,
    }


def _from_json(value: dict[str, Any], cells: Words | None) -> State:
    kept = value["under_way"]
    under_way = kept and Pass(
        Bucket(**kept["bucket"]),
        kept["total"],
        [RangeTask(table, (lo, hi)) for table, lo, hi in kept["done"]],
        (Counts(**kept["counts"][0]), Counts(**kept["counts"][1])),
        kept["rows"],
        cells,
    )
    return State(
        seed=value["seed"],
        ranges=value["ranges"],
        waiting=[Bucket(**bucket) for bucket in value["waiting"]],
        cutoff=None if value["cutoff"] is None else (value["cutoff"][0], value["cutoff"][1]),
        under_way=under_way,
        passes=value["passes"],
        by_token=value["by_token"],
        counts=(Counts(**value["counts"][0]), Counts(**value["counts"][1])),
        kinds=Counter({Kind(kind): number for kind, number in value["kinds"].items()}),
        worst=[from_json(difference) for difference in value["worst"]],
        spooled=value["spooled"],
        resumed=True,
    )


def tally_of(state: State, types: Any, keys: int, most: int) -> Tally:
    """The counts and samples of the buckets that are done."""
    return Tally(types, keys, most, state.kinds, state.worst)
