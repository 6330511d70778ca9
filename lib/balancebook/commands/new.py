"""`balancebook new`: a notebook to begin with, which runs as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from balancebook.core.files import require_writable_file, unwritable
from balancebook.errors import UsageError
from balancebook.record import write_whole

_SUFFIX = ".ipynb"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PARAMETERS = """\
keyspace: str | None = None  # default: the profile's
view: str | None = None  # default: the profile's"""
_OPEN = """\
from balancebook import notebook

book = notebook.open(keyspace=keyspace, view=view)"""
_CHECK = """\
## Is the view there?

`balancebook doctor` lists the checks. Name those that this notebook asks in its metadata
(`balancebook.checks.required`), or remove this one there and here: a notebook without checks has no verdict."""


def new_notebook(name: str) -> Path:
    """Write NAME.ipynb, and return its path. `name` may begin with a folder and end with .ipynb.

    Raises UsageError for a name that cannot be one, a file that exists, or a folder that cannot be written to.
    """
    path = Path(name.removesuffix(_SUFFIX) + _SUFFIX)
    if not _NAME.fullmatch(path.stem):
        raise UsageError(
            f"{name!r} cannot be the name of a notebook.",
            "Use letters, digits, - and _, beginning with a letter or digit.",
            parameter="name",
        )
    if path.exists():
        raise UsageError(f"{path} exists already.", "Choose another name, or remove it.", parameter="name")
    require_writable_file(path, "name")
    try:
        write_whole(path, json.dumps(_document(path.stem), indent=1) + "\n")
    except OSError as error:
        raise unwritable(
            f"{path} cannot be written", error, "Choose another folder.", parameter="name"
        ) from error
    return path


def _document(stem: str) -> dict[str, Any]:
    title = stem.replace("_", " ").replace("-", " ").capitalize()
    cells = [
        _text("title", f"# {title}\n\nWhat it shows, and for whom."),
        _code("parameters", _PARAMETERS, tags=["parameters"]),
        _code("open", _OPEN),
        _text("check-text", _CHECK),
        _code("check", 'book.check("V001")'),
        _code("close", "book.close()"),
    ]
    metadata = {
        "balancebook": {"checks": {"required": ["V001"], "optional": []}},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _text(cell_id: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": cell_id,
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }


def _code(cell_id: str, source: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": metadata,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
