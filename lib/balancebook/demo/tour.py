"""`make demo`: start the embedded exchange, run every notebook and runbook on it, and stop what was started."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balancebook.demo import services
from balancebook.errors import ExitCode
from balancebook.record import Record
from balancebook.runs import catalogue, command
from balancebook.runs.publish import write_index
from balancebook.settings import EMBEDDED, state_dir
from balancebook.verdict import MARKS, mark_of, merge

_TIMEOUT_S = 600.0
# The worst of several runs: a broken one outweighs its verdict.
_WORST_FIRST = (ExitCode.INTERRUPTED, ExitCode.BROKEN, ExitCode.FAIL, ExitCode.UNKNOWN, ExitCode.PASS)


@dataclass(frozen=True)
class Tour:
    """The records of all runs, and the page that lists them."""

    records: tuple[Record, ...]
    index: Path

    @property
    def exit_code(self) -> ExitCode:
        """The worst of the runs' exit codes."""
        return min((record.exit_code for record in self.records), key=_WORST_FIRST.index)

    def to_json(self) -> str:
        """One document: exit_code, index, and the records."""
        records = [json.loads(record.to_json()) for record in self.records]
        return json.dumps({"exit_code": int(self.exit_code), "index": str(self.index), "runs": records})

    def table(self) -> str:
        """One line a run: its verdict, its checks, its seconds; then where the pages are."""
        lines = [_line(record) for record in self.records]
        verdict = merge(record.verdict for record in self.records if record.verdict)
        return "\n".join([*lines, f"{MARKS[verdict]:10}everything, page by page: {self.index}"])


def _line(record: Record) -> str:
    seconds = (record.ended_at - record.started_at).total_seconds()
    passed = sum(result.verdict == "pass" for result in record.results)
    checks = f"{passed} of {len(record.results)} checks pass"
    return f"{mark_of(record.verdict):10}{record.notebook:20} {checks:24} {seconds:5.1f} s"


def tour(progress: Callable[[str], None]) -> Tour:
    """Run everything that is shipped on the embedded database, starting it if it is not running.

    What was started is stopped again, also when a run is interrupted; what was running goes on.
    """
    before = services.status()
    try:
        services.up("fixed", progress=progress)
        return run_everything(state_dir() / "runs", progress)
    finally:
        _restore(before, progress)


def _restore(before: services.Status, progress: Callable[[str], None]) -> None:
    """Stop what was started, and give back a gateway that was replaced."""
    if before.server.state == "stopped":
        progress("stopping the database and the gateway")
        services.down()
    elif before.gateway.state == "stopped":
        progress("stopping the gateway")
        services.down(database=False)
    elif before.gateway.mode == "seed":
        services.up("seed", progress=progress)


def run_everything(out: Path, progress: Callable[[str], None]) -> Tour:
    """Run every notebook and runbook into `out` with its default parameters, and write the index of all runs."""
    entries = catalogue.list_entries()
    records = []
    for number, entry in enumerate(entries, 1):
        progress(f"[{number}/{len(entries)}] {entry.name}: {entry.title}")
        record, _ = run_with_defaults(entry.path, out)
        records.append(record)
        if record.exit_code == ExitCode.INTERRUPTED:
            break
    return Tour(tuple(records), write_index(out))


def run_with_defaults(notebook: Path, out: Path) -> tuple[Record, Path]:
    """Run one notebook into `out` on the embedded database, silently: its record, and the folder that holds it."""
    return command.run(
        str(notebook), (), profile_name=EMBEDDED, out=out, timeout_s=_TIMEOUT_S, progress=_silent
    )


def _silent(_line: str) -> None:
    """One line a notebook is shown, not one a cell."""
