"""The folder that `balancebook lab` opens: copies of the shipped notebooks, so that no run changes those."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from balancebook.core.files import reason_of
from balancebook.errors import BrokenRun
from balancebook.record import write_whole
from balancebook.runs.catalogue import FOLDERS, Entry

_ORIGINS = ".origins.json"


def refresh(folder: Path, entries: Iterable[Entry], say: Callable[[str], None]) -> Path:
    """Copy every notebook that is not in `folder` yet, and return the folder.

    A copy stays as it is, with whatever was changed in it, until the shipped notebook changes: then it is kept under
    another name beside the new copy, and `say` is called with both. Raises BrokenRun if a copy cannot be written.
    """
    try:
        origins = _origins(folder)
        for entry in entries:
            name = f"{FOLDERS[entry.kind]}/{entry.path.name}"
            copy = folder / name
            if copy.exists() and origins.get(name) == entry.sha256:
                continue
            if copy.exists():
                say(f"{name} has a new version; yours is kept as {_put_aside(copy).name}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(copy, entry.path.read_text(encoding="utf-8"))
            # After each: should the disk be full at the next, this one is known to be ours.
            origins[name] = entry.sha256
            write_whole(folder / _ORIGINS, json.dumps(origins, indent=1) + "\n")
    except OSError as error:
        raise BrokenRun(
            f"The notebooks cannot be copied to {folder}: {reason_of(error)}.",
            "Make room there, or name a folder with --ServerApp.root_dir.",
        ) from error
    return folder


def _origins(folder: Path) -> dict[str, str]:
    """Name of a copy -> SHA-256 of what it was copied from; what cannot be read is not known."""
    try:
        known = json.loads((folder / _ORIGINS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _put_aside(copy: Path) -> Path:
    number = 1
    while (kept := copy.with_name(f"{copy.stem}_{number}{copy.suffix}")).exists():
        number += 1
    return copy.rename(kept)
