"""What every shipped notebook must be. Each rule is a function from a notebook to what it finds wrong."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from balancebook.checks import CHECKS
from balancebook.errors import UsageError
from balancebook.runs.schema import PARAMETERS_TAG, read_schema

Notebook: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Notebook], Iterator[str]]

MOST_LINES = 20
TARGET = "embedded"
_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# What Jupyter gives a new cell: eight hexadecimal digits.
_RANDOM = re.compile(r"[0-9a-f]{8,}")
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_TAGS = {PARAMETERS_TAG, "nbval-ignore-output"}
_SAID = re.compile(r"book\.check\(\s*['\"]([A-Z][0-9]{3})['\"]")
# The banner that notebook.open shows for every other profile.
_BANNER = "Target: "
_PATH = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|work|usr|opt|var|etc|Users|mnt|srv)/\w")
_TRACEBACK = "Traceback (most recent call last)"


def text(source: str | list[str]) -> str:
    """A cell's source, however it is stored."""
    return source if isinstance(source, str) else "".join(source)


def code_cells(nb: Notebook) -> list[Cell]:
    """The code cells in order."""
    return [cell for cell in nb["cells"] if cell["cell_type"] == "code"]


def parameters_are_declared(nb: Notebook) -> Iterator[str]:
    """Exactly one cell is tagged; each line there is `name: type = default  # help`."""
    tagged = [cell for cell in nb["cells"] if PARAMETERS_TAG in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged {PARAMETERS_TAG}, not one"
        return
    try:
        parameters = read_schema(nb, "notebook")
    except UsageError as error:
        yield str(error)
        return
    if not parameters:
        yield "the parameters cell is empty"
    for parameter in parameters:
        if not parameter.help:
            yield f"parameter {parameter.name} has no comment"


def cells_only_call(nb: Notebook) -> Iterator[str]:
    """What has logic belongs in the library, where it is tested: no def, no class, no named lambda."""
    for cell in code_cells(nb):
        try:
            tree = ast.parse(text(cell["source"]))
        except SyntaxError as error:
            yield f"cell {cell['id']} is no plain Python: {error.msg}"
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"cell {cell['id']} defines {node.name}"
            elif _is_named_lambda(node):
                yield f"cell {cell['id']} gives a lambda a name"


def _is_named_lambda(node: ast.AST) -> bool:
    assigns = isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr)
    return assigns and isinstance(node.value, ast.Lambda)  # type: ignore[attr-defined]


def cells_are_short(nb: Notebook) -> Iterator[str]:
    """At most MOST_LINES lines of code, comments and blank lines not counted."""
    for cell in code_cells(nb):
        lines = _code_lines(text(cell["source"]))
        if lines > MOST_LINES:
            yield f"cell {cell['id']} has {lines} lines of code, more than {MOST_LINES}"


def _code_lines(source: str) -> int:
    nothing = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spans = [range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in nothing]
    return len({line for span in spans for line in span})


def ids_are_names(nb: Notebook) -> Iterator[str]:
    """Stable, unique ids that say what the cell is: results and stored outputs are found by them."""
    ids = [str(cell.get("id", "")) for cell in nb["cells"]]
    for name in ids:
        if not _SLUG.fullmatch(name) or _RANDOM.fullmatch(name):
            yield f"cell id {name!r} is no name"
    yield from (f"cell id {name!r} is used twice" for name in sorted({n for n in ids if ids.count(n) > 1}))


def nothing_of_a_kernel_is_stored(nb: Notebook) -> Iterator[str]:
    """Execution counts are the cells' own numbers (nbval passes over a cell without one); metadata is bare."""
    for number, cell in enumerate(code_cells(nb), 1):
        if cell.get("execution_count") != number:
            yield f"cell {cell['id']} has execution count {cell.get('execution_count')}, not {number}"
        if any("execution_count" in output for output in cell["outputs"]):
            yield f"an output of cell {cell['id']} has an execution count"
    for cell in nb["cells"]:
        if cell["metadata"].keys() - {"tags"} or set(cell["metadata"].get("tags", [])) - _TAGS:
            yield f"cell {cell['id']} has metadata {dict(cell['metadata'])}"
    rest = {key: value for key, value in nb["metadata"].items() if key != "balancebook"}
    if rest != _METADATA:
        yield f"the notebook's metadata is {rest}, not {_METADATA}"


def checks_are_declared(nb: Notebook) -> Iterator[str]:
    """Every check that a cell runs is declared, every one that is declared exists and is run, and some are required."""
    declared = nb["metadata"].get("balancebook", {}).get("checks", {})
    required, optional = declared.get("required", []), declared.get("optional", [])
    called = {code for cell in code_cells(nb) for code in _SAID.findall(text(cell["source"]))}
    if not required:
        yield "no check is required, so nothing could fail"
    yield from (
        f"{code} is declared, and no check has that code"
        for code in _sorted(required, optional)
        if code not in CHECKS
    )
    yield from (
        f"{code} is declared and never run" for code in _sorted(required, optional) if code not in called
    )
    yield from (f"{code} is run and not declared" for code in sorted(called - {*required, *optional}))


def _sorted(required: list[str], optional: list[str]) -> list[str]:
    return sorted({*required, *optional})


def it_ends_with_a_verdict(nb: Notebook) -> Iterator[str]:
    """The last cell closes the book: without it bare papermill would exit 0 whatever was found."""
    cells = code_cells(nb)
    if not cells or text(cells[-1]["source"]).strip() != "book.close()" or nb["cells"][-1] is not cells[-1]:
        yield "the last cell is not book.close()"


def outputs_are_the_demo_s(nb: Notebook) -> Iterator[str]:
    """Stored outputs are those of the demo data: of no other target, of no machine, and of no crash."""
    if nb["metadata"].get("balancebook", {}).get("target") != TARGET:
        yield f"metadata.balancebook.target is not {TARGET}"
    for cell in code_cells(nb):
        for output in cell["outputs"]:
            yield from (f"an output of cell {cell['id']} holds {what}" for what in _foreign(output))


def _foreign(output: Mapping[str, Any]) -> Iterator[str]:
    if output["output_type"] == "error":
        yield "an error"
    for shown in _texts(output):
        if _BANNER in shown:
            yield "the banner of another target"
        if found := _PATH.search(shown):
            yield f"a path of this machine ({found.group()}...)"
        if _TRACEBACK in shown:
            yield "a traceback"


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value, lists of lines joined."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            yield "".join(value)
        else:
            for each in value:
                yield from _texts(each)


def sections_are_introduced(nb: Notebook) -> Iterator[str]:
    """It begins with a title; parameters and opening apart, prose stands before code, and says what is asked."""
    cells = nb["cells"]
    if not cells or cells[0]["cell_type"] != "markdown" or not text(cells[0]["source"]).startswith("# "):
        yield "it does not begin with a title"
    code = code_cells(nb)
    if len(code) > 1 and PARAMETERS_TAG not in code[0]["metadata"].get("tags", []):
        yield "the first code cell is not the parameters"
    # The parameters, and the cell that opens the book, belong to the title.
    for before, cell in pairwise(cells):
        if cell in code[2:] and before["cell_type"] != "markdown":
            yield f"no markdown stands before cell {cell['id']}"


RULES: tuple[Rule, ...] = (
    parameters_are_declared,
    cells_only_call,
    cells_are_short,
    ids_are_names,
    nothing_of_a_kernel_is_stored,
    checks_are_declared,
    it_ends_with_a_verdict,
    outputs_are_the_demo_s,
    sections_are_introduced,
)
