"""The folder of a reconciliation: new, or that of a run which was stopped or killed and goes on."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from balancebook.core.files import reason_of
from balancebook.errors import BrokenRun, UsageError
from balancebook.reconcile.confirm.by_scan import remove_records
from balancebook.record import RECORD_NAME
from balancebook.runs.folders import RunFolder, begin_run

NAME, DOCUMENT = "reconcile", "reconcile.json"
_PROGRESS, _SPOOL, _LOCK, _TARGET = "progress.zip", "differences.spool", "lock", "target"
LAST = "last"


@dataclass(frozen=True)
class Desk:
    """The files of one run, held by this process alone until it ends."""

    folder: RunFolder
    lock: int

    @property
    def progress(self) -> Path:
        """Where the progress is kept."""
        return self.folder.aside / _PROGRESS

    @property
    def spool(self) -> Path:
        """Where all differences are kept until they are written as Parquet."""
        return self.folder.aside / _SPOOL

    def clear(self) -> None:
        """Keep nothing to go on from. Raises OSError."""
        remove_records(self.progress)
        for file in (self.progress, self.spool, self.folder.aside / _LOCK, self.folder.aside / _TARGET):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.lock)


def begin(root: Path, resume: str | None, target: str) -> Desk:
    """A new folder, or that of the run to be resumed: its id, or "last" for the last one of this target (a view).

    Raises UsageError if there is no such run, it has ended, or another process is at it; BrokenRun if the disk is full.
    """
    folder = _begun(root, resume, target) if resume else begin_run(root, NAME)
    try:
        (folder.aside / _TARGET).write_text(target)
        lock = os.open(folder.aside / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        if not resume:
            folder.discard()
        raise BrokenRun(
            f"The run cannot be kept in {root}: {reason_of(error)}.", "Make room there."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise UsageError(
            f"The run {folder.run_id} goes on in another process.",
            "Wait for it, or stop it first.",
            parameter="resume",
        ) from error
    (folder.aside / RECORD_NAME).unlink(missing_ok=True)
    return Desk(folder, lock)


def _begun(root: Path, resume: str, target: str) -> RunFolder:
    """A killed run's folder begins with a dot; a stopped one's has a record, and is taken back."""
    stopped = {
        path.name.removeprefix("."): path for path in root.glob(f"*{NAME}*") if (path / _PROGRESS).is_file()
    }
    stopped |= {
        path.name.removeprefix("."): path for path in root.glob(f".*{NAME}*") if (path / _PROGRESS).is_file()
    }
    if resume == LAST:
        stopped = {run_id: path for run_id, path in stopped.items() if _target_of(path) == target}
    run_id = max(stopped, default="") if resume == LAST else resume
    if run_id not in stopped:
        known = ", ".join(sorted(stopped, reverse=True)[:3])
        raise UsageError(
            f"There is no run {resume!r} to go on with in {root}."
            if known
            else f"No run of {target} in {root} can be resumed.",
            f"These can be resumed: {known}." if known else "Run it without --resume.",
            parameter="resume",
            suggestion=max(stopped, default=None),
        )
    folder = RunFolder(run_id, root.absolute() / f".{run_id}", root.absolute() / run_id)
    if stopped[run_id] != folder.aside:
        folder.final.rename(folder.aside)
    return folder


def _target_of(folder: Path) -> str:
    try:
        return (folder / _TARGET).read_text()
    except OSError:
        return ""
