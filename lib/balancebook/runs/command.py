"""What `balancebook run` does: check everything that was given, open the database, run, and sum up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from balancebook.record import Record, RunError, Target
from balancebook.runs import catalogue
from balancebook.runs.execute import Job, Progress, refused_run, run_notebook
from balancebook.runs.parameters import parse_assignments
from balancebook.runs.scrub import Scrubber
from balancebook.runs.values import Value
from balancebook.settings import Profile, find_config, load_profile, retarget, state_dir
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import quote
from balancebook.verdict import MARKS

# Parameters of these names, in any notebook, choose its target.
_TARGET_PARAMETERS = ("keyspace", "view", "gateway_url")


def run(
    name: str,
    assignments: Sequence[str],
    *,
    profile_name: str | None,
    out: Path | None,
    timeout_s: float,
    progress: Callable[[str], None],
) -> tuple[Record, Path]:
    """Run one notebook; returns its record and the folder that holds it.

    Raises UsageError before anything runs for whatever is wrong with what was given. A database that cannot be
    opened gives a record in which every check is unknown, and starts no kernel.
    """
    entry = catalogue.find_entry(name)
    profile = load_profile(profile_name)
    scrubber = Scrubber(profile.secrets())
    parameters = parse_assignments(assignments, entry.parameters, scrubber)
    profile = _retargeted(profile, parameters)
    job = Job(
        entry=entry,
        parameters=parameters,
        profile=profile.name,
        target=Target(keyspace=profile.keyspace, view=profile.view, embedded=profile.embedded),
        out_root=out or state_dir() / "runs",
        timeout_s=timeout_s,
        env=kernel_environment(profile),
        scrubber=scrubber,
    )
    record = _run_opened(job, profile, progress)
    return record, job.out_root / record.run_id


def _retargeted(profile: Profile, parameters: Mapping[str, Value]) -> Profile:
    named = {key: parameters.get(key) for key in _TARGET_PARAMETERS}
    return retarget(profile, **{key: value for key, value in named.items() if isinstance(value, str)})


def kernel_environment(profile: Profile) -> dict[str, str]:
    """What tells a kernel its profile: paths made absolute, since a kernel's working folder is its own."""
    config = find_config()
    env = {"BALANCEBOOK_PROFILE": profile.name, "BALANCEBOOK_STATE": os.fspath(state_dir())}
    return env | ({"BALANCEBOOK_CONFIG": os.fspath(config)} if config else {})


def _run_opened(job: Job, profile: Profile, progress: Callable[[str], None]) -> Record:
    try:
        with open_reader(profile) as reader:
            server = reader.server
            _require_readable(reader, profile)
    except StoreError as error:
        return refused_run(job, RunError(code=error.kind, message=error.message, remedy=error.remedy))
    target = job.target.model_copy(update={"cluster": server.cluster_name})
    job = replace(job, target=target, versions={server.product: server.version})
    return run_notebook(job, _by_heading(progress))


def _by_heading(progress: Callable[[str], None]) -> Progress:
    """Report each question once, when its first cell begins."""
    seen: set[str] = set()

    def report(done: int, total: int, heading: str) -> None:
        if heading not in seen:
            progress(f"  {100 * done // total:3} %  {heading}")
        seen.add(heading)

    return report


def _require_readable(reader: Reader, profile: Profile) -> None:
    """Read one row of the view, so that a missing GRANT shows before a kernel starts.

    A view that is missing is no obstacle: whether it is there is what V001 asks. Raises StoreError.
    """
    try:
        reader.rows(f"SELECT * FROM {quote(profile.keyspace)}.{quote(profile.view)} LIMIT 1")
    except StoreError as error:
        if error.kind != "missing":
            raise


def summary(record: Record, folder: Path) -> str:
    """The verdicts of a run as lines for a terminal, and where its page is."""
    lines = [f"{MARKS[r.verdict]:10}{r.code} {r.name:26} {_one_line(r.message)}" for r in record.results]
    name = record.notebook
    if record.status == "refused":
        # Every check would say the same.
        lines, name = [], f"{name}: none of its {len(record.results)} checks could be asked"
    if record.error:
        lines.append(f"{record.status}: {record.error.message} {record.error.remedy}".rstrip())
    lines.append(f"{MARKS[record.verdict]:10}{name} (exit code {record.exit_code})")
    return "\n".join([*lines, f"          {folder / record.files['page']}"])


def _one_line(message: str) -> str:
    return " ".join(message.split())
