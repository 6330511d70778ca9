"""The command line as a person or a program has it: a process, its two streams, its exit code, the files it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balancebook import demo
from balancebook.demo.schema import VIEW
from balancebook.record import Record, load_record
from ports import free_ports
from runs.notebooks import write_notebook

KEYSPACE = f"Trading_{os.getpid()}"
SECRET = "sw0rdfish-of-the-test"
_ASSETS = Path(demo.__file__).parent / "assets.toml"
_OPEN = "from balancebook import notebook\nbook = notebook.open()"
# The command line's own bound is an hour; a test that waits longer than this has found a hang.
HANGS_S = 150


@dataclass(frozen=True)
class Told:
    """What a command told: its exit code, both streams, and how long it took."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def document(self) -> Any:
        """The one JSON document of stdout."""
        return json.loads(self.stdout)

    @property
    def verdicts(self) -> dict[str, str]:
        """Check code -> verdict, of a record."""
        return {result["code"]: result["verdict"] for result in self.document["results"]}

    def message(self, code: str) -> str:
        """What that check says."""
        return next(str(r["message"]) for r in self.document["results"] if r["code"] == code)


@dataclass
class Desk:
    """A working folder with its own state and, perhaps, a balancebook.toml; the secret is in the environment only."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {"BALANCEBOOK_STATE": str(self.folder / ".balancebook"), "TEST_SECRET": SECRET}
        self.env = dict(os.environ) | own | self.env

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def start(self, *arguments: str, **changes: Any) -> subprocess.Popen[str]:
        """The command, running in the folder."""
        return subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "balancebook.cli", *arguments],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **changes,
        )

    def ended(self, process: subprocess.Popen[str], began: float) -> Told:
        """What it told, once it ended. Whatever happened: no traceback, no secret, nothing half-written."""
        try:
            stdout, stderr = process.communicate(timeout=HANGS_S)
        finally:
            process.kill()
        told = Told(process.returncode, stdout, stderr, time.monotonic() - began)
        assert "Traceback" not in stdout + stderr, told
        assert SECRET not in stdout + stderr, told
        self.assert_clean()
        return told

    def __call__(self, *arguments: str, **changes: Any) -> Told:
        began = time.monotonic()
        return self.ended(self.start(*arguments, **changes), began)

    def run(self, name: str, *arguments: str, **changes: Any) -> Told:
        """`balancebook run NAME ... --json`, kept in `runs`."""
        out = () if "--out" in arguments else ("--out", "runs")
        return self("run", name, *arguments, *out, "--json", **changes)

    def assert_clean(self) -> None:
        """No file holds the secret; nothing is left aside."""
        for path in self.folder.rglob("*"):
            assert not path.name.startswith(".20"), f"left half-written: {path}"
            assert not path.name.endswith(".aside"), f"left half-written: {path}"
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path

    def record(self) -> Record:
        """The only run that was kept."""
        (folder,) = self.runs.iterdir()
        return load_record(folder)

    def profile(
        self,
        *,
        port: int | None = None,
        gateway: str = "",
        headers: Mapping[str, str] | None = None,
        ca: Path | None = None,
        **keys: Any,
    ) -> None:
        """A balancebook.toml with one quick profile `site`, the default; without a port nothing listens there."""
        known: dict[str, Any] = {
            "contact_points": ["127.0.0.1"],
            "port": port or free_ports(1)[0],
            "local_dc": "datacenter1",
            "view": VIEW,
            "registry": str(_ASSETS),
            "grace_s": 0.3,
        }
        tables: dict[str, Mapping[str, Any]] = {
            "": known | keys,
            ".gateway": {"url": gateway or f"http://127.0.0.1:{free_ports(1)[0]}", "timeout_s": 1.0},
            ".limits": {"connect_timeout_s": 2.0, "request_timeout_s": 2.0},
        }
        if headers:
            tables[".gateway.headers"] = headers
        if ca:
            tables[".tls"] = {"ca": str(ca)}
        text = "\n".join(_table(f"profiles.site{name}", table) for name, table in tables.items())
        (self.folder / "balancebook.toml").write_text(f'default_profile = "site"\n{text}')

    def notebook(self, *cells: str, required: tuple[str, ...] = ("V001",)) -> str:
        """A notebook that opens, runs these cells and closes; its path, relative to the folder."""
        write_notebook(self.folder / "asked.ipynb", _OPEN, *cells, "book.close()", required=required)
        return "./asked.ipynb"


def _table(name: str, keys: Mapping[str, Any]) -> str:
    # A JSON value of these types is a TOML value too.
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]) + "\n"


def assert_refused(
    told: Told, said: str, *, parameter: str | None = None, suggestion: str | None = None
) -> None:
    """Exit code 2: one line that names what is wrong and one with the remedy, in both languages."""
    assert told.code == 2, told
    assert set(told.document) == {"error"}
    error = told.document["error"]
    assert set(error) == {"code", "parameter", "message", "suggestion"}
    assert said in error["message"]
    assert error["suggestion"], "no remedy"
    assert parameter in (None, error["parameter"])
    assert suggestion in (None, error["suggestion"])
    first, second = told.stderr.splitlines()
    assert first == f"balancebook: {error['message']}"
    assert second.startswith("  ")
