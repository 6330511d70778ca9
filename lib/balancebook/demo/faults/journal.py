"""What a fault did, kept in the state folder before it begins: one that was cut off can be undone too."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from balancebook.demo.faults.kinds import FaultError
from balancebook.demo.processes import make_folder
from balancebook.record import write_whole

# planned: nothing is changed yet. injecting, undoing: anything may be. active: all of it was seen to be there.
Stage = Literal["planned", "injecting", "active", "undoing"]

_UNDO = "balancebook fault undo brings back what was there"
_STAGES = {
    "planned": " (being made, or cut off before anything was changed)",
    "injecting": f" (being made, or cut off: {_UNDO})",
    "active": "",
    "undoing": f" (being undone, or cut off, and rows are missing: {_UNDO})",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. `injected` are the differences that it makes, each {kind, key}, at most as many as `counts` says.

    The rest tells `undo` whether anybody wrote since: the base's identity, how many writes the node's process had seen,
    and the files that the base had after the injection (for a node that was started anew, which counts from 0).
    base_too: whether an undo that began restores the base as well. definition: CQL that creates the view, of a fault
    that drops it.
    """

    fault_id: str
    kind: str
    stage: Stage
    keyspace: str
    view: str
    base: str
    base_id: str
    node: tuple[int, float]
    base_writes: int = 0
    base_files: list[str] | None = None
    injected: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    base_too: bool = False
    definition: str = ""

    @property
    def truncated(self) -> bool:
        """Whether `injected` lists only some."""
        return sum(self.counts.values()) > len(self.injected)

    def to_json(self) -> dict[str, Any]:
        """fault_id, kind, stage, keyspace, view, counts, truncated, injected."""
        names = ("fault_id", "kind", "stage", "keyspace", "view", "counts", "truncated", "injected")
        return {name: getattr(self, name) for name in names}

    @property
    def name(self) -> str:
        """What it is, in a line."""
        return self._named("")

    def text(self) -> str:
        """What it is and where it stands, in a line."""
        return self._named(_STAGES[self.stage])

    def _named(self, stage: str) -> str:
        found = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        return (
            f"{self.kind} in {self.keyspace}.{self.view}{stage}{': ' * bool(found)}{found} ({self.fault_id})"
        )


class Journal:
    """The active fault of one state folder, if any, and the folder of its snapshot."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "faults"
        self._file = self.folder / "fault.json"

    def load(self) -> Fault | None:
        """The active fault. Raises FaultError for a file that cannot be read: it may be all that knows how to undo."""
        try:
            fields = json.loads(self._file.read_text(encoding="utf-8"))
            return Fault(**{**fields, "node": tuple(fields["node"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FaultError(
                f"{self._file} cannot be read: {error}.",
                "Load the demo data anew: remove that file, DROP the keyspace, run balancebook up.",
            ) from error

    def save(self, fault: Fault) -> Fault:
        """Keep the fault, whole or not at all."""
        make_folder(self.folder)
        write_whole(self._file, json.dumps(asdict(fault)))
        return fault

    def snapshot_of(self, fault: Fault) -> Path:
        """The folder of what was there before."""
        return self.folder / fault.fault_id

    def forget(self, fault: Fault) -> None:
        """The fault is undone."""
        self._file.unlink(missing_ok=True)
        shutil.rmtree(self.snapshot_of(fault), ignore_errors=True)
