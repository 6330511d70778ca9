"""Under which parameters, and in which order, the cells of a notebook ran: what a person may change between two cells.

A program (papermill, nbval) runs every cell once, from the first to the last. A person in JupyterLab changes a
parameter, runs one cell again, and reads a verdict that is of no one state of the notebook.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where jupyter_server tells a kernel which file its notebook is.
_FILE = "JPY_SESSION_NAME"


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a cell. parameters: name -> text of the value at that time. number: the kernel's count of cells run.
    place: where the cell stands in the notebook's file, None if that is not known."""

    parameters: Mapping[str, str]
    number: int
    place: int | None = None


def this_cell() -> CellRun | None:
    """The cell that runs now; None outside of a kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return None
    names = parameter_names(shell.user_ns.get("In", ()))
    parameters = {name: repr(shell.user_ns[name]) for name in names if name in shell.user_ns}
    return CellRun(parameters, shell.execution_count, _place(shell))


def parameter_names(inputs: Sequence[str]) -> tuple[str, ...]:
    """The names in the last cell run that holds annotated values alone, as the cell tagged `parameters` does."""
    for source in reversed(inputs):
        try:
            body = ast.parse(source).body
        except SyntaxError:
            continue
        targets = [each.target for each in body if isinstance(each, ast.AnnAssign)]
        if body and len(targets) == len(body):
            return tuple(each.id for each in targets if isinstance(each, ast.Name))
    return ()


def _place(shell: Any) -> int | None:
    """By the cell's id, which JupyterLab sends along, in the notebook as it was last saved."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell_id = (parent.get("metadata") or {}).get("cellId")
    path = os.environ.get(_FILE)
    if not cell_id or not path:
        return None
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        return [cell.get("id") for cell in cells].index(cell_id)
    except (OSError, ValueError, KeyError, TypeError):
        # Not saved, moved away, or a new cell: then the order of first asking has to do.
        return None


def why_stale(opened: CellRun | None, asked: Mapping[str, CellRun], now: CellRun | None) -> dict[str, str]:
    """What of `asked` is of another state of the notebook than now, and why.

    asked: in the order of first asking. Each must have run under the parameters of now, as must the opening, and after
    everything that stands before it.
    """
    if now is None or opened is None:
        return {}
    if opened.parameters != now.parameters:
        changed = _changed(opened, now)
        return dict.fromkeys(asked, f"the notebook was opened with {changed}")
    others = {code: run for code, run in asked.items() if run.parameters != now.parameters}
    stale = {code: f"asked with {_changed(run, now)}" for code, run in others.items()}
    latest = opened.number
    for code, run in _as_they_stand(asked):
        if run.number < latest:
            stale.setdefault(code, "a cell before it ran after it")
        latest = max(latest, run.number)
    return stale


def _as_they_stand(asked: Mapping[str, CellRun]) -> list[tuple[str, CellRun]]:
    places = {code: run.place for code, run in asked.items()}
    if any(place is None for place in places.values()):
        return list(asked.items())
    return sorted(asked.items(), key=lambda item: item[1].place or 0)


def _changed(then: CellRun, now: CellRun) -> str:
    before, after = then.parameters, now.parameters
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return "; ".join(
        f"{name} {before.get(name, 'not set')}, now {after.get(name, 'not set')}" for name in names
    )
