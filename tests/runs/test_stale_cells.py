"""In a kernel that a person drives: what was asked under other parameters, or out of order, is unknown at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

PARAMETERS = "user_id: int = 1001  # whose balances"
# A check of its own: whether a verdict is of now does not depend on what was asked.
OPEN = """
from balancebook.checks.base import CHECKS, check, passed
from balancebook.checks.context import Context
from balancebook.notebook import Book
from balancebook.settings import load_profile
for code in ("X001", "X002"):
    CHECKS.pop(code, None)
    check(code, "toy")(lambda ctx, *, user_id: passed("fine"))
book = Book(Context(load_profile("embedded")))
"""
FIRST, SECOND = (f'book.check("{code}", user_id=user_id)' for code in ("X001", "X002"))
CELLS = {"parameters": PARAMETERS, "open": OPEN, "first": FIRST, "second": SECOND, "close": "book.close()"}

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """run("first", source=...) -> the text that running that cell shows, an error's too; as JupyterLab runs it."""
    path = tmp_path / "lab.ipynb"
    path.write_text(json.dumps({"cells": [{"id": name} for name in CELLS]}))
    manager, client = start_new_kernel(
        kernel_name="python3", env=dict(os.environ) | {"JPY_SESSION_NAME": str(path)}
    )
    try:
        yield lambda cell, source=None: _run(client, cell, source or CELLS[cell])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run(client: BlockingKernelClient, cell: str, source: str) -> str:
    content = {
        "code": source,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
    }
    message: Any = client.session.msg("execute_request", content, metadata={"cellId": cell})
    client.shell_channel.send(message)
    shown: str = ""
    while True:
        told = client.get_iopub_msg(timeout=60)
        if told["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        shown += str(told["content"].get("data", {}).get("text/plain", "")) + "\n".join(
            told["content"].get("traceback", [])
        )
        if told["content"].get("execution_state") == "idle":
            return shown


def everything(run: Run) -> str:
    return [run(cell) for cell in CELLS][-1]


def test_cells_in_order_keep_their_verdict(run: Run) -> None:
    assert "✔ pass: all 2 checks pass" in everything(run)


def test_a_changed_parameter_makes_it_unknown(run: Run) -> None:
    everything(run)
    run("parameters", source="user_id: int = 1002  # whose balances")
    shown = run("close")
    assert "VerdictNotPass" in shown
    assert "opened with user_id 1001, now 1002" in shown
    # One check again does not mend it, but all cells do.
    run("first")
    assert "2 of 2 checks could not be answered" in run("close")
    for cell in ("open", "first", "second"):
        run(cell)
    assert "all 2 checks pass" in run("close")


def test_cells_out_of_order_are_unknown(run: Run) -> None:
    for cell in ("parameters", "open", "second", "first"):
        run(cell)
    shown = run("close")
    assert "1 of 2 checks could not be answered: X002" in shown
    assert "a cell before it ran after it" in shown
    run("second")
    assert "all 2 checks pass" in run("close")
