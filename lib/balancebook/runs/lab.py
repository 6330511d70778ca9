"""JupyterLab on copies of the shipped notebooks, its kernels told their profile and reached over local sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from jupyter_core.paths import jupyter_runtime_dir

from balancebook.errors import UsageError
from balancebook.runs.command import kernel_environment
from balancebook.settings import load_profile

# Each of these names the folder that JupyterLab opens.
_ROOT = {
    "--ServerApp.root_dir",
    "--ServerApp.notebook_dir",
    "--NotebookApp.notebook_dir",
    "--ServerApp.file_to_run",
    "--notebook-dir",
}
# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the last one NUL.
_LONGEST_SOCKET = 103
# As jupyter_client names a kernel's sockets: its connection file, and the number of one of its five channels.
_SOCKET_NAME = "kernel-00000000-0000-0000-0000-000000000000-ipc-0"


def open_lab(
    profile_name: str | None,
    arguments: Sequence[str],
    workspace: Callable[[], Path],
) -> NoReturn:
    """Become JupyterLab, so that signals reach it and its exit code is this command's.

    `workspace` makes the folder that it opens, if the arguments name none. Raises SettingsError for an unusable
    profile, UsageError if kernels could not open their sockets, and what `workspace` raises.
    """
    env = lab_environment(profile_name)
    _require_short(Path(jupyter_runtime_dir()))
    root = None if names_root(arguments) else workspace()
    command = lab_command(arguments, root, as_root=os.geteuid() == 0)
    sys.stdout.flush()
    os.execve(command[0], command, env)  # noqa: S606 (no shell is wanted)


def lab_environment(profile_name: str | None, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for JupyterLab, from which its kernels inherit the profile."""
    return {**env, **kernel_environment(load_profile(profile_name))}


def names_root(arguments: Sequence[str]) -> bool:
    """Whether the arguments say which folder to open: by an option, or by a file or folder."""
    return bool(_ROOT & _options(arguments)) or any(
        not argument.startswith("-") and Path(argument).exists() for argument in arguments
    )


def lab_command(arguments: Sequence[str], root: Path | None, *, as_root: bool) -> list[str]:
    """The command line. An option of ours that the user gives too is left out: JupyterLab refuses one given twice."""
    own = [f"--ServerApp.root_dir={root}"] if root else []
    own += ["--KernelManager.transport=ipc"]
    # JupyterLab refuses root by itself; in a container there is nobody else to be.
    own += ["--ServerApp.allow_root=True"] if as_root and "--allow-root" not in arguments else []
    given = _options(arguments)
    own = [option for option in own if not _options([option]) & given]
    return [sys.executable, "-m", "jupyterlab", *own, *arguments]


def _options(arguments: Sequence[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}


def _require_short(folder: Path) -> None:
    longest = len(os.fsencode(folder / _SOCKET_NAME))
    if longest > _LONGEST_SOCKET:
        raise UsageError(
            f"Kernels cannot open their sockets in {folder}: a socket's path may have {_LONGEST_SOCKET} bytes, "
            f"there it would have {longest}.",
            "Set JUPYTER_RUNTIME_DIR to a folder with a shorter path.",
            parameter="JUPYTER_RUNTIME_DIR",
        )
