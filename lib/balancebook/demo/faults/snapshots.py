"""The state before a fault: SSTables kept beside the fault's journal, and brought back by TRUNCATE and import.

Without the TRUNCATE the tombstones that a fault wrote would win over what is imported.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from balancebook.demo.faults.kinds import FaultError
from balancebook.demo.faults.target import Target
from balancebook.demo.processes import make_folder
from balancebook.store.health import view_health
from balancebook.store.schema import Table, View

_DATA = "*-Data.db"
_BUILD_S = 60.0
_POLL_S = 0.05


def take_snapshot(target: Target, folder: Path) -> None:
    """Link the SSTables of the base and of all its views into folder/<table>.

    Links, so that they stay when the view is dropped, and cost no space while the server has the same files.
    """
    tables = [target.base, *target.views]
    tag = folder.name
    target.admin.snapshot(tag, target.keyspace, [table.name for table in tables])
    try:
        for table in tables:
            kept = make_folder(folder / table.name)
            source = target.admin.data_paths(target.keyspace, table.name)[0] / "snapshots" / tag
            for path in source.iterdir() if source.is_dir() else ():
                if path.is_file():
                    os.link(path, kept / path.name)
    finally:
        target.admin.clear_snapshot(tag, target.keyspace)


def restore(target: Target, folder: Path, *, base_too: bool) -> None:
    """Bring back the view as it was; with `base_too` the base and all its views, as has to be if one is not built."""
    tables: list[Table] = [target.view]
    if base_too:
        tables = [target.base, *target.views]
        # Truncating a base truncates its views, stops their builds, and starts them anew on what is now empty.
        target.execute(f"TRUNCATE {target.base.cql_name}")
        _wait_until_built(target)
    else:
        target.admin.truncate(target.keyspace, target.view.name)
    for table in tables:
        kept = folder / table.name
        if any(kept.glob(_DATA)):
            target.admin.import_sstables(target.keyspace, table.name, kept)


def all_built(target: Target) -> bool:
    """Whether every view of the base is built, as far as that can be read."""
    return all(_state(target, view) == "healthy" for view in target.views)


def base_files(target: Target) -> list[str]:
    """The base's SSTables after a flush: the same names mean the same rows, nothing written between."""
    target.admin.flush(target.keyspace, target.base.name)
    folders = target.admin.data_paths(target.keyspace, target.base.name)
    return sorted(path.name for folder in folders for path in folder.glob(_DATA))


def _state(target: Target, view: View) -> str:
    return view_health(target.reader, target.keyspace, view.name).state


def _wait_until_built(target: Target) -> None:
    deadline = time.monotonic() + _BUILD_S
    for view in target.views:
        while (state := _state(target, view)) != "healthy":
            if time.monotonic() > deadline:
                raise FaultError(
                    f"The view {view.cql_name} is {state} after {_BUILD_S:.0f} s.",
                    "Look at its build, then run balancebook fault undo again.",
                )
            time.sleep(_POLL_S)
