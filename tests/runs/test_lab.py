"""`balancebook lab`: a real JupyterLab whose kernels know the profile and listen on no TCP port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import pytest
from tornado.websocket import websocket_connect

from balancebook.commands.workspace import refresh
from balancebook.errors import BrokenRun, UsageError
from balancebook.runs import lab
from balancebook.runs.catalogue import find_entry
from balancebook.settings import SettingsError
from ports import free_ports

pytestmark = pytest.mark.e2e

TOKEN = "lab-test"
WITHIN_S = 60


@dataclass(frozen=True)
class Lab:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    port: int
    runtime: Path
    state: Path

    def execute(self, kernel: str, code: str) -> str:
        """What the code prints in that kernel, asked over the server's own channel."""
        url = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel}/channels?token={TOKEN}"
        return asyncio.run(asyncio.wait_for(_execute(url, code), WITHIN_S))


async def _execute(url: str, code: str) -> str:
    channel = await websocket_connect(url)
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "s"}
    request = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell"}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    await channel.write_message(json.dumps(request | {"content": content}))
    while (text := await channel.read_message()) is not None:
        message = json.loads(text)
        if message["msg_type"] == "stream":
            return str(message["content"]["text"]).strip()
    raise AssertionError("the kernel printed nothing")


def _environment(folder: Path) -> dict[str, str]:
    here = {
        "BALANCEBOOK_STATE": str(folder / "state"),
        "JUPYTER_RUNTIME_DIR": str(folder / "rt"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    return dict(os.environ) | here


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "balancebook.cli", "lab", *arguments]


@pytest.fixture
def running_lab() -> Iterator[Lab]:
    """A lab without a browser on a free port; ended with its kernels."""
    with _lab() as lab:
        yield lab


@contextmanager
def _lab(*arguments: str) -> Iterator[Lab]:
    port = free_ports(1)[0]
    # pytest's own folders have names too long for a socket in them.
    with TemporaryDirectory(prefix="bb-") as name, (Path(name) / "log").open("wb") as log:
        folder = Path(name)
        command = _command("--no-browser", f"--port={port}", f"--IdentityProvider.token={TOKEN}", *arguments)
        process = subprocess.Popen(command, env=_environment(folder), cwd=folder, stdout=log, stderr=log)  # noqa: S603 (our own command)
        headers = {"Authorization": f"token {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            try:
                _wait_until_up(process, client, folder / "log")
                yield Lab(process, client, port, folder / "rt", folder / "state")
            finally:
                process.terminate()
                process.wait(WITHIN_S)


def _wait_until_up(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if client.get("/api/status").status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def _kernel_process(lab_pid: int, kernel: str) -> psutil.Process:
    children = psutil.Process(lab_pid).children(recursive=True)
    return next(child for child in children if any(kernel in word for word in child.cmdline()))


def test_a_kernel_of_the_lab(running_lab: Lab) -> None:
    names = {entry["name"] for entry in running_lab.client.get("/api/contents/").json()["content"]}
    assert {"notebooks", "runbooks"} <= names

    kernel = running_lab.client.post("/api/kernels").json()["id"]
    told = "import os; print(os.environ['BALANCEBOOK_PROFILE'], os.environ['BALANCEBOOK_STATE'])"
    assert running_lab.execute(kernel, told) == f"embedded {running_lab.state}"

    connection: dict[str, Any] = json.loads((running_lab.runtime / f"kernel-{kernel}.json").read_text())
    assert connection["transport"] == "ipc"
    process = _kernel_process(running_lab.process.pid, kernel)
    # The one that may listen is ipykernel's pipe for the output of forked children: it speaks no kernel protocol.
    listening = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert len(listening) <= 1
    assert all(one.laddr.ip == "127.0.0.1" for one in listening)
    assert len([one for one in process.net_connections("unix") if connection["ip"] in str(one.laddr)]) >= 5

    # Ctrl-C reaches JupyterLab itself; a kernel ends when its parent has.
    running_lab.process.send_signal(signal.SIGINT)
    assert running_lab.process.wait(WITHIN_S) == 0
    process.wait(WITHIN_S)


def test_the_exit_code_is_that_of_jupyterlab(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 (our own command)
        _command("--no-browser", "--port=none"),
        env=_environment(tmp_path) | {"JUPYTER_RUNTIME_DIR": "/tmp/bb-none"},  # noqa: S108 (nothing is made there)
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 1
    assert b"port" in done.stderr


def test_the_lab_opens_copies(running_lab: Lab) -> None:
    """Whatever a person runs and saves there, the shipped notebooks stay as they are."""
    shipped = find_entry("readiness").path
    before = shipped.read_bytes()
    path = "/api/contents/notebooks/readiness.ipynb"
    model = running_lab.client.get(path).json()
    model["content"]["cells"][0]["source"] = "# Mine"
    assert (
        running_lab.client.put(path, json={"type": "notebook", "content": model["content"]}).status_code
        == 200
    )
    copy = running_lab.state / "lab" / "notebooks" / "readiness.ipynb"
    assert "# Mine" in copy.read_text()
    assert shipped.read_bytes() == before


@pytest.mark.parametrize("argument", ["--ServerApp.root_dir={}", "--notebook-dir={}", "{}"])
def test_a_folder_of_the_users(tmp_path: Path, argument: str) -> None:
    (tmp_path / "mine.ipynb").write_text("{}")
    with _lab(argument.format(tmp_path)) as own:
        names = {entry["name"] for entry in own.client.get("/api/contents/").json()["content"]}
        assert names == {"mine.ipynb"}
        assert not (own.state / "lab").exists()


def test_an_option_of_the_users_takes_the_place_of_ours(tmp_path: Path) -> None:
    command = lab.lab_command(["--port=1", "--KernelManager.transport=tcp"], tmp_path, as_root=False)
    assert command[3:] == [f"--ServerApp.root_dir={tmp_path}", "--port=1", "--KernelManager.transport=tcp"]
    assert "--ServerApp.allow_root=True" in lab.lab_command([], tmp_path, as_root=True)
    for own in ("--allow-root", "--ServerApp.allow_root=False"):
        assert "--ServerApp.allow_root=True" not in lab.lab_command([own], tmp_path, as_root=True)


def test_copies_are_kept_until_the_original_changes(tmp_path: Path) -> None:
    entry, told = find_entry("mv_checks"), list[str]()
    folder = tmp_path / "lab"
    copy = refresh(folder, [entry], told.append) / "notebooks" / "mv_checks.ipynb"
    assert copy.read_bytes() == entry.path.read_bytes()
    copy.write_text("changed")
    refresh(folder, [entry], told.append)
    assert (copy.read_text(), told) == ("changed", [])
    newer = replace(entry, sha256="0" * 64)
    for number, kept in ((1, "changed"), (2, entry.path.read_text())):
        newer = replace(newer, sha256=str(number) * 64)
        refresh(folder, [newer], told.append)
        assert copy.with_name(f"mv_checks_{number}.ipynb").read_text() == kept
        assert copy.read_bytes() == entry.path.read_bytes()
    assert told[0] == "notebooks/mv_checks.ipynb has a new version; yours is kept as mv_checks_1.ipynb"


def test_a_workspace_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("")
    with pytest.raises(BrokenRun, match="cannot be copied"):
        refresh(tmp_path / "lab", [find_entry("mv_checks")], lambda _: None)


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("JupyterLab was started"))
    with pytest.raises(SettingsError):
        lab.open_lab("nowhere", [], Path)


def test_a_folder_too_deep_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("JupyterLab was started"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", f"/var/{'d' * 60}")
    with pytest.raises(UsageError) as caught:
        lab.open_lab(None, [], Path)
    assert "JUPYTER_RUNTIME_DIR" in caught.value.remedy
