"""What an executed notebook says: its results, held against the checks it declares, and how it ended.

Pure functions over the notebook's outputs. "The notebook finished" is never a verdict: a run completes only if
its closing verb spoke, and whatever was declared and not answered is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from balancebook.bundle import CLOSE_MIME, MIME, VERDICT_ERROR, from_bundle
from balancebook.errors import ExitCode
from balancebook.record import CheckRecord, RunError, Status
from balancebook.runs.catalogue import Entry
from balancebook.runs.guard import Cause
from balancebook.verdict import Result, Verdict, merge

Cells: TypeAlias = Sequence[Mapping[str, Any]]

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LINE = 300


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended and what it found. The verdict is None for a completed notebook that has no checks."""

    status: Status
    verdict: Verdict | None
    results: list[CheckRecord]
    optional_missing: list[str]
    error: RunError | None

    @property
    def exit_code(self) -> ExitCode:
        """Of the verdict for a completed run, 0 without one; a broken run is broken even after a fail."""
        by_status = {"broken": ExitCode.BROKEN, "timed_out": ExitCode.BROKEN}
        by_status |= {"interrupted": ExitCode.INTERRUPTED, "refused": ExitCode.UNKNOWN}
        return by_status.get(self.status) or (ExitCode[self.verdict.name] if self.verdict else ExitCode.PASS)


def judge(cells: Cells, entry: Entry, *, cause: Cause | None, problem: str | None) -> Outcome:
    """The outcome of an executed notebook.

    `cause` is set when the runner ended it early; `problem` when executing failed outside of any cell (the
    kernel died, or never came up).
    """
    error: RunError | None = None
    results: dict[str, Result] = {}
    try:
        results = _gather(cells)
    except ValueError as malformed:
        error = _broken("malformed_result", f"{malformed}.", "Emit results by the library's verbs only.")
    closed = _closing(cells)
    status, early = _early_end(cells, cause, problem)
    error = early or error or _undeclared(results, entry) or _never_closed(cells, results, closed, entry)
    if error and status == "completed":
        status = "broken"
    if status == "completed" and not (results or closed or _declares(entry)):
        return Outcome(status=status, verdict=None, results=[], optional_missing=[], error=None)
    merged = merge([result.verdict for result in results.values()]) if results else Verdict.UNKNOWN
    records = _with_missing(results, entry)
    verdicts = [record.verdict for record in records] + [closed or Verdict.UNKNOWN]
    verdicts += [] if status == "completed" else [Verdict.UNKNOWN]
    return Outcome(
        status=status,
        verdict=merge(verdicts),
        results=records,
        optional_missing=[code for code in entry.optional if code not in results],
        error=error or _disagreement(closed, merged),
    )


def unknown_results(entry: Entry, message: str) -> list[CheckRecord]:
    """Every required check as unknown, with this message: for a run that could not begin."""
    return [_unanswered(code, message) for code in entry.required]


def _outputs(cells: Cells) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", ()):
            yield index, output


def _gather(cells: Cells) -> dict[str, Result]:
    """Code -> its last Result. Raises ValueError, naming the cell, for a malformed bundle."""
    found: dict[str, Result] = {}
    for index, output in _outputs(cells):
        if MIME not in output.get("data", {}):
            continue
        try:
            result = from_bundle(output["data"][MIME], output.get("metadata", {}).get(MIME, {}))
            CheckRecord.of(result)
        except ValueError as error:
            raise ValueError(f"cell {index + 1}: {error}") from error
        # Deleted first, so that the order is that of the last answers.
        found.pop(result.code, None)
        found[result.code] = result
    return found


def _closing(cells: Cells) -> Verdict | None:
    """The verdict that the closing verb announced last; None if it never spoke, or nonsense."""
    bundles = [o["data"][CLOSE_MIME] for _, o in _outputs(cells) if CLOSE_MIME in o.get("data", {})]
    said = bundles[-1].get("verdict") if bundles and isinstance(bundles[-1], Mapping) else None
    return Verdict(said) if said in list(Verdict) else None


def _early_end(cells: Cells, cause: Cause | None, problem: str | None) -> tuple[Status, RunError | None]:
    if cause == "timed_out":
        return cause, _broken("timed_out", "The run took longer than it may.", "Give it more --timeout.")
    if cause == "interrupted":
        return cause, _broken("interrupted", "The run was interrupted.", "")
    if problem:
        return "broken", _broken("kernel", problem, "Run it again; then open the executed notebook.")
    error = _raised(cells) or _stopped(cells)
    return ("broken", error) if error else ("completed", None)


def _declares(entry: Entry) -> bool:
    return bool(entry.required or entry.optional)


def _raised(cells: Cells) -> RunError | None:
    """The error of the first cell that raised, unless it is the closing verb's own, in the last executed cell."""
    last = max((i for i, cell in enumerate(cells) if cell.get("execution_count")), default=-1)
    for index, output in _outputs(cells):
        if output["output_type"] != "error":
            continue
        if output["ename"] == VERDICT_ERROR and index == last and _closing(cells[index : index + 1]):
            continue
        what = _ANSI.sub("", f"{output['ename']}: {output['evalue']}").strip(": \n").split("\n", 1)[0]
        return _broken(
            "cell_raised",
            f"Cell {index + 1} raised {what[:_LINE].rstrip('.')}.",
            "See it in the executed notebook.",
        )
    return None


def _stopped(cells: Cells) -> RunError | None:
    """The first cell that ended the run without an error among its outputs.

    IPython only prints that a magic is unknown, or was given wrong arguments; papermill notes the failure in the cell's
    metadata.
    """
    for index, cell in enumerate(cells):
        if not cell["metadata"].get("papermill", {}).get("exception"):
            continue
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            continue
        printed = "".join(o["text"] for o in cell["outputs"] if o.get("name") == "stderr").strip()
        last = _ANSI.sub("", printed).rsplit("\n", 1)[-1].strip()
        why = f": {last[:_LINE].rstrip('.')}" if last else " without an error"
        return _broken(
            "cell_stopped", f"Cell {index + 1} stopped the run{why}.", "See it in the executed notebook."
        )
    return None


def _undeclared(results: Mapping[str, Result], entry: Entry) -> RunError | None:
    strangers = [code for code in results if code not in entry.required + entry.optional]
    if not strangers:
        return None
    return _broken(
        "undeclared_check",
        f"{entry.name} answered checks that it does not declare: {', '.join(strangers)}.",
        "Declare them in its metadata, or do not ask them.",
    )


def _never_closed(
    cells: Cells, results: Mapping[str, Result], closed: Verdict | None, entry: Entry
) -> RunError | None:
    if not (results or closed or _declares(entry)):
        return None
    if not results:
        return _broken("no_results", "No check answered: an empty set has no verdict.", "")
    if closed is None:
        ran = sum(1 for cell in cells if cell.get("execution_count"))
        return _broken(
            "not_closed",
            f"The notebook ended after {ran} cells without its closing verdict.",
            "Its last cell must call close() on what notebook.open() returned.",
        )
    return None


def _disagreement(closed: Verdict | None, merged: Verdict) -> RunError | None:
    """A note, not a break: the worse of the two counts."""
    if closed is None or closed == merged:
        return None
    return _broken(
        "verdicts_disagree",
        f"The closing cell said {closed}, the results say {merged}; the worse one counts.",
        "Ask every check before the closing cell.",
    )


def _with_missing(results: Mapping[str, Result], entry: Entry) -> list[CheckRecord]:
    """In the order of the declaration, then any strangers."""
    declared = [
        code for code in (*entry.required, *entry.optional) if code in results or code in entry.required
    ]
    records = [
        CheckRecord.of(results[code]) if code in results else _unanswered(code, "It never ran.")
        for code in declared
    ]
    return records + [CheckRecord.of(result) for code, result in results.items() if code not in declared]


def _unanswered(code: str, message: str) -> CheckRecord:
    # Only now: the checks bring pandas and the driver with them, and a run that is well needs neither here.
    from balancebook.checks import CHECKS  # noqa: PLC0415

    name = CHECKS[code].name if code in CHECKS else "no_such_check"
    return CheckRecord(code=code, name=name, verdict=Verdict.UNKNOWN, message=message)


def _broken(code: str, message: str, remedy: str) -> RunError:
    return RunError(code=code, message=message, remedy=remedy)
