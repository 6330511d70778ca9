"""Where runs are kept: one folder a run, made aside and renamed when everything in it is written.

A name sorts by time and is unique among parallel runs: 20260102T030405.678901Z-readiness-1f0c9a2b. A folder that
begins with a dot is a run that has not ended (or whose runner was killed); nothing reads it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from balancebook.core.files import unwritable

KEPT = "Runs"
_NAME_LENGTH = 60


@dataclass(frozen=True)
class RunFolder:
    """A run's folder: `aside` while it runs, `final` afterwards."""

    run_id: str
    aside: Path
    final: Path

    def publish(self) -> None:
        """Make the folder appear under its final name, whole. Raises OSError."""
        _sync(self.aside)
        self.aside.rename(self.final)
        _sync(self.final.parent)

    def discard(self) -> None:
        """Remove what was written aside."""
        shutil.rmtree(self.aside, ignore_errors=True)


def begin_run(
    out_root: Path, notebook: str, now: datetime | None = None, *, parameter: str | None = "out"
) -> RunFolder:
    """A new, empty folder for one run. Raises UsageError if `out_root` cannot be written to, BrokenRun if the disk is
    full."""
    moment = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", notebook)[:_NAME_LENGTH]
    # Absolute: a cell may change the kernel's working folder.
    out_root = out_root.absolute()
    try:
        out_root.mkdir(parents=True, exist_ok=True)
        while True:
            run_id = f"{moment}-{name}-{secrets.token_hex(4)}"
            folder = RunFolder(run_id, out_root / f".{run_id}", out_root / run_id)
            if not folder.final.exists():
                folder.aside.mkdir(mode=0o755)
                return folder
    except OSError as error:
        raise unwritable(
            f"{KEPT} cannot be kept in {out_root}",
            error,
            "Name a folder that can be written to: by BALANCEBOOK_STATE, or for `balancebook run` by --out.",
            parameter=parameter,
        ) from error


def list_runs(out_root: Path) -> list[Path]:
    """The folders of all ended runs, newest first."""
    if not out_root.is_dir():
        return []
    found = (path for path in out_root.iterdir() if not path.name.startswith(".") and path.is_dir())
    return sorted(found, key=lambda path: path.name, reverse=True)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
