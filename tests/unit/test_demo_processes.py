"""Marks of processes, ports, locks and state files, on real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from balancebook.demo.processes import (
    Mark,
    ServiceError,
    locked,
    make_folder,
    mark_in,
    read_state,
    require_free,
    spawn,
    tail,
    wait_until,
    write_state,
)
from balancebook.errors import UsageError

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Mark]:
    mark = spawn(SLEEP, tmp_path / "log", cwd=tmp_path)
    assert wait_until(lambda: tail(tmp_path / "log") == "ready", mark, 20)
    yield mark
    mark.kill()


def test_a_process_runs_in_a_session_of_its_own_and_ends_when_told(sleeper: Mark) -> None:
    assert sleeper.alive
    assert os.getsid(sleeper.pid) == sleeper.pid
    sleeper.end(10)
    assert not sleeper.alive
    sleeper.end(10)


def test_a_recycled_pid_is_not_taken_for_the_process_and_never_signalled(sleeper: Mark) -> None:
    recycled = Mark(sleeper.pid, sleeper.created - 100)
    assert not recycled.alive
    recycled.kill()
    recycled.end(1)
    assert sleeper.alive


def test_an_unreaped_process_counts_as_ended() -> None:
    child = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)  # noqa: S603 (ours)
    mark = Mark.of(child.pid)
    child.kill()
    deadline = time.monotonic() + 10
    while mark.alive:
        assert time.monotonic() < deadline
    child.wait()


def test_a_paused_process_is_seen_and_ended_all_the_same(sleeper: Mark) -> None:
    sleeper.send(signal.SIGSTOP)
    assert wait_until(lambda: sleeper.paused, sleeper, 10)
    assert sleeper.alive
    sleeper.end(10)
    assert (sleeper.alive, sleeper.paused) == (False, False)


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    mark = spawn([sys.executable, "-c", code], tmp_path / "log", cwd=tmp_path)
    assert wait_until(lambda: tail(tmp_path / "log") == "ready", mark, 20)
    mark.end(0.2)
    assert not mark.alive


def test_waiting_ends_with_the_process_or_with_the_time(sleeper: Mark) -> None:
    assert not wait_until(lambda: False, sleeper, 0.2)
    sleeper.kill()
    started = time.monotonic()
    assert not wait_until(lambda: False, sleeper, 30)
    assert time.monotonic() - started < 5


def test_a_busy_port_is_named_with_its_holder_and_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError) as told:
            require_free("127.0.0.1", port, what="tea", variable="TEA_PORT")
    for part in (f"Port {port} on 127.0.0.1, wanted for tea", f"process {os.getpid()}", "set TEA_PORT"):
        assert part in str(told.value)
    require_free("127.0.0.1", port, what="tea", variable="TEA_PORT")


def test_a_lock_is_exclusive_and_freed_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from balancebook.demo.processes import locked\n"
        "with locked(Path(sys.argv[1]), timeout_s=5): print('ready', flush=True); time.sleep(60)"
    )
    holder = spawn([sys.executable, "-c", code, str(path)], tmp_path / "log", cwd=tmp_path)
    assert wait_until(lambda: tail(tmp_path / "log") == "ready", holder, 20)
    told: list[bool] = []
    with (
        pytest.raises(ServiceError, match=r"has held .*lock"),
        locked(path, timeout_s=0.2, waiting=lambda: told.append(True)),
    ):
        pytest.fail("the lock was held twice")
    assert told == [True]
    holder.kill()
    with locked(path, timeout_s=5):
        pass


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ('{"pid": 5, "created": 7.5}', Mark(5, 7.5)),
        ('{"pid": 5}', None),
        ('{"pid": "x", "created": 1}', None),
        ('{"pid": 5, "crea', None),
        ("[]", None),
        ("", None),
    ],
)
def test_a_cut_or_strange_state_file_names_no_process(tmp_path: Path, text: str, mark: Mark | None) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert mark_in(read_state(path)) == mark


def test_a_state_file_is_its_owners_alone_and_leaves_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"pid": 5, "created": 7.5})
    assert read_state(path) == {"pid": 5, "created": 7.5}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert mark_in(read_state(tmp_path / "none.json")) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/state cannot be made.*BALANCEBOOK_STATE"):
        make_folder(tmp_path / "file" / "state")


def test_a_log_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing") == "(no log)"
    (tmp_path / "log").write_text("a\nb\nc\n")
    assert tail(tmp_path / "log", 2) == "b\nc"
