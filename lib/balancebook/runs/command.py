"""What `balancebook run` does: check everything that was given, open the database, run, and sum up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from balancebook.core.files import require_writable_folder
from balancebook.record import Record, Target
from balancebook.runs import catalogue
from balancebook.runs.folders import KEPT
from balancebook.runs.parameters import parse_assignments
from balancebook.runs.scrub import Scrubber
from balancebook.runs.values import Value
from balancebook.settings import Profile, find_config, load_profile, retarget, state_dir
from balancebook.verdict import MARKS, mark_of

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
    out_root = out or state_dir() / "runs"
    require_writable_folder(out_root, KEPT, "out")
    # Only now: what was mistyped is said at once, without waiting for the driver and Jupyter to be imported.
    from balancebook.runs.opened import Job, run_opened  # noqa: PLC0415

    job = Job(
        entry=entry,
        parameters=parameters,
        profile=profile.name,
        target=Target(keyspace=profile.keyspace, view=profile.view, embedded=profile.embedded),
        out_root=out_root,
        timeout_s=timeout_s,
        env=kernel_environment(profile),
        scrubber=scrubber,
    )
    record = run_opened(job, profile, progress)
    return record, job.out_root / record.run_id


def _retargeted(profile: Profile, parameters: Mapping[str, Value]) -> Profile:
    named = {key: parameters.get(key) for key in _TARGET_PARAMETERS}
    return retarget(profile, **{key: value for key, value in named.items() if isinstance(value, str)})


def kernel_environment(profile: Profile) -> dict[str, str]:
    """What tells a kernel its profile: paths made absolute, since a kernel's working folder is its own."""
    config = find_config()
    env = {"BALANCEBOOK_PROFILE": profile.name, "BALANCEBOOK_STATE": os.fspath(state_dir())}
    return env | ({"BALANCEBOOK_CONFIG": os.fspath(config)} if config else {})


def summary(record: Record, folder: Path) -> str:
    """The verdicts of a run as lines for a terminal, and where its page is."""
    lines = [f"{MARKS[r.verdict]:10}{r.code} {r.name:26} {_one_line(r.message)}" for r in record.results]
    name = record.notebook
    if record.status == "refused":
        # Every check would say the same.
        checks = (
            f"none of its {len(record.results)} checks could be asked" if record.results else "it was not run"
        )
        lines, name = [], f"{name}: {checks}"
    if record.error:
        lines.append(f"{record.status}: {record.error.message} {record.error.remedy}".rstrip())
    lines.append(f"{mark_of(record.verdict):10}{name} (exit code {record.exit_code})")
    return "\n".join([*lines, f"          {folder / record.files['page']}"])


def _one_line(message: str) -> str:
    return " ".join(message.split())
