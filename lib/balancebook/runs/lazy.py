"""Importing papermill without the second that one of its dependencies' dependencies costs.

papermill imports nbformat, that jsonschema, and that, for its check of the string format `iri`, rfc3987_syntax,
which compiles a grammar when it is imported (0.8-1.0 s, more than all the rest). Notebooks have no such string.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_GRAMMAR = "rfc3987_syntax"


def import_papermill() -> tuple[Any, type[Exception], Any]:
    """(papermill.execute_notebook, the error it raises when a cell raised, nbformat)."""
    import_nbformat()
    execute = importlib.import_module("papermill.execute")
    exceptions = importlib.import_module("papermill.exceptions")
    return execute.execute_notebook, exceptions.PapermillExecutionError, import_nbformat()


def import_nbformat() -> Any:
    """nbformat; the grammar is compiled if and when a format `iri` is checked, with the same answer."""
    if _GRAMMAR in sys.modules or "jsonschema" in sys.modules:
        return importlib.import_module("nbformat")
    stand_in = ModuleType(_GRAMMAR)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = stand_in
    try:
        return importlib.import_module("nbformat")
    finally:
        del sys.modules[_GRAMMAR]


def import_html_exporter() -> Any:
    """nbconvert's exporter of HTML pages; it imports nbformat too."""
    import_nbformat()
    return importlib.import_module("nbconvert.exporters.html").HTMLExporter


def _is_valid_syntax(term: str, value: str) -> bool:
    return bool(importlib.import_module(_GRAMMAR).is_valid_syntax(term, value))
