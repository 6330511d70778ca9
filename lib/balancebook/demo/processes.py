"""Processes that outlive the command that started them: marks that survive a recycled pid, locks, atomic state."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from balancebook.core.files import unwritable
from balancebook.errors import BalancebookError, UsageError

# The kernel counts start times from boot, so a stepped clock moves them a little: a recycled pid is far beyond this.
_SAME_START_S = 2.0
_POLL_S = 0.05


class ServiceError(BalancebookError):
    """A background process that cannot be started, reached or stopped."""

    code = "service"


@dataclass(frozen=True, slots=True)
class Mark:
    """One process: its pid and when it was created (epoch seconds), so that a recycled pid is never taken for it."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Mark:
        """The mark of a running process. Raises ServiceError if there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error as error:
            raise ServiceError(f"Process {pid} is gone.", "See its log.") from error

    def process(self) -> psutil.Process | None:
        """The process, or None if it ended (an unreaped one counts as ended) or the pid is another's by now."""
        try:
            process = psutil.Process(self.pid)
            # A dying JVM's first thread is a zombie while others still hold its ports and files: not ended yet.
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                return None
            return process if abs(process.create_time() - self.created) < _SAME_START_S else None
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self.process() is not None

    @property
    def paused(self) -> bool:
        """Whether the process is stopped by SIGSTOP."""
        process = self.process()
        with suppress(psutil.NoSuchProcess):
            return process is not None and process.status() == psutil.STATUS_STOPPED
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process has ended."""
        process = self.process()
        with suppress(psutil.NoSuchProcess):
            if process:
                process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process; whether it ended in time."""
        deadline = time.monotonic() + timeout_s
        while self.alive:
            # Not psutil's wait: under an init that reaps nothing it would wait for ever.
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def end(self, grace_s: float) -> None:
        """SIGTERM (after SIGCONT, since a paused process hears nothing), then SIGKILL after `grace_s` seconds."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not self.wait(grace_s):
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Raises ServiceError if it does not go."""
        self.send(signal.SIGKILL)
        if not self.wait(10.0):
            raise ServiceError(f"Process {self.pid} does not end, even by SIGKILL.", "Its disk may hang.")


def spawn(argv: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str] = os.environ) -> Mark:
    """Start a detached process in a session of its own, its output in `log` (begun anew); returns its mark."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (our own command line, no shell)
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    return Mark.of(process.pid)


def wait_until(ready: Callable[[], bool], mark: Mark, timeout_s: float) -> bool:
    """Poll until `ready()`; False as soon as the process has ended, or when the time is up."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if ready():
            return True
        if not mark.alive:
            return False
        time.sleep(_POLL_S)
    return False


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, or a note that there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. SO_REUSEADDR: closing connections of an earlier server do not count."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listener_on(port: int) -> psutil.Process | None:
    """The process that listens on a TCP port, if the operating system lets us see it."""
    with suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
                continue
            if connection.laddr.port == port:
                return psutil.Process(connection.pid)
    return None


def require_free(host: str, port: int, *, what: str, variable: str) -> None:
    """Raises UsageError that names the port, its holder if known, and the variable that changes it."""
    if port_is_free(host, port):
        return
    holder = listener_on(port)
    by = f" by {holder.name()} (process {holder.pid})" if holder else ""
    raise UsageError(
        f"Port {port} on {host}, wanted for {what}, is in use{by}.",
        f"Stop that, or set {variable} to a free port.",
        parameter=variable,
    )


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a JSON file atomically, readable by its owner only."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.touch(mode=0o600)
    aside.write_text(json.dumps(state, indent=2) + "\n")
    aside.replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """The JSON object of a state file; None if there is none, or none that can be read: it is then written anew."""
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def mark_in(state: Mapping[str, Any] | None) -> Mark | None:
    """The process that a state file names, or None if it names none."""
    try:
        return Mark(int(state["pid"]), float(state["created"])) if state else None
    except (KeyError, TypeError, ValueError):
        return None


def make_folder(path: Path) -> Path:
    """Create a folder and its parents. Raises UsageError if it cannot be written, BrokenRun if the disk is full."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(
            f"The folder {path} cannot be made",
            error,
            "Name another one: BALANCEBOOK_STATE.",
            parameter="BALANCEBOOK_STATE",
        ) from error
    return path


@contextmanager
def locked(path: Path, *, timeout_s: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system frees it even after kill -9.

    `waiting` is called once if another process holds it. Raises ServiceError after `timeout_s` seconds.
    """
    make_folder(path.parent)
    with path.open("ab") as file:
        deadline, told = time.monotonic() + timeout_s, False
        while not _try_lock(file.fileno()):
            if not told:
                waiting()
            told = True
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Another process has held {path} for {timeout_s:.0f} s.", "End it, or wait."
                )
            time.sleep(_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
