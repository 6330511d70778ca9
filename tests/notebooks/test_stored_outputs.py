"""nbval runs every notebook on the real demo exchange and compares what comes out with what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nbval_process import nbval

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("runbooks/*.ipynb")])
pytestmark = pytest.mark.timeout(300)


Exchange = Callable[[str], AbstractContextManager[dict[str, str]]]


@pytest.fixture(scope="module")
def fixed(exchange: Exchange) -> Iterator[dict[str, str]]:
    """The environment of a kernel on the exchange with the right gateway."""
    with exchange("fixed") as env:
        yield env


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_what_comes_out(notebook: Path, fixed: dict[str, str]) -> None:
    done = nbval(notebook, fixed)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    code_cells = sum(cell["cell_type"] == "code" for cell in json.loads(notebook.read_text())["cells"])
    assert f"{code_cells} passed" in done.stdout


def test_there_are_notebooks_to_check() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"readiness", "mv_checks", "balance_queries", "wrong_balance"}


def test_an_altered_balance_makes_it_fail(fixed: dict[str, str], tmp_path: Path) -> None:
    altered = tmp_path / "wrong_balance.ipynb"
    stored = (ROOT / "runbooks" / "wrong_balance.ipynb").read_text()
    assert stored.count("10100000") >= 1
    altered.write_text(stored.replace("10100000", "10100001"))
    done = nbval(altered, fixed)
    assert done.returncode == 1, done.stdout[-4000:]
    assert "10100001" in done.stdout
    assert "10100000" in done.stdout
