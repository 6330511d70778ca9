"""A small form for JupyterLab: another account, asset or time, without running cells again. It decides nothing."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from balancebook.assets import label
from balancebook.errors import BalancebookError
from balancebook.explore.one import Account
from balancebook.progress import Cell, watched

_ROWS = 20


class Shows(Protocol):
    """What shows tables and figures: a notebook's book."""

    def show(self, source: pd.DataFrame, caption: str = "") -> None: ...

    def figure(self, figure: Figure, caption: str) -> None: ...


def show_form(book: Shows, mine: Account) -> None:
    """Show the form where a person sits before the cell; elsewhere (papermill, nbval, a page) one sentence."""
    from IPython.display import display  # noqa: PLC0415 (it is loaded already where there is a cell)

    shown = Form(book, mine).box if isinstance(watched(), Cell) else None
    if shown is None:
        print("Open this notebook in JupyterLab for a form that asks about other accounts.")  # noqa: T201
    else:
        display(shown)  # type: ignore[no-untyped-call]


class Form:
    """Fields for account, asset and time, a button, and what was asked for beneath. `said`: why it could not be."""

    def __init__(self, book: Shows, mine: Account) -> None:
        import ipywidgets as widgets  # noqa: PLC0415 (0.2 s, for people only)

        self._book, self._mine = book, mine
        self.account = widgets.Text(value=str(mine.user_id), description="account")
        self.asset = widgets.Combobox(description="asset", placeholder="the first", options=self._assets())
        self.as_of = widgets.Text(
            value=mine.as_of or "", description="as of", placeholder="2025-06-01T00:00:00Z"
        )
        self.ask = widgets.Button(description="Show", button_style="primary")
        # A label would cut long sentences off.
        self.said, self._shown = widgets.HTML(), widgets.Output()
        self.ask.on_click(self._ask)
        fields = widgets.HBox([self.account, self.asset, self.as_of, self.ask])
        self.box = widgets.VBox([fields, self.said, self._shown])

    def _assets(self) -> list[str]:
        try:
            return [label(asset, self._mine.place.registry) for asset in self._mine.holder.assets]
        except BalancebookError:
            # The field takes any text; what cannot be read is said when it is asked for.
            return []

    def _ask(self, _: Any) -> None:
        self.said.value = ""
        self._shown.clear_output(wait=True)
        with self._shown:
            try:
                self._answer()
            except BalancebookError as error:
                self._say(str(error))

    def _say(self, why: str) -> None:
        self.said.value = html.escape(why, quote=False)

    def _answer(self) -> None:
        given = self.account.value.strip()
        mine = replace(self._mine, user_id=given, as_of=self.as_of.value.strip() or None)
        asset = self.asset.value.strip() or None
        self._book.show(
            mine.balances(), f"Balances of {given}" + (f" as of {mine.as_of}." if mine.as_of else ".")
        )
        self._mine = mine
        self.asset.options = self._assets()
        if not mine.holder.assets:
            self._say(f"{given} has no asset in the ledger.")
            return
        name = label(mine.asset(asset), mine.place.registry)
        self._book.show(mine.statement(asset, _ROWS), f"Statement of {name}.")
        self._book.figure(mine.history_figure(asset), f"{name} over time")
