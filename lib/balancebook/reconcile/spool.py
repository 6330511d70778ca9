"""All differences, one by one, in a file beside the run: what a Parquet file is made of at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from balancebook.reconcile.found import Batch, RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.store.raw import RawCells


class Spool:
    """A file of differences that is only added to; it begins empty, since a resumed run confirms all of them again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")

    def add(self, batch: Batch) -> None:
        """Append them, to disk."""
        with self.path.open("ab") as file:
            for number in range(len(batch.kinds)):
                file.write(json.dumps(_to_json(batch[number])).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_spool(path: Path) -> Iterator[RawDifference]:
    """The differences of a spool, in the order in which they were found."""
    with path.open("rb") as file:
        for line in file:
            yield _from_json(json.loads(line))


def _to_json(difference: RawDifference) -> list[Any]:
    """A difference as JSON: its bytes in hexadecimal."""
    cells = (difference.key, difference.base, difference.view)
    return [difference.kind.value, *map(_hex, cells), difference.reason]


def _from_json(value: list[Any]) -> RawDifference:
    """The difference that `_to_json` wrote."""
    kind, key, base, view, reason = value
    return RawDifference(Kind(kind), _bytes(key) or (), _bytes(base), _bytes(view), reason)


def _hex(cells: RawCells | None) -> list[str | None] | None:
    return None if cells is None else [None if cell is None else cell.hex() for cell in cells]


def _bytes(cells: list[str | None] | None) -> RawCells | None:
    return None if cells is None else tuple(None if cell is None else bytes.fromhex(cell) for cell in cells)
