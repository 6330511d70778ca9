"""The wheel holds what the package needs beside its code, and finds its notebooks from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
# What is not code, and that the package reads from its own folder.
DATA = {
    path.relative_to(ROOT / "lib").as_posix()
    for pattern in ("*.toml", "*.cql", "*.lock", "*.j2", "*.css")
    for path in (ROOT / "lib").rglob(pattern)
}
SHIPPED = {
    f"balancebook/_shipped/{folder}/{path.name}"
    for folder in ("notebooks", "runbooks")
    for path in (ROOT / folder).glob("*.ipynb")
}
LIST = "import json; from balancebook.runs.catalogue import list_entries; from balancebook.settings import load_profile"
ASK = f"{LIST}; load_profile('embedded'); print(json.dumps([str(entry.path) for entry in list_entries()]))"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network, and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 (our own command)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as file:
        file.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_nothing_is_left_out(unpacked: Path) -> None:
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {"balancebook/demo/jars.lock", "balancebook/runs/templates/run.html.j2"} <= DATA
    assert len(SHIPPED) >= 5
    assert held >= DATA | SHIPPED
    assert not [path for path in held if not path.startswith(("balancebook/", "balancebook-"))]


def test_notebooks_are_found_in_it(unpacked: Path) -> None:
    env = dict(os.environ) | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-c", ASK], env=env, cwd=unpacked, check=True, capture_output=True, text=True
    )
    assert {Path(path).relative_to(unpacked).as_posix() for path in json.loads(done.stdout)} == SHIPPED
