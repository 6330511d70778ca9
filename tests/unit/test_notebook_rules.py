"""Every shipped notebook keeps the rules, and each rule is seen to find what breaks it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import notebook_rules as rules
from notebook_rules import RULES, Rule

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("runbooks/*.ipynb")])

Break = Callable[[dict[str, Any]], None]


def test_there_are_notebooks_and_runbooks() -> None:
    assert {path.parent.name for path in NOTEBOOKS} == {"notebooks", "runbooks"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_keeps_the_rules(path: Path, rule: Rule) -> None:
    assert list(rule(json.loads(path.read_text(encoding="utf-8")))) == []


def code(
    name: str, source: str, number: int, *outputs: dict[str, Any], tags: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "execution_count": number,
        "outputs": list(outputs),
    }


def prose(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def shows(words: str | list[str]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/plain": words}}


GOOD: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "balancebook": {"checks": {"required": ["V001"], "optional": ["V005"]}, "target": "embedded"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    },
    "cells": [
        prose("title", "# A question"),
        code("parameters", "user_id: int = 5  # whose balances [0..9]", 1, tags=("parameters",)),
        code("open", "from balancebook import notebook\n\nbook = notebook.open()", 2),
        prose("view", "## Is it there?"),
        code("view-exists", 'book.check("V001")\nbook.check("V005")', 3, shows("✔ pass  V001")),
        prose("conclusion", "## Conclusion"),
        code("close", "book.close()", 4, shows(["✔ pass: all 2 ", "checks pass."])),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_keeps_them(rule: Rule) -> None:
    assert list(rule(GOOD)) == []


def cell(at: int, **changes: Any) -> Break:
    return lambda nb: nb["cells"][at].update(changes)


def output(at: int, words: str | list[str]) -> Break:
    return lambda nb: nb["cells"][at]["outputs"].append(shows(words))


def metadata(*path: str, value: object) -> Break:
    def change(nb: dict[str, Any]) -> None:
        at = nb["metadata"]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def inserted(at: int, new: dict[str, Any]) -> Break:
    return lambda nb: nb["cells"].insert(at, new)


def removed(at: int) -> Break:
    return lambda nb: nb["cells"].pop(at) and None


TAGGED = {"tags": ["parameters"]}
CHECKS = ("balancebook", "checks")

BAD: list[tuple[Rule, str, Break]] = [
    (rules.parameters_are_declared, "0 cells are tagged", cell(1, metadata={})),
    (rules.parameters_are_declared, "2 cells are tagged", cell(2, metadata=TAGGED)),
    (rules.parameters_are_declared, "without a type", cell(1, source="user_id = 5  # whose")),
    (rules.parameters_are_declared, "has no comment", cell(1, source="user_id: int = 5")),
    (rules.parameters_are_declared, "has no comment", cell(1, source="user_id: int = 5  # [0..9]")),
    (rules.parameters_are_declared, "its default is code", cell(1, source="user_id: int = f()  # whose")),
    (rules.parameters_are_declared, "is empty", cell(1, source="# later")),
    (rules.cells_only_call, "defines f", cell(4, source="def f():\n    return 1")),
    (rules.cells_only_call, "defines f", cell(4, source="if True:\n    async def f(): ...")),
    (rules.cells_only_call, "defines A", cell(4, source="class A: ...")),
    (rules.cells_only_call, "gives a lambda a name", cell(4, source="f = lambda x: x")),
    (rules.cells_only_call, "gives a lambda a name", cell(4, source="f: object = lambda x: x")),
    (rules.cells_only_call, "gives a lambda a name", cell(4, source="print(f := lambda x: x)")),
    (rules.cells_only_call, "no plain Python", cell(4, source="%matplotlib inline")),
    (rules.cells_only_call, "no plain Python", cell(4, source="!ls")),
    (rules.cells_are_short, "has 21 lines", cell(4, source="x = 1\n" * 21)),
    (rules.cells_are_short, "has 22 lines", cell(4, source=["x = '''\n", *["a\n"] * 20, "'''"])),
    (rules.ids_are_names, "'4f0c1a9e' is no name", cell(4, id="4f0c1a9e")),
    (rules.ids_are_names, "'deadbeef' is no name", cell(4, id="deadbeef")),
    (rules.ids_are_names, "'' is no name", cell(4, id="")),
    (rules.ids_are_names, "'Cell_1' is no name", cell(4, id="Cell_1")),
    (rules.ids_are_names, "'view' is used twice", cell(4, id="view")),
    (rules.nothing_of_a_kernel_is_stored, "has execution count 12, not 3", cell(4, execution_count=12)),
    (rules.nothing_of_a_kernel_is_stored, "has execution count None", cell(4, execution_count=None)),
    (
        rules.nothing_of_a_kernel_is_stored,
        "an output of cell view-exists",
        cell(
            4, outputs=[{"output_type": "execute_result", "execution_count": 3, "metadata": {}, "data": {}}]
        ),
    ),
    (rules.nothing_of_a_kernel_is_stored, "has metadata", cell(4, metadata={"execution": {"iopub": "2026"}})),
    (
        rules.nothing_of_a_kernel_is_stored,
        "has metadata",
        cell(4, metadata={"tags": ["injected-parameters"]}),
    ),
    (rules.nothing_of_a_kernel_is_stored, "has metadata", cell(3, metadata={"collapsed": True})),
    (rules.nothing_of_a_kernel_is_stored, "the notebook's metadata", metadata("papermill", value={})),
    (
        rules.nothing_of_a_kernel_is_stored,
        "the notebook's",
        metadata("language_info", "version", value="3.11"),
    ),
    (rules.nothing_of_a_kernel_is_stored, "the notebook's", metadata("kernelspec", "name", value="my-env")),
    (rules.checks_are_declared, "no check is required", metadata(*CHECKS, value={})),
    (
        rules.checks_are_declared,
        "V001 is run and not declared",
        metadata(*CHECKS, "required", value=["V005"]),
    ),
    (rules.checks_are_declared, "V005 is run and not declared", metadata(*CHECKS, "optional", value=[])),
    (
        rules.checks_are_declared,
        "V003 is declared and never run",
        metadata(*CHECKS, "optional", value=["V003"]),
    ),
    (rules.checks_are_declared, "no check has that code", metadata(*CHECKS, "optional", value=["Z999"])),
    (rules.it_ends_with_a_verdict, "is not book.close()", removed(6)),
    (
        rules.it_ends_with_a_verdict,
        "is not book.close()",
        cell(6, source="book.close() if user_id else None"),
    ),
    (rules.it_ends_with_a_verdict, "is not book.close()", inserted(7, prose("after", "More."))),
    (rules.outputs_are_the_demo_s, "target is not embedded", metadata("balancebook", "target", value="prod")),
    (rules.outputs_are_the_demo_s, "the banner of another", output(4, "Target: db1 · keyspace trading")),
    (rules.outputs_are_the_demo_s, "a path of this machine (/home/a", output(4, "see /home/ann/runs")),
    (rules.outputs_are_the_demo_s, "a path of this machine", output(4, ["at ", "'/tmp/", "x.py'"])),
    (rules.outputs_are_the_demo_s, "a traceback", output(4, "Traceback (most recent call last):\n  ...")),
    (
        rules.outputs_are_the_demo_s,
        "an error",
        cell(4, outputs=[{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]),
    ),
    (rules.sections_are_introduced, "does not begin with a title", removed(0)),
    (rules.sections_are_introduced, "does not begin with a title", cell(0, source="A question")),
    (rules.sections_are_introduced, "before cell view-exists", removed(3)),
    (rules.sections_are_introduced, "before cell close", removed(5)),
    (rules.sections_are_introduced, "not the parameters", inserted(1, code("early", "import os", 1))),
]


@pytest.mark.parametrize(("rule", "said", "harm"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_each_rule_finds_what_breaks_it(rule: Rule, said: str, harm: Break) -> None:
    notebook = copy.deepcopy(GOOD)
    harm(notebook)
    found = list(rule(notebook))
    assert any(said in each for each in found), found


def test_every_rule_is_seen_to_find_something() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)


def test_what_is_no_path_of_a_machine_may_be_shown() -> None:
    for words in ("http://127.0.0.1:3001/health", "GET /api/user/balance", "</td></tr>", "base/view", "1/2"):
        notebook = copy.deepcopy(GOOD)
        output(4, words)(notebook)
        assert list(rules.outputs_are_the_demo_s(notebook)) == []
