"""`make notebooks`: run every notebook on the demo data and store its outputs in the file, for nbval to compare.

Only what the same data always gives is stored: no seconds, nothing of a cell whose outputs nbval is told to ignore.
Execution counts are the cells' own numbers (nbval takes a cell without one for a cell that never ran).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from balancebook.demo import services
from balancebook.demo.tour import run_with_defaults
from balancebook.errors import BalancebookError, BrokenRun
from balancebook.runs import catalogue, command

_IGNORED = "nbval-ignore-output"


def main() -> int:
    """Regenerates all of them; the exit code says whether that went well."""
    try:
        services.up("fixed", progress=_say)
        for entry in catalogue.list_entries():
            _say(entry.name)
            regenerate(entry.path)
    except BalancebookError as error:
        _say(f"balancebook: {error}")
        return int(error.exit_code)
    return 0


def regenerate(path: Path) -> None:
    """Run one notebook with its defaults and store its outputs in it.

    Raises BrokenRun, and leaves the file as it is, unless every verdict is pass: a stored output that says anything
    else would make nbval keep a fault.
    """
    with tempfile.TemporaryDirectory() as folder:
        record, run_folder = run_with_defaults(path, Path(folder))
        if record.exit_code != 0:
            raise BrokenRun(f"{path.name} did not pass.", command.summary(record, run_folder))
        executed = json.loads((run_folder / record.files["notebook"]).read_text())
    source = json.loads(path.read_text())
    store_outputs(source, executed)
    path.write_text(json.dumps(source, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def store_outputs(source: dict[str, Any], executed: dict[str, Any]) -> None:
    """Put the outputs of an executed notebook into its source, cell by cell (by id), without what varies."""
    outputs = {cell["id"]: cell["outputs"] for cell in executed["cells"] if cell["cell_type"] == "code"}
    code_cells = [cell for cell in source["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code_cells, 1):
        ignored = _IGNORED in cell["metadata"].get("tags", [])
        cell["execution_count"] = number
        cell["outputs"] = [] if ignored else [_lasting(output) for output in outputs[cell["id"]]]


def _lasting(output: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in output.items() if key != "execution_count"}
    return kept | ({"metadata": {}} if "metadata" in output else {})


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 (a command's own words)


if __name__ == "__main__":
    sys.exit(main())
