"""The explorer's form in a real kernel: after an error nothing of the previous answer is left."""

from __future__ import annotations

from typing import Any

import nbformat
from nbclient import NotebookClient

SETUP = """\
from dataclasses import dataclass
from types import SimpleNamespace
from IPython.display import display
from balancebook.errors import UsageError
from balancebook.explore.form import Form

@dataclass(frozen=True)
class Mine:
    user_id: str
    as_of: str | None = None
    holder = SimpleNamespace(assets=())
    def balances(self):
        print("balances of", self.user_id)
        if self.user_id == "bad":
            raise UsageError("'bad' is <not> an account.")
        return None

form = Form(SimpleNamespace(show=lambda *_: None), Mine("1001"))
display(form.box)
form.ask.click()
"""


def _widgets(*cells: str) -> list[dict[str, Any]]:
    """The states of all widgets, as JupyterLab has them, after these cells."""
    code = [nbformat.v4.new_code_cell(cell) for cell in (SETUP, *cells)]  # type: ignore[no-untyped-call]
    nb = nbformat.v4.new_notebook(cells=code)  # type: ignore[no-untyped-call]
    NotebookClient(nb, timeout=60, kernel_name="python3").execute()
    models = nb.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    return [model["state"] for model in models.values()]


def _shown(states: list[dict[str, Any]]) -> str:
    (output,) = [state for state in states if state["_model_name"] == "OutputModel"]
    return "".join(each.get("text", "") for each in output["outputs"])


def _said(states: list[dict[str, Any]]) -> str:
    (said,) = [state for state in states if state["_model_name"] == "HTMLModel"]
    return str(said["value"])


def test_an_answer_is_shown() -> None:
    states = _widgets()
    assert _shown(states) == "balances of 1001\n"
    assert _said(states) == "1001 has no asset in the ledger."


def test_an_error_takes_the_answer_away_and_is_red() -> None:
    states = _widgets("form.account.value = 'bad'; form.ask.click()")
    assert _shown(states) == ""
    assert "&lt;not&gt; an account" in _said(states)
    assert 'style="color: ' in _said(states)


def test_an_answer_takes_the_error_away() -> None:
    states = _widgets(
        "form.account.value = 'bad'; form.ask.click()", "form.account.value = '7'; form.ask.click()"
    )
    assert (_shown(states), _said(states)) == ("balances of 7\n", "7 has no asset in the ledger.")


def test_the_row_wraps() -> None:
    states = _widgets()
    (row,) = [state for state in states if state["_model_name"] == "HBoxModel"]
    assert row["layout"]
    assert "row wrap" in [state.get("flex_flow") for state in states]
