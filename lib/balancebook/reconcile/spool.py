"""All differences, one by one, in a file beside the run: what a Parquet file is made of at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from balancebook.reconcile.found import Batch, RawDifference
from balancebook.reconcile.state import from_json, to_json


class Spool:
    """A file of differences that is only added to. `size`: how many bytes of it count."""

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path, self.size = path, size
        with path.open("ab") as file:
            # What a killed run wrote after it last kept its state is found again.
            file.truncate(size)

    def add(self, batch: Batch) -> None:
        """Append them, to disk."""
        with self.path.open("ab") as file:
            for number in range(len(batch.kinds)):
                file.write(json.dumps(to_json(batch[number])).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()


def read_spool(path: Path) -> Iterator[RawDifference]:
    """The differences of a spool, in the order in which they were found."""
    with path.open("rb") as file:
        for line in file:
            yield from_json(json.loads(line))
