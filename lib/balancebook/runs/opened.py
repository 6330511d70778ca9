"""A run on a database that can be opened; else a record that says why not, in which every check is unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from balancebook.balances import Target, account_of
from balancebook.errors import BalancebookError, UsageError
from balancebook.moment import moment_of, utc_text
from balancebook.record import Record, RunError
from balancebook.runs.execute import Job, Progress, refused_run, run_notebook
from balancebook.runs.values import ACCOUNT, ExtractFile
from balancebook.settings import Profile
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import quote, read_view

__all__ = ["Job", "run_opened"]


def run_opened(job: Job, profile: Profile, progress: Callable[[str], None]) -> Record:
    """The record of the run, or of its refusal if the database cannot be opened and read; no kernel starts then.

    Raises UsageError for an account that the ledger's column cannot hold: nothing has run then either.
    """
    try:
        with open_reader(profile) as reader:
            server = reader.server
            _require_readable(reader, profile)
            _require_accounts(reader, profile, job)
            _require_extract(reader, profile, job)
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


def _require_extract(reader: Reader, profile: Profile, job: Job) -> None:
    """Raises UsageError for an extract that is of another ledger or time than the run is asked about, StoreError."""
    files = [p.name for p in job.entry.parameters if isinstance(p.limits, ExtractFile)]
    given = [str(job.parameters[name]) for name in files if job.parameters[name] is not None]
    view = read_view(reader, profile.keyspace, profile.view) if given else None
    if view is None:
        return
    # Only now: the explorer takes half a second to import.
    from balancebook.explore.extract_file import require_origin, usable_path  # noqa: PLC0415

    as_of = job.parameters.get("as_of")
    moment = moment_of(as_of) if isinstance(as_of, str) else None
    for file in given:
        require_origin(usable_path(file), profile.keyspace, view.base_name, utc_text(moment))


def _require_accounts(reader: Reader, profile: Profile, job: Job) -> None:
    """Hold the accounts that were given against the type of the ledger's account column.

    Where view, base or column is missing, or is none of a ledger, there is nothing to hold them against, and the checks
    say so. Raises UsageError, StoreError.
    """
    named = [parameter.name for parameter in job.entry.parameters if parameter.kind == ACCOUNT]
    given = {name: job.parameters[name] for name in named if job.parameters[name] is not None}
    view = read_view(reader, profile.keyspace, profile.view) if given else None
    if view is None:
        return
    target = Target(profile.keyspace, profile.view, view.base_name, profile.ledger)
    for name, value in given.items():
        try:
            account_of(reader, target, value, name)
        except BalancebookError as error:
            told = isinstance(error, StoreError) and error.kind != "missing"
            if told or isinstance(error, UsageError):
                raise
