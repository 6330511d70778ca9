"""`balancebook new`: what it writes runs green at once."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from balancebook.commands.new import new_notebook
from balancebook.errors import UsageError
from balancebook.runs.catalogue import read_entry
from e2e.commands import Desk


def test_a_new_notebook_runs_green(at: Desk) -> None:
    told = at("new", "my_balances")
    assert (told.code, told.stderr) == (0, "")
    assert told.stdout.startswith("Wrote my_balances.ipynb. ")
    done = at.run("my_balances.ipynb")
    assert (done.code, done.document["verdict"], done.verdicts) == (0, "pass", {"V001": "pass"})
    assert at.run("my_balances.ipynb", "-p", "view=nowhere", "--out", "other").code == 10


def test_without_its_check_it_has_no_verdict(at: Desk) -> None:
    at("new", "mine")
    path = at.folder / "mine.ipynb"
    document = json.loads(path.read_text())
    document["cells"] = [cell for cell in document["cells"] if cell["id"] != "check"]
    del document["metadata"]["balancebook"]
    path.write_text(json.dumps(document))
    done = at.run("mine.ipynb")
    assert (done.code, done.document["status"], done.document["verdict"]) == (0, "completed", None)
    assert (done.document["results"], done.document["error"]) == ([], None)
    words = at("run", "mine.ipynb", "--out", "other")
    assert (words.code, words.stdout.splitlines()[0]) == (0, "- none    mine (exit code 0)")


def test_what_is_written(tmp_path: Path) -> None:
    path = new_notebook(str(tmp_path / "dust-of-2026.ipynb"))
    nbformat.validate(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]
    entry = read_entry(path, "notebook")
    assert (entry.title, entry.required) == ("Dust of 2026", ("V001",))
    assert [parameter.name for parameter in entry.parameters] == ["keyspace", "view"]


@pytest.mark.parametrize("name", ["", ".", "a b", "-x", "../", "nowhere/x", "ü", "kept", "/proc/x"])
def test_names_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.ipynb").write_text("mine")
    with pytest.raises(UsageError) as refused:
        new_notebook(name)
    assert refused.value.parameter == "name"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.ipynb"]
