"""What `balancebook reconcile` does: find the view, compare it, keep a record, and sum up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from balancebook.errors import BalancebookError, BrokenRun, ExitCode, UsageError
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.run import Reconciliation, run
from balancebook.record import CheckRecord, Record, RunError, Target, to_json_text, write_whole
from balancebook.runs.folders import RunFolder, begin_run
from balancebook.runs.views import require_view
from balancebook.settings import Profile, load_profile, retarget, state_dir
from balancebook.store.reader import Reader, open_reader
from balancebook.verdict import MARKS, Verdict

_NAME, _DOCUMENT = "reconcile", "reconcile.json"
_CODE, _CHECK = "V005", "view_reconciles"
_SHOWN = 20
_WIDTH = 40


@dataclass(frozen=True)
class Reconciled:
    """The document of one reconciliation, its text for a person, its exit code, and what else there is to say."""

    document: dict[str, Any]
    text: str
    exit_code: ExitCode
    notes: tuple[str, ...]


def reconcile(
    target: str, *, profile_name: str | None, samples: int, progress: Callable[[str], None]
) -> Reconciled:
    """Compare the view KEYSPACE.VIEW with its base, and keep record.json and reconcile.json in a run's folder.

    Raises UsageError for a target that is none; StoreError and BalancebookError, with a record that says so, if the
    view cannot be read or compared.
    """
    profile = _targeted(load_profile(profile_name), target)
    folder = begin_run(state_dir() / "runs", _NAME)
    asked: dict[str, bool | int | float | str | None] = {"target": target, "samples": samples}
    sheet = _Sheet(profile, folder, datetime.now(UTC), asked)
    try:
        with open_reader(profile) as reader:
            view = require_view(reader, profile.keyspace, profile.view)
            sheet.learn(reader)
            progress(f"comparing {target} with its base {view.base_name}")
            limits = profile.limits
            done = run(reader, view, grace_s=profile.grace_s, budget_rows=limits.max_rows, samples=samples)
        sheet.save(done)
    except (UsageError, BrokenRun):
        folder.discard()
        raise
    except BalancebookError as error:
        sheet.refuse(error)
        raise
    except BaseException:
        folder.discard()
        raise
    notes = [note for note in (done.not_written, *done.report.reasons) if note]
    code = ExitCode[done.report.verdict.name]
    return Reconciled(done.document(folder.run_id), _text(done, folder.final), code, tuple(notes))


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


class _Sheet:
    """The record of this run as it comes about."""

    def __init__(
        self,
        profile: Profile,
        folder: RunFolder,
        started: datetime,
        parameters: Mapping[str, bool | int | float | str | None],
    ) -> None:
        self._profile, self._folder, self._started, self._parameters = profile, folder, started, parameters
        self._cluster: str | None = None
        self._versions = {"balancebook": metadata.version("balancebook")}

    def learn(self, reader: Reader) -> None:
        """Note which server it is."""
        server = reader.server
        self._cluster = server.cluster_name
        self._versions[server.product] = server.version

    def save(self, done: Reconciliation) -> None:
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
        document = done.document(self._folder.run_id)
        self._write(self._record(result), document)

    def refuse(self, error: BalancebookError) -> None:
        """Keep a record in which the check is unknown."""
        result = CheckRecord(code=_CODE, name=_CHECK, verdict=Verdict.UNKNOWN, message=error.message)
        code = getattr(error, "kind", error.code)
        told = RunError(code=code, message=error.message, remedy=error.remedy)
        self._write(self._record(result, told), None)

    def _record(self, result: CheckRecord, error: RunError | None = None) -> Record:
        profile = self._profile
        return Record(
            run_id=self._folder.run_id,
            notebook=_NAME,
            notebook_sha256="",
            parameters=dict(self._parameters),
            profile=profile.name,
            target=Target(
                cluster=self._cluster,
                keyspace=profile.keyspace,
                view=profile.view,
                embedded=profile.embedded,
            ),
            status="refused" if error else "completed",
            started_at=self._started,
            ended_at=datetime.now(UTC),
            verdict=result.verdict,
            exit_code=ExitCode[result.verdict.name],
            error=error,
            results=[result],
            versions=self._versions,
        )

    def _write(self, record: Record, document: dict[str, Any] | None) -> None:
        folder = self._folder
        files = {"record": "record.json"} | ({"differences": _DOCUMENT} if document else {})
        try:
            if document:
                write_whole(folder.aside / _DOCUMENT, to_json_text(document))
            record.model_copy(update={"files": files}).save(folder.aside)
            folder.publish()
        except OSError as error:
            folder.discard()
            raise BrokenRun(
                f"The record cannot be saved in {folder.final.parent}: {error.strerror}; its verdict was "
                f"{record.verdict}.",
                "Make room there.",
            ) from error


def _text(done: Reconciliation, folder: Path) -> str:
    report, view = done.report, done.view
    counts = "  ".join(f"{kind} {report.counts[kind]:,}" for kind in Kind if report.counts[kind])
    rows = f"rows: {report.rows_base:,} derived from the base, {report.rows_view:,} in the view"
    head = f"{MARKS[report.verdict]:10}{view.keyspace}.{view.name} against {view.base_name}: {report.message}"
    lines = [head, f"          {rows}; {done.seconds:.1f} s", *([f"          {counts}"] if counts else [])]
    return "\n".join([*lines, *_table(done), f"          {folder / 'record.json'}"])


def _table(done: Reconciliation) -> list[str]:
    """The worst samples: what differs, or the whole row where one side has none."""
    report = done.report
    if not report.samples:
        return []
    shown = report.samples[:_SHOWN]
    rows = [["kind", *report.key_columns, "base", "view"]]
    for sample in shown:
        named = report.named(sample)
        base, view = _differing(named["base"], named["view"])
        rows.append([sample.kind.value, *map(_short, sample.key), base, view])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    total = sum(report.counts.values())
    more = [f"({len(shown):,} of {total:,} shown, worst first)"] if total > len(shown) else []
    return ["", *(line.rstrip() for line in lines), *more, ""]


def _differing(base: Any, view: Any) -> tuple[str, str]:
    if base is None or view is None:
        return _cells(base, base or ()), _cells(view, view or ())
    names = [name for name in base if base[name] != view[name]] or list(base)
    return _cells(base, names), _cells(view, names)


def _cells(cells: Any, names: Iterable[str]) -> str:
    return "-" if cells is None else _short(" ".join(f"{name}={cells[name]}" for name in names))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
