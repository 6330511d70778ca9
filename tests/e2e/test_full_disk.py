"""A full disk and paths that cannot be written: 12 or 2 with the reason, before anything is read where possible."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from balancebook.core.files import require_writable_file, require_writable_folder
from balancebook.demo.schema import VIEW
from balancebook.errors import BrokenRun, UsageError
from e2e.commands import KEYSPACE, Desk, Told, assert_refused
from ports import free_ports

Command = Callable[..., Told]
PORTS = ("PORT", "STORAGE_PORT", "ADMIN_PORT", "GATEWAY_PORT")
TARGET = f"{KEYSPACE}.{VIEW}"


def _no_file_may_grow() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.fixture(params=["tmpfs", "limit"])
def full(request: pytest.FixtureRequest, at: Desk) -> Iterator[Command]:
    """The command with its state on a full disk: one of its own, or where that cannot be mounted, a limit that fails
    every write as a full disk does."""
    state = at.folder / "state"
    state.mkdir()
    at.env["BALANCEBOOK_STATE"] = str(state)
    at.env |= {
        f"BALANCEBOOK_{name}": str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)
    }
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(state)]
    own = request.param == "tmpfs" and os.geteuid() == 0
    if not own or subprocess.run(mount, capture_output=True, check=False).returncode:  # noqa: S603 (our own command)
        yield lambda *arguments: at(*arguments, preexec_fn=_no_file_may_grow)
        return
    try:
        with pytest.raises(OSError, match="No space"), (state / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        yield at
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)  # noqa: S603, S607 (our own command)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "./asked.ipynb"),
        ("reconcile", TARGET),
        ("reconcile", TARGET, "--differences", "state/all.parquet"),
        ("reconcile", TARGET, "--within", "1"),
        ("up",),
    ],
)
def test_the_state_folder_is_on_a_full_disk(at: Desk, full: Command, arguments: tuple[str, ...]) -> None:
    at.notebook("book.check('V001')")
    told = full(*arguments, "--json")
    assert told.code == 12, told
    error = told.document["error"]
    assert (error["code"], error["suggestion"] is not None) == ("broken", True), error
    reasons = ("No space left on device", "File too large", "No usable temporary directory")
    assert any(reason in error["message"] for reason in reasons), error
    assert told.stderr.strip().splitlines()[-2] == f"balancebook: {error['message']}"


@pytest.mark.parametrize(
    "path", ["/proc/x.parquet", "/dev/null", ".", "missing/x.parquet", f"{'x' * 300}.parquet"]
)
def test_differences_that_cannot_be_written_are_refused_at_once(desk: Desk, path: str) -> None:
    """No server is there: to ask it would be unknown, not refused."""
    desk.profile()
    told = desk("reconcile", TARGET, "--differences", path, "--json")
    assert_refused(told, f"{path} cannot be written: ", parameter="differences")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("path", ["/proc/runs", "balancebook.toml", "balancebook.toml/runs"])
def test_an_out_folder_that_cannot_be_written_is_refused_at_once(desk: Desk, path: str) -> None:
    desk.profile()
    told = desk.run("readiness", "--out", path)
    assert_refused(told, f"Runs cannot be kept in {path}: ", parameter="out")


def test_a_pinned_view_that_cannot_be_written_is_refused_at_once(desk: Desk) -> None:
    desk.profile()
    told = desk("view", "pin", "--to", "/proc/view.cql")
    assert (told.code, told.stdout) == (2, "")
    assert told.stderr.startswith("balancebook: /proc/view.cql cannot be written: No such file or directory.")


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    require_writable_file(tmp_path / "new", "to")
    require_writable_file(tmp_path / "kept", "to")
    require_writable_folder(tmp_path / "a" / "b", "Runs", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_a_read_only_folder(tmp_path: Path) -> None:
    """As a person without rights finds it; root may write anywhere but below /sys and /proc."""
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        require_writable_file(folder / "x", "to")
    with pytest.raises(UsageError, match="Runs cannot be kept"):
        require_writable_folder(folder / "x", "Runs", "out")
    tmp_path.chmod(0o700)


def test_too_many_open_files_are_no_wrong_path(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(BrokenRun, match="Too many open files"):
            require_writable_file(tmp_path / "x", "to")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
