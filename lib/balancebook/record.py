"""The record of a run: what `run --json` prints and record.json holds, schema version 1.

Integers are JSON integers of any size (see balancebook.bundle). Times are UTC. Keys keep the order given here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_serializer

from balancebook.core.files import aside_of
from balancebook.errors import BalancebookError, ExitCode
from balancebook.verdict import Result, Verdict

RECORD_NAME = "record.json"

Status = Literal["completed", "broken", "timed_out", "interrupted", "refused"]


class RecordError(BalancebookError):
    """A record that cannot be read."""

    exit_code = ExitCode.USAGE
    code = "record"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Model):
    """What was judged. `cluster` is None when the database was never opened."""

    cluster: str | None = None
    keyspace: str
    view: str
    embedded: bool


class RunError(_Model):
    """Why a run did not complete, for a person (`message`, `remedy`) and for a program (`code`)."""

    code: str
    message: str
    remedy: str = ""


class CheckRecord(_Model):
    """One check's result. `volatile` holds what differs from run to run, beside the seconds."""

    code: str
    name: str
    verdict: Verdict
    message: str
    counts: dict[str, int] = {}
    samples: list[dict[str, JsonValue]] = []
    seconds: float | None = None
    volatile: dict[str, JsonValue] = {}

    @classmethod
    def of(cls, result: Result) -> CheckRecord:
        """The record of a Result; its volatile `milliseconds` become `seconds`."""
        volatile: dict[str, Any] = dict(result.volatile)
        samples: list[dict[str, Any]] = [dict(sample) for sample in result.samples]
        milliseconds = volatile.pop("milliseconds", None)
        return cls(
            code=result.code,
            name=result.name,
            verdict=result.verdict,
            message=result.message,
            counts=dict(result.counts),
            samples=samples,
            seconds=None if milliseconds is None else milliseconds / 1000,
            volatile=volatile,
        )


class Record(_Model):
    """One execution of a notebook. The verdict is None for a completed notebook that has no checks."""

    schema_version: Literal[1] = 1
    run_id: str
    notebook: str
    notebook_sha256: str
    parameters: dict[str, bool | int | float | str | None]
    profile: str
    target: Target
    status: Status
    started_at: datetime
    ended_at: datetime
    verdict: Verdict | None
    exit_code: ExitCode
    error: RunError | None = None
    results: list[CheckRecord] = []
    optional_missing: list[str] = []
    versions: dict[str, str] = {}
    files: dict[str, str] = Field(default={}, description="what -> path inside the run's folder")

    @field_serializer("started_at", "ended_at")
    def _utc(self, moment: datetime) -> str:
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def to_json(self) -> str:
        """One JSON document, indented, ending in a newline; the same record always gives the same text."""
        return to_json_text(self.model_dump(mode="json"))

    def save(self, folder: Path) -> Path:
        """Write record.json into `folder`, whole or not at all; returns its path. Raises OSError."""
        path = folder / RECORD_NAME
        write_whole(path, self.to_json())
        return path


def load_record(path: Path) -> Record:
    """The record in a file, or in a run's folder. Raises RecordError if it is none."""
    path = path / RECORD_NAME if path.is_dir() else path
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The record {path} cannot be read: {error}.", "Check the path.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path} is no record: {key}: {first['msg']}.", "Was it edited by hand?") from error


def to_json_text(document: Any) -> str:
    """A document as the files of a run hold it: indented by one, ending in a newline. Raises ValueError for NaN."""
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """`with whole(path) as aside`: what is written to `aside` takes the place of `path` at the end, and none of it does
    if that fails; so a reader finds the old file or the new one, never a part. Raises OSError."""
    aside = aside_of(path)
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write `text` so that a reader finds the old file or the new one, never a part. Raises OSError."""
    with whole(path) as aside:
        aside.write_text(text, encoding="utf-8")
