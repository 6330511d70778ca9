"""Notebooks that leave, hang, or are stopped: a broken run is never a verdict, and nothing of it stays behind."""

from __future__ import annotations

import resource
import signal
import time

import psutil
import pytest

from e2e.commands import Desk, Told

PASSES = "book.check('V001')"


def _assert_kept(desk: Desk, told: Told) -> None:
    """What is told is what is kept, with the notebook as far as it came."""
    record = desk.record()
    assert told.document == record.model_dump(mode="json")
    assert sorted(record.files) == ["notebook", "page", "record"]
    (folder,) = desk.runs.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == sorted(record.files.values())


@pytest.mark.parametrize(
    ("cell", "code", "said"),
    [
        ("import sys; sys.exit()", "cell_raised", "Cell 7 raised SystemExit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel", "Kernel died"),
        ("import asyncio; asyncio.run(asyncio.sleep(0))", "cell_raised", "Cell 7 raised RuntimeError"),
        ("import os; raise ValueError(os.environ['TEST_SECRET'])", "cell_raised", "ValueError: [secret]"),
    ],
)
def test_a_cell_that_ends_the_run(at: Desk, cell: str, code: str, said: str) -> None:
    told = at.run(at.notebook(PASSES, cell))
    assert (told.code, told.document["status"], told.document["error"]["code"]) == (12, "broken", code)
    assert said in told.document["error"]["message"]
    assert told.document["error"]["remedy"]
    assert told.document["verdict"] != "pass"
    _assert_kept(at, told)


def test_a_run_that_takes_too_long(at: Desk) -> None:
    told = at.run(at.notebook(PASSES, "import time; time.sleep(100)"), "--timeout", "1")
    assert (told.code, told.document["status"], told.document["verdict"]) == (12, "timed_out", "unknown")
    assert "--timeout" in told.document["error"]["remedy"]
    assert told.seconds < 60
    _assert_kept(at, told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped(at: Desk, number: signal.Signals) -> None:
    path = at.notebook(PASSES, "open('reached', 'w').close()\nimport time; time.sleep(100)")
    began = time.monotonic()
    process = at.start("run", path, "--out", "runs", "--json")
    while not (at.folder / "reached").exists():
        assert time.monotonic() < began + 60
        time.sleep(0.02)
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    process.send_signal(number)
    told = at.ended(process, began)
    assert (told.code, told.document["status"], told.document["verdict"]) == (130, "interrupted", "unknown")
    assert not [kernel for kernel in kernels if kernel.is_running()]
    _assert_kept(at, told)


def test_a_full_disk(at: Desk) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    told = at.run(at.notebook(PASSES, "print('x' * 10**6)"), preexec_fn=limit)
    assert told.code == 12
    error = told.document["error"]
    assert error["code"] == "broken"
    assert "The run cannot be saved in " in error["message"]
    assert "Make room" in error["suggestion"]
    assert list(at.runs.iterdir()) == []
