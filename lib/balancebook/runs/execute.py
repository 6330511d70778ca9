"""Execute a notebook by papermill and keep what it leaves: record.json, the executed notebook, an HTML page.

The folder of a run appears whole or not at all. Profile and run folder reach the kernel by environment, never
as parameters; known secrets are masked before anything is written.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from balancebook.core.files import reason_of
from balancebook.errors import BrokenRun
from balancebook.record import Record, RunError, Target, write_whole
from balancebook.runs.catalogue import Entry
from balancebook.runs.folders import RunFolder, begin_run
from balancebook.runs.guard import Guard
from balancebook.runs.kernel import KERNEL_NAME, Kernel
from balancebook.runs.lazy import import_html_exporter, import_papermill
from balancebook.runs.outcome import Outcome, judge, unknown_results
from balancebook.runs.scrub import Scrubber
from balancebook.runs.values import Value
from balancebook.verdict import Verdict

Progress = Callable[[int, int, str], None]

NOTEBOOK_NAME = "notebook.ipynb"
PAGE_NAME = "index.html"
_KERNEL_START_S = 60
# nbclient's default of 4 s is too short for a big output on a busy machine, and would break the run.
_OUTPUT_WAIT_S = 60


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to make. `parameters` are checked already (runs.parameters); `env` is added to the kernel's."""

    entry: Entry
    parameters: Mapping[str, Value]
    profile: str
    target: Target
    out_root: Path
    timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    scrubber: Scrubber = field(default_factory=Scrubber)
    versions: Mapping[str, str] = field(default_factory=dict)


def run_notebook(job: Job, progress: Progress | None = None) -> Record:
    """Execute the notebook and return its record, saved in `out_root`/run_id.

    `progress(done, total, heading)` is called before each code cell. Raises UsageError before anything runs if
    `out_root` cannot be written to, BrokenRun (nothing half-written remains) if the run cannot be saved.
    """
    # Guarded before the first file: whoever sees the folder may interrupt the run.
    with Guard(job.timeout_s) as guard:
        folder = begin_run(job.out_root, job.entry.name)
        try:
            started = _now()
            nb, problem = _execute(job, folder, guard, progress)
            job.scrubber.notebook(nb)
            cause = guard.cause
            outcome = judge(
                nb["cells"], job.entry, cause=cause, problem=problem and job.scrubber.text(problem)
            )
            return _save(job, folder, _record(job, folder, started, outcome), nb)
        except BaseException:
            folder.discard()
            raise


def refused_run(job: Job, error: RunError) -> Record:
    """The record, saved, of a run that could not begin (no database): every required check is unknown."""
    folder = begin_run(job.out_root, job.entry.name)
    error = _masked(error, job.scrubber)
    try:
        outcome = Outcome(
            status="refused",
            verdict=Verdict.UNKNOWN,
            results=unknown_results(job.entry, error.message),
            optional_missing=list(job.entry.optional),
            error=error,
        )
        return _save(job, folder, _record(job, folder, _now(), outcome), None)
    except BaseException:
        folder.discard()
        raise


def _now() -> datetime:
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _execute(
    job: Job, folder: RunFolder, guard: Guard, progress: Progress | None
) -> tuple[dict[str, Any], str | None]:
    """(the notebook as far as it was executed, what went wrong outside of any cell)."""
    # Without the stored outputs: those of cells that never run would pass for answers.
    source = _without_outputs(job.entry.document)
    executed: list[Any] = []
    try:
        with Kernel({**job.env, "BALANCEBOOK_RUN_DIR": str(folder.aside)}) as kernel:
            guard.watch(kernel.kill)
            problem = _papermill(source, job, kernel, executed, progress) if not guard.cause else None
    finally:
        guard.watch(_nothing)
    nb = executed[0] if executed else source
    _tidy(nb, job.entry)
    return nb, problem


def _nothing() -> None:
    """There is no kernel to stop any more."""


def _papermill(
    source: dict[str, Any], job: Job, kernel: Kernel, executed: list[Any], progress: Progress | None
) -> str | None:
    execute_notebook, cell_error, nbformat = import_papermill()
    # Imported while the cells run: it takes half a second and is needed right after them.
    threading.Thread(target=_import_publisher, daemon=True).start()
    try:
        execute_notebook(
            nbformat.from_dict(source),
            None,
            parameters=dict(job.parameters),
            kernel_name=KERNEL_NAME,
            language="python",
            progress_bar=False,
            start_timeout=_KERNEL_START_S,
            km=kernel.manager,
            iopub_timeout=_OUTPUT_WAIT_S,
            on_notebook_start=lambda notebook: executed.append(notebook),  # noqa: PLW0108 (called by keyword)
            on_cell_execute=_reporter(executed, progress),
        )
    except cell_error:
        return None  # the cell's own output says it
    except Exception as error:  # noqa: BLE001 (whatever it was, the run is broken and its record says so)
        log = kernel.log()
        last_words = f" Its last words: {log.splitlines()[-1]}" if log else ""
        return f"The kernel stopped: {error or type(error).__name__}.{last_words}"
    return None


def _import_publisher() -> None:
    from balancebook.runs import publish  # noqa: F401, PLC0415

    import_html_exporter()


def _reporter(executed: list[Any], progress: Progress | None) -> Callable[..., None]:
    def report(cell: Any, cell_index: int) -> None:  # noqa: ARG001 (nbclient passes it)
        if progress:
            cells = executed[0]["cells"]
            progress(cell_index, len(cells), _heading(cells[:cell_index]))

    return report


def _heading(cells: Sequence[Mapping[str, Any]]) -> str:
    """The nearest markdown heading above: what is being asked now."""
    for cell in reversed(cells):
        first = cell["source"].strip().split("\n", 1)[0]
        if cell["cell_type"] == "markdown" and first.startswith("#"):
            return str(first.lstrip("# "))
    return ""


def _without_outputs(document: Mapping[str, Any]) -> dict[str, Any]:
    source = copy.deepcopy(dict(document))
    for cell in source["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return source


def _join_streams(cell: dict[str, Any]) -> None:
    """One output for each stream of a cell: a secret must not hide across two pieces of it.

    Not by nbclient's coalesce_streams, which needs minutes for a line of a million characters.
    """
    first: dict[str, dict[str, Any]] = {}
    kept = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream" and output["name"] in first:
            first[output["name"]]["text"] += output["text"]
            continue
        if output["output_type"] == "stream":
            first[output["name"]] = output
        kept.append(output)
    cell["outputs"] = kept


def _tidy(nb: dict[str, Any], entry: Entry) -> None:
    """Join what was printed in pieces, and take out what papermill adds for its own readers: error banners
    (also over a mere verdict), and in the metadata the whole input notebook."""
    nb["cells"] = [
        cell for cell in nb["cells"] if "papermill-error-cell-tag" not in cell["metadata"].get("tags", ())
    ]
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            _join_streams(cell)
    if "papermill" in nb["metadata"]:
        nb["metadata"]["papermill"] |= {"input_path": entry.path.name, "output_path": NOTEBOOK_NAME}


def _record(job: Job, folder: RunFolder, started: datetime, outcome: Outcome) -> Record:
    versions = {name: metadata.version(name) for name in ("balancebook", "papermill", "ipykernel")}
    return Record(
        run_id=folder.run_id,
        notebook=job.entry.name,
        notebook_sha256=job.entry.sha256,
        parameters=dict(job.parameters),
        profile=job.profile,
        target=job.target,
        status=outcome.status,
        started_at=started,
        ended_at=_now(),
        verdict=outcome.verdict,
        exit_code=outcome.exit_code,
        error=outcome.error,
        results=outcome.results,
        optional_missing=outcome.optional_missing,
        versions={**versions, **job.versions},
    )


def _masked(error: RunError, scrubber: Scrubber) -> RunError:
    return RunError(**scrubber.value(error.model_dump()))


def _save(job: Job, folder: RunFolder, record: Record, nb: dict[str, Any] | None) -> Record:
    """Write everything aside, then let the folder appear. Raises BrokenRun if it cannot be written."""
    from balancebook.runs import publish  # noqa: PLC0415

    files = {"record": "record.json", "page": PAGE_NAME} | ({"notebook": NOTEBOOK_NAME} if nb else {})
    record = record.model_copy(update={"files": files})
    try:
        _stand_somewhere(folder.aside)
        if nb:
            write_whole(folder.aside / NOTEBOOK_NAME, publish.notebook_text(nb))
        write_whole(folder.aside / PAGE_NAME, publish.render_run(record, nb))
        record.save(folder.aside)
        folder.publish()
    except OSError as error:
        raise BrokenRun(
            f"The run cannot be saved in {job.out_root}: {reason_of(error)}; its verdict was "
            f"{record.verdict or 'none'}, and nothing was kept.",
            "Make room, or name another folder with --out.",
        ) from error
    return record


def _stand_somewhere(folder: Path) -> None:
    """What makes the page asks for the working folder; if it was removed meanwhile, another does as well."""
    try:
        Path.cwd()
    except OSError:
        os.chdir(folder)


logging.getLogger("papermill").addHandler(logging.NullHandler())
logging.getLogger("papermill").propagate = False
