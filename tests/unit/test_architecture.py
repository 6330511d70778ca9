"""What no single test sees: imports go where they may, and code is typed, linted and formatted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# As `make lint` runs them.
LINT = ("ruff check .", "ruff format --check .", "mypy", "lint-imports")
# One forbidden import for each contract, by the module that would have it.
FORBIDDEN = {
    "imports go downwards": ("errors.py", "balancebook.settings"),
    "demo stands beside: nothing but the command line imports it": (
        "gateway/client.py",
        "balancebook.demo.schema",
    ),
    "judge and judged share no code: the demo gateway stands alone": (
        "demo/gateway/amounts.py",
        "balancebook.assets",
    ),
    "only the demo writes to a database": ("checks/truth.py", "balancebook.store.admin"),
}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command.split()
    env = os.environ | {"NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(  # noqa: S603 (our own command line)
        [BIN / program, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", LINT)
def test_lint(command: str) -> None:
    done = run(command, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_lint_runs_the_same() -> None:
    recipe = re.search(r"^lint:.*\n\t(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert recipe[1].split(" && ") == [f"$(BIN)/{command}" for command in LINT]


def test_each_import_contract_can_be_broken(tmp_path: Path) -> None:
    """A contract that names a module which is gone, or too few, would be kept whatever is imported."""
    shutil.copytree(ROOT / "lib" / "balancebook", tmp_path / "balancebook")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, imported in FORBIDDEN.values():
        with (tmp_path / "balancebook" / module).open("a") as file:
            file.write(f"\nimport {imported}\n")
    done = run("lint-imports --no-cache", tmp_path)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == set(FORBIDDEN)
    for name, (module, imported) in FORBIDDEN.items():
        assert f"{name} BROKEN" in done.stdout, done.stdout
        importer = f"balancebook.{module.removesuffix('.py').replace('/', '.')}"
        assert f"{importer} -> {imported}" in done.stdout


def test_reconcile_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, balancebook.runs.reconcile_command\n"
        "found = {'pandas', 'pyarrow', 'distributed', 'matplotlib', 'IPython'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)
