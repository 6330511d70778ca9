"""JupyterLab on the shipped notebooks, its kernels told their profile and reached over local sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from jupyter_core.paths import jupyter_runtime_dir

from balancebook.errors import UsageError
from balancebook.runs.catalogue import shipped_folder
from balancebook.runs.command import kernel_environment
from balancebook.settings import load_profile

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the last one NUL.
_LONGEST_SOCKET = 103
# As jupyter_client names a kernel's sockets: its connection file, and the number of one of its five channels.
_SOCKET_NAME = "kernel-00000000-0000-0000-0000-000000000000-ipc-0"


def open_lab(profile_name: str | None, arguments: Sequence[str]) -> NoReturn:
    """Become JupyterLab, so that signals reach it and its exit code is this command's.

    Raises SettingsError for an unusable profile, UsageError if kernels could not open their sockets.
    """
    env = lab_environment(profile_name)
    _require_short(Path(jupyter_runtime_dir()))
    command = lab_command(arguments, as_root=os.geteuid() == 0)
    sys.stdout.flush()
    os.execve(command[0], command, env)  # noqa: S606 (no shell is wanted)


def lab_environment(profile_name: str | None, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for JupyterLab, from which its kernels inherit the profile."""
    return {**env, **kernel_environment(load_profile(profile_name))}


def lab_command(arguments: Sequence[str], *, as_root: bool) -> list[str]:
    """The command line; what the user adds comes last and so wins."""
    own = [f"--ServerApp.root_dir={shipped_folder()}", "--KernelManager.transport=ipc"]
    # JupyterLab refuses root by itself; in a container there is nobody else to be.
    own += ["--allow-root"] if as_root else []
    return [sys.executable, "-m", "jupyterlab", *own, *arguments]


def _require_short(folder: Path) -> None:
    longest = len(os.fsencode(folder / _SOCKET_NAME))
    if longest > _LONGEST_SOCKET:
        raise UsageError(
            f"Kernels cannot open their sockets in {folder}: a socket's path may have {_LONGEST_SOCKET} bytes, "
            f"there it would have {longest}.",
            "Set JUPYTER_RUNTIME_DIR to a folder with a shorter path.",
            parameter="JUPYTER_RUNTIME_DIR",
        )
