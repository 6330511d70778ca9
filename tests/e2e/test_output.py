"""What a command prints cannot be written, or its working folder is gone: the verdict's own code, or 12 and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.commands import Desk, Told

PASSES = "book.check('V001')"
FAILS = """\
from balancebook.checks.base import CHECKS, Check, failed
CHECKS['V001'] = Check('V001', 'view_exists', lambda ctx: failed('gone'))
book.check('V001')"""


def _told(desk: Desk, stdout: str, *arguments: str) -> Told:
    """The command with its stdout at a full device, or at a pipe that nobody reads."""
    if stdout == "/dev/full":
        with Path(stdout).open("w") as full:
            done = _done(desk, full.fileno(), *arguments)
    else:
        read, write = os.pipe()
        os.close(read)
        done = _done(desk, write, *arguments)
        os.close(write)
    desk.assert_clean()
    return Told(done.returncode, "", done.stderr, 0.0)


def _done(
    desk: Desk, stdout: int, *arguments: str, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "balancebook.cli", *arguments]
    return subprocess.run(  # noqa: S603 (our own command)
        command,
        cwd=desk.folder,
        env=desk.env,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize(("cell", "code", "as_json"), [(PASSES, 0, ()), (FAILS, 10, ("--json",))])
def test_a_pipe_that_nobody_reads(at: Desk, cell: str, code: int, as_json: tuple[str, ...]) -> None:
    told = _told(at, "pipe", "run", at.notebook(cell), "--out", "runs", *as_json)
    assert told.code == code, told
    assert at.record().exit_code == code
    assert "rror" not in told.stderr


@pytest.mark.parametrize(("cell", "code", "as_json"), [(FAILS, 10, ()), (PASSES, 0, ("--json",))])
def test_a_full_device(at: Desk, cell: str, code: int, as_json: tuple[str, ...]) -> None:
    told = _told(at, "/dev/full", "run", at.notebook(cell), "--out", "runs", *as_json)
    assert told.code == 12, told
    assert at.record().exit_code == code
    assert "balancebook: The output cannot be written: No space left on device." in told.stderr
    assert f"exit code {code}" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "--json"), ("--help",), ("run", "--help"), ("--version",)]
)
def test_commands_without_a_verdict(desk: Desk, arguments: tuple[str, ...]) -> None:
    assert (_told(desk, "pipe", *arguments).code, _told(desk, "/dev/full", *arguments).code) == (0, 12)


@pytest.mark.parametrize("stdout", ["pipe", "/dev/full"])
def test_a_refusal_stays_a_refusal(desk: Desk, stdout: str) -> None:
    told = _told(desk, stdout, "run", "no_such_notebook", "--json")
    assert told.code == 2
    assert "There is no notebook or runbook 'no_such_notebook'." in told.stderr


def test_messages_that_nobody_reads_change_no_verdict(at: Desk) -> None:
    with Path("/dev/full").open("w") as full:
        done = _done(
            at, subprocess.PIPE, "run", at.notebook(PASSES), "--out", "runs", "--json", stderr=full.fileno()
        )
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "pass")


@pytest.mark.parametrize("arguments", [("run", "readiness"), ("list",), ("reconcile", "a.b"), ("status",)])
def test_a_working_folder_that_was_removed(desk: Desk, arguments: tuple[str, ...]) -> None:
    gone = desk.folder / "gone"
    gone.mkdir()
    script = f"rmdir {gone}; exec {sys.executable} -m balancebook.cli {' '.join(arguments)} --json"
    env = {name: value for name, value in desk.env.items() if name != "BALANCEBOOK_STATE"}
    began = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 (our own command)
        ["/bin/sh", "-c", script],
        cwd=gone,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = desk.ended(process, began)
    assert told.code == 12, told
    assert "working folder" in told.document["error"]["message"]
    assert told.document["error"]["suggestion"]


def test_a_working_folder_that_is_removed_meanwhile(at: Desk) -> None:
    here = at.folder / "here"
    here.mkdir()
    path = at.folder / at.notebook(f"import shutil; shutil.rmtree({str(here)!r})", PASSES)
    at.env["BALANCEBOOK_CONFIG"] = str(at.folder / "balancebook.toml")
    command = [sys.executable, "-m", "balancebook.cli", "run", str(path), "--out", str(at.runs), "--json"]
    done = subprocess.run(command, cwd=here, env=at.env, capture_output=True, text=True, check=False)  # noqa: S603
    assert "Traceback" not in done.stderr
    assert (done.returncode, json.loads(done.stdout).get("verdict")) == (0, "pass"), done
