"""nbval as its own process: it runs a notebook again and compares what comes out with what is stored in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def nbval(notebook: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What it says; its exit code is 0 if all outputs are equal."""
    # An empty configuration: this project's own is for its tests.
    options = [
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout=120",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
    ]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={notebook.parent}", str(notebook)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=notebook.parent)  # noqa: S603
