"""What `balancebook reconcile` does: find the view, compare it, keep a record, and sum up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from balancebook.core.files import reason_of, require_writable_file
from balancebook.errors import BalancebookError, BrokenRun, ExitCode, UsageError
from balancebook.reconcile.document import Reconciliation
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import RESUME_WITHIN_S
from balancebook.reconcile.run import Depth, Request, Telling, run
from balancebook.record import CheckRecord, Record, RunError, Status, Target, to_json_text, write_whole
from balancebook.runs.reconcile_folder import DOCUMENT, NAME, Desk, begin
from balancebook.runs.reconcile_text import text_of
from balancebook.runs.views import require_view
from balancebook.settings import Profile, load_profile, retarget, state_dir
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View
from balancebook.verdict import Verdict

_CODE, _CHECK = "V005", "view_reconciles"
Parameters = dict[str, bool | int | float | str | None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command's arguments, as reconcile.run.Request has them. differences: a Parquet file; resume: a run's id."""

    target: str
    depth: Depth = "full"
    keys: Path | None = None
    within_s: float | None = None
    samples: int = 1000
    cutoff: str = "auto"
    rate: int | None = None
    paced: bool | None = None
    workers: int = 1
    scheduler: str | None = None
    differences: Path | None = None
    resume: str | None = None
    resume_within_s: float = RESUME_WITHIN_S

    def check(self) -> None:
        """Raises UsageError for arguments that do not go together, or a file that could not be written in the end."""
        whole = self.depth == "full" and self.keys is None and self.within_s is None
        for name in ("differences", "resume", "scheduler"):
            if getattr(self, name) is not None and not whole:
                raise UsageError(
                    f"--{name} needs the full depth, of all partitions.",
                    "Leave it out; --samples says how many differences are listed."
                    if name == "differences"
                    else "Leave it out.",
                    parameter=name,
                )
        if self.keys and (self.depth != "full" or self.within_s is not None):
            raise UsageError(
                "--keys is exact for the given partitions: it has no depth and no time box.",
                "Leave --depth and --within out.",
                parameter="keys",
            )
        if self.depth == "definition" and self.within_s is not None:
            raise UsageError("The depth definition reads no rows.", "Leave --within out.", parameter="within")
        if self.workers > 1 and (self.scheduler or not whole):
            raise UsageError(
                "--workers needs the full depth, and no --scheduler.", "Leave it out.", parameter="workers"
            )
        if self.differences is not None:
            require_writable_file(self.differences, "differences")
            _require_parquet_name(self.differences)

    def parameters(self) -> Parameters:
        """What was asked, for the record: all that is not the default."""
        usual = Asked(target="")
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kept = {
            name: value for name, value in given.items() if value != getattr(usual, name) or name == "samples"
        }
        return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def _require_parquet_name(path: Path) -> None:
    if path.suffix != ".parquet":
        raise UsageError(
            f"{path} does not end in .parquet: differences are written as Parquet.",
            "Give it a name that does.",
            parameter="differences",
        )


@dataclass(frozen=True)
class Reconciled:
    """The document of one reconciliation, its text for a person, its exit code, and what else there is to say."""

    document: dict[str, Any]
    text: str
    exit_code: ExitCode
    notes: tuple[str, ...]


def reconcile(asked: Asked, *, profile_name: str | None, telling: Telling) -> Reconciled:
    """Compare the view KEYSPACE.VIEW with its base, and keep record.json and reconcile.json in a run's folder.

    Raises UsageError for a target that is none, or arguments that cannot be met; StoreError and BalancebookError, with
    a record that says so, if the view cannot be read or compared. A run that is interrupted is kept, to be resumed.
    """
    asked.check()
    profile = _targeted(load_profile(profile_name), asked.target)
    desk = begin(state_dir() / "runs", asked.resume, asked.target)
    try:
        return _Run(asked, profile, desk, telling).done()
    finally:
        desk.close()


def _targeted(profile: Profile, target: str) -> Profile:
    keyspace, dot, view = target.partition(".")
    if not (keyspace and dot and view):
        raise UsageError(
            f"{target!r} names no view.",
            f"Write KEYSPACE.VIEW, for instance {profile.keyspace}.{profile.view}.",
            parameter="target",
            suggestion=f"{profile.keyspace}.{profile.view}",
        )
    return retarget(profile, keyspace=keyspace, view=view)


class _Run:
    """One run, and its record as it comes about."""

    def __init__(self, asked: Asked, profile: Profile, desk: Desk, telling: Telling) -> None:
        self._asked, self._profile, self._desk, self._telling = asked, profile, desk, telling
        self._folder = desk.folder
        self._started = datetime.now(UTC)
        self._cluster: str | None = None
        self._versions = {"balancebook": metadata.version("balancebook")}

    def done(self) -> Reconciled:
        """Do it, and save the record whatever comes of it."""
        if self._asked.resume:
            self._telling.told(f"resuming {self._folder.run_id}")
        try:
            with open_reader(self._profile) as reader:
                view = require_view(reader, self._profile.keyspace, self._profile.view)
                self._learn(reader)
                done = self._compared(reader, view)
                files = self._differences(reader, view)
            self._save(done)
        except (UsageError, BrokenRun):
            self._leave()
            raise
        except OSError as error:
            # What comes from the network is a StoreError: this is the disk, which cannot keep the run.
            self._leave()
            raise BrokenRun(
                f"The run cannot be kept in {self._folder.final.parent}: {reason_of(error)}.",
                "Make room there.",
            ) from error
        except BalancebookError as error:
            self._end("refused", error)
            raise
        except KeyboardInterrupt:
            self._interrupted()
            raise
        except BaseException:
            self._leave()
            raise
        report = done.report
        notes = tuple(note for note in (done.not_written, *report.reasons) if note)
        text = text_of(done, [self._folder.final / "record.json", *files])
        return Reconciled(done.document(self._folder.run_id), text, ExitCode[report.verdict.name], notes)

    def _compared(self, reader: Reader, view: View) -> Reconciliation:
        asked = self._asked
        request = Request(
            depth=asked.depth,
            keys=asked.keys,
            within_s=asked.within_s,
            samples=asked.samples,
            cutoff=asked.cutoff,
            budget_rows=self._profile.limits.max_rows,
            rate=asked.rate,
            paced=asked.paced,
            workers=asked.workers,
            scheduler=asked.scheduler,
            spool=self._desk.spool if asked.differences else None,
            state=self._desk.progress,
            resume_within_s=asked.resume_within_s,
        )
        return run(reader, view, request, self._telling, grace_s=self._profile.grace_s)

    def _differences(self, reader: Reader, view: View) -> list[Path]:
        """Write all differences where they were asked for; none were found if a run became a sampled one."""
        path = self._asked.differences
        if path is None:
            return []
        from balancebook.runs.reconcile_differences import save_differences  # noqa: PLC0415 (loads pyarrow)

        try:
            save_differences(path, self._desk.spool, reader, view, self._folder.run_id)
        except OSError as error:
            raise BrokenRun(f"{path} cannot be written: {reason_of(error)}.", "Make room there.") from error
        return [path]

    def _learn(self, reader: Reader) -> None:
        """Note which server it is."""
        server = reader.server
        self._cluster = server.cluster_name
        self._versions[server.product] = server.version

    def _save(self, done: Reconciliation) -> None:
        """Keep the record and the document. Raises BrokenRun if they cannot be written."""
        report = done.report
        result = CheckRecord(
            code=_CODE,
            name=_CHECK,
            verdict=report.verdict,
            message=report.message,
            counts={"base": report.rows_base, "view": report.rows_view}
            | {kind.value: report.counts[kind] for kind in Kind},
            seconds=round(done.seconds, 3),
        )
        self._desk.clear()
        self._write(self._record(result, "completed"), done.document(self._folder.run_id))

    def _end(self, status: Status, error: BalancebookError) -> None:
        """Keep a record in which the check is unknown."""
        result = CheckRecord(code=_CODE, name=_CHECK, verdict=Verdict.UNKNOWN, message=error.message)
        code = getattr(error, "kind", error.code)
        told = RunError(code=code, message=error.message, remedy=error.remedy)
        self._write(self._record(result, status, told), None)

    def _interrupted(self) -> None:
        if not self._desk.progress.exists():
            self._leave()
            return
        remedy = f"Go on with --resume {self._folder.run_id}"
        self._end("interrupted", BalancebookError("interrupted.", remedy))
        self._telling.told(f"{remedy} (and the same arguments).")

    def _leave(self) -> None:
        """Nothing was found out; but what can be resumed stays."""
        if self._asked.resume:
            self._desk.leave()
        elif not self._desk.progress.exists():
            self._folder.discard()

    def _record(self, result: CheckRecord, status: Status, error: RunError | None = None) -> Record:
        profile = self._profile
        return Record(
            run_id=self._folder.run_id,
            notebook=NAME,
            notebook_sha256="",
            parameters=self._asked.parameters(),
            profile=profile.name,
            target=Target(
                cluster=self._cluster,
                keyspace=profile.keyspace,
                view=profile.view,
                embedded=profile.embedded,
            ),
            status=status,
            started_at=self._started,
            ended_at=datetime.now(UTC),
            verdict=result.verdict,
            exit_code=ExitCode.INTERRUPTED if status == "interrupted" else ExitCode[result.verdict.name],
            error=error,
            results=[result],
            versions=self._versions,
        )

    def _write(self, record: Record, document: Mapping[str, Any] | None) -> None:
        folder = self._folder
        files = {"record": "record.json"} | ({"differences": DOCUMENT} if document else {})
        try:
            if document:
                write_whole(folder.aside / DOCUMENT, to_json_text(document))
            record.model_copy(update={"files": files}).save(folder.aside)
            folder.publish()
        except OSError as error:
            folder.discard()
            raise BrokenRun(
                f"The record cannot be saved in {folder.final.parent}: {reason_of(error)}; its verdict was "
                f"{record.verdict}.",
                "Make room there.",
            ) from error
