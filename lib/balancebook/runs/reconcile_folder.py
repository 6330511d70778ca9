"""The folder of a reconciliation: new, or that of a run which was stopped or killed and goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from balancebook.core.files import reason_of
from balancebook.errors import BrokenRun, UsageError
from balancebook.reconcile.confirm.by_scan import remove_records
from balancebook.runs.folders import RunFolder, begin_run

NAME, DOCUMENT = "reconcile", "reconcile.json"
_PROGRESS, _SPOOL, _LOCK, _TARGET = "progress.zip", "differences.spool", "lock", "target"
LAST = "last"


@dataclass(frozen=True)
class Desk:
    """The files of one run, held by this process alone until it ends. published: it was, before it was resumed."""

    folder: RunFolder
    lock: int
    published: bool = False

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

    def leave(self) -> None:
        """Leave what can be resumed as it was before; where it cannot be renamed, as a killed process leaves it."""
        if self.published:
            with contextlib.suppress(OSError):
                self.folder.publish()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.lock)


def begin(root: Path, resume: str | None, target: str) -> Desk:
    """A new folder, or that of the run to be resumed: its id, or "last" for the last one of this target (a view).

    Raises UsageError if there is no such run, it has ended, it is of another view, or another process is at it;
    BrokenRun if the disk is full.
    """
    return _resumed(root, resume, target) if resume else _new(root, target)


def _new(root: Path, target: str) -> Desk:
    folder = begin_run(root, NAME, parameter=None)
    try:
        (folder.aside / _TARGET).write_text(target)
        return Desk(folder, _locked(folder.aside))
    except OSError as error:
        folder.discard()
        raise _not_kept(root, error) from error


def _resumed(root: Path, resume: str, target: str) -> Desk:
    """A killed run's folder begins with a dot; a stopped one's has a record, and is taken back."""
    run_id, path = _found(root, resume, target)
    folder = RunFolder(run_id, root.absolute() / f".{run_id}", root.absolute() / run_id)
    published = path.absolute() != folder.aside
    try:
        lock = _locked(path)
    except (BlockingIOError, FileNotFoundError) as error:
        # Another process that resumes it has it, or has just renamed it.
        raise UsageError(
            f"The run {run_id} goes on in another process.",
            "Wait for it, or stop it first.",
            parameter="resume",
        ) from error
    except OSError as error:
        raise _not_kept(root, error) from error
    try:
        if published:
            folder.final.rename(folder.aside)
    except OSError as error:
        os.close(lock)
        raise _not_kept(root, error) from error
    return Desk(folder, lock, published)


def _locked(folder: Path) -> int:
    """Lock the folder for this process. Raises OSError, BlockingIOError if another one has it."""
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _not_kept(root: Path, error: OSError) -> BrokenRun:
    return BrokenRun(f"The run cannot be kept in {root}: {reason_of(error)}.", "Make room there.")


def _found(root: Path, resume: str, target: str) -> tuple[str, Path]:
    """The id and the folder of the run to be resumed."""
    # A folder that another process renames meanwhile may be missing from one listing.
    names = {path.name.removeprefix(".") for _ in range(2) if root.is_dir() for path in root.iterdir()}
    found = {name: _folder_of(root, name) for name in names if NAME in name}
    stopped = {name: path for name, path in found.items() if path}
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
    if (of := _target_of(stopped[run_id])) not in ("", target):
        raise UsageError(
            f"The run {run_id} is of {of}, not of {target}.",
            "Resume it with that view, or run this one without --resume.",
            parameter="resume",
        )
    return run_id, stopped[run_id]


def _folder_of(root: Path, run_id: str) -> Path | None:
    """Where a run is that can be resumed. It may be renamed from aside to its final name, or back, meanwhile."""
    places = (root / run_id, root / f".{run_id}", root / run_id)
    return next((path for path in places if (path / _PROGRESS).is_file()), None)


def _target_of(folder: Path) -> str:
    try:
        return (folder / _TARGET).read_text()
    except OSError:
        return ""
