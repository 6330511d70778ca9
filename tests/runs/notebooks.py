"""Small notebooks for the runner's tests: they emit results as the library's verbs do, without a database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from balancebook.record import Target
from balancebook.runs.catalogue import read_entry
from balancebook.runs.execute import Job
from balancebook.runs.parameters import check_values
from balancebook.runs.scrub import Scrubber

# The runner knows the closing verb's error by its name, as bare papermill shows it.
VERBS = """\
from IPython.display import display
from balancebook.bundle import CLOSE_MIME, MIME, close_bundle, to_bundle
from balancebook.verdict import Result, Verdict
class VerdictNotPass(Exception): ...
def emit(code, verdict="pass", message="found"):
    result = Result(code=code, name="a_check", verdict=Verdict(verdict), message=message, volatile={"milliseconds": 5})
    compared, volatile = to_bundle(result)
    display({MIME: compared, "text/plain": message}, metadata={MIME: volatile}, raw=True)
def close(verdict="pass"):
    display({CLOSE_MIME: close_bundle(Verdict(verdict)), "text/plain": verdict}, raw=True)
    if verdict != "pass":
        raise VerdictNotPass(verdict)
"""
PARAMETERS = "user_id: int = 1001  # whose balances [0..9223372036854775807]\nnote: str = ''"


def code_cell(source: str, *tags: str, outputs: Sequence[Any] = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": "",
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": list(outputs),
        "execution_count": None,
    }


def write_notebook(
    path: Path,
    *cells: str | dict[str, Any],
    required: Sequence[str] = ("V001",),
    optional: Sequence[str] = (),
) -> Path:
    """A notebook of a markdown heading, the parameters, the verbs and these cells."""
    heading = {"cell_type": "markdown", "id": "", "metadata": {}, "source": "# A question\n\nWhat it asks."}
    body = [heading, code_cell(PARAMETERS, "parameters"), code_cell(VERBS)]
    body += [code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for index, cell in enumerate(body):
        cell["id"] = f"cell-{index}"
    metadata = {
        "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
        "balancebook": {"checks": {"required": list(required), "optional": list(optional)}},
    }
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": body}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def make_job(
    path: Path,
    *,
    timeout_s: float = 60,
    secrets: Sequence[str] = (),
    env: dict[str, str] | None = None,
    out_root: Path | None = None,
    embedded: bool = True,
    **values: object,
) -> Job:
    """A job on that notebook, kept beside it in `runs`."""
    entry = read_entry(path, "notebook")
    scrubber = Scrubber(secrets)
    return Job(
        entry=entry,
        parameters=check_values(values, entry.parameters, scrubber),
        profile="embedded" if embedded else "production",
        target=Target(cluster="c1", keyspace="trading", view="balances", embedded=embedded),
        out_root=out_root or path.parent / "runs",
        timeout_s=timeout_s,
        env=env or {},
        scrubber=scrubber,
    )
