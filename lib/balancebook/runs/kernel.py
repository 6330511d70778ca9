"""One kernel process of this very Python, reached over local sockets in a private folder.

It is started here and not by papermill, for three reasons: it boots while papermill is being imported; a kernel
spec of the user's (which may belong to another environment) is not mistaken for it; and when it must go, its
whole process group goes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

KERNEL_NAME = "python3"
_LOG_TAIL = 2000
_LONGEST_FOLDER = 80


class _ThisPython(KernelSpecManager):
    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class _Manager(AsyncKernelManager):
    """Remembers the client that nbclient makes, which it leaves open for a kernel that it did not start."""

    made: Any = None

    def client(self, **kwargs: Any) -> Any:
        self.made = super().client(**kwargs)
        return self.made


class Kernel:
    """A running kernel. Leaving the context kills it and all that it started."""

    def __init__(self, env: Mapping[str, str]) -> None:
        local = os.name == "posix"
        # A socket's path may have about 100 characters, and a user's TMPDIR may be deep.
        deep = local and len(tempfile.gettempdir()) > _LONGEST_FOLDER
        self._folder = Path(tempfile.mkdtemp(prefix="bb-", dir="/tmp" if deep else None))  # noqa: S108 (private)
        self.manager = _Manager(
            kernel_name=KERNEL_NAME,
            kernel_spec_manager=_ThisPython(),
            connection_file=str(self._folder / "kernel.json"),
            **({"transport": "ipc", "ip": str(self._folder / "k")} if local else {}),
        )
        # The user's own IPython start-up files and settings must not change what a run finds.
        self._env = {**os.environ, **env, "IPYTHONDIR": str(self._folder / "ipython")}
        self.pid: int | None = None

    def __enter__(self) -> Kernel:
        # Neither stream may reach the runner's own: its stdout is one JSON document, and nothing is scrubbed there.
        with (self._folder / "log").open("wb") as log:
            run_sync(self.manager.start_kernel)(
                extra_arguments=["--HistoryManager.enabled=False"], env=self._env, stdout=log, stderr=log
            )
        self.pid = self._process().pid
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self.manager.made is not None:
            self.manager.made.stop_channels()
        run_sync(self._process().wait)()
        self.pid = None  # reaped: the number may soon be another process
        run_sync(self.manager.cleanup_resources)()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _process(self) -> Any:
        return self.manager.provisioner

    def kill(self) -> None:
        """Kill the kernel and its children at once; safe in signal handlers and threads, and when it is dead."""
        if self.pid is None:
            return
        try:
            if os.name == "posix":
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            return  # already gone (macOS says EPERM for a group of zombies)

    def log(self) -> str:
        """The end of what the process wrote outside of any cell: why it died, perhaps."""
        return (self._folder / "log").read_text(errors="replace")[-_LOG_TAIL:].strip()
