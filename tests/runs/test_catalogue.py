"""What can be run is found by name or path, described without executing it, and refused when it is malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from balancebook.errors import UsageError
from balancebook.runs import catalogue
from balancebook.runs.catalogue import find_entry, list_entries
from runs.notebooks import code_cell, write_notebook


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "lib" / "balancebook"
    package.mkdir(parents=True)
    for folder, name in (
        ("notebooks", "readiness"),
        ("notebooks", "mv_checks"),
        ("runbooks", "wrong_balance"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_notebook(tmp_path / folder / f"{name}.ipynb", required=["V001"], optional=["V004"])
    monkeypatch.setattr(catalogue.balancebook, "__file__", str(package / "__init__.py"))  # type: ignore[attr-defined]
    return tmp_path


def test_a_checkout_is_listed(shipped: Path) -> None:
    assert [(e.name, e.kind) for e in list_entries()] == [
        ("mv_checks", "notebook"),
        ("readiness", "notebook"),
        ("wrong_balance", "runbook"),
    ]
    entry = find_entry("readiness")
    assert (entry.title, entry.description) == ("A question", "What it asks.")
    assert [p.name for p in entry.parameters] == ["user_id", "note"]
    assert (entry.required, entry.optional) == (("V001",), ("V004",))
    assert entry.path == shipped / "notebooks" / "readiness.ipynb"
    assert len(entry.sha256) == 64


def test_a_wheel_is_listed(shipped: Path) -> None:
    inside = shipped / "lib" / "balancebook" / "_shipped" / "notebooks"
    inside.mkdir(parents=True)
    write_notebook(inside / "only.ipynb")
    assert [entry.name for entry in list_entries()] == ["only"]


def test_by_path(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped)
    assert find_entry("runbooks/wrong_balance.ipynb").kind == "runbook"
    assert find_entry(str(shipped / "notebooks" / "readiness.ipynb")).kind == "notebook"


def test_an_unknown_name_gets_a_suggestion(shipped: Path) -> None:  # noqa: ARG001 (what there is)
    with pytest.raises(UsageError, match="Did you mean readiness") as refused:
        find_entry("redyness")
    assert refused.value.suggestion == "readiness"
    with pytest.raises(UsageError, match="Known: mv_checks, readiness, wrong_balance"):
        find_entry("zzz")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no JSON"),
        ("[]", "format 4"),
        ('{"nbformat": 3}', "format 4"),
        ('{"nbformat": 4, "cells": [1], "metadata": {}}', "malformed"),
        ('{"nbformat": 4, "cells": []}', "malformed"),
        ("\x00", "no JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_notebook(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        find_entry(str(path))


def test_what_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "x.ipynb", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            find_entry(str(path))


@pytest.mark.parametrize(
    "own",
    [
        [],
        {"checks": []},
        {"checks": {"required": "V001"}},
        {"checks": {"required": ["view_exists"]}},
        {"checks": {"required": [1]}},
        {"checks": {"required": ["V001"], "optional": ["V001"]}},
        {"checks": {"required": ["V001", "V001"]}},
    ],
)
def test_malformed_declarations(tmp_path: Path, own: Any) -> None:
    path = write_notebook(tmp_path / "x.ipynb")
    document = json.loads(path.read_text())
    document["metadata"]["balancebook"] = own
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"metadata\.balancebook\.checks"):
        find_entry(str(path))


def test_a_malformed_parameters_cell_names_the_notebook(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "x.ipynb", code_cell("y: int = 1", "parameters"))
    with pytest.raises(UsageError, match="x: the parameters cell: 2 cells"):
        find_entry(str(path))
