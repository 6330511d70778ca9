"""Tables as people read them, in markup that JupyterLab's sanitizer and that of a run's page leave as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pandas as pd

from balancebook.assets import format_amount
from balancebook.core.short_text import shortened, shortened_json
from balancebook.store.cql.values import text_of
from balancebook.verdict import MARKS

NOTHING = "—"
_NUMBER = re.compile(r"[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+")
# JupyterLab aligns cells to the right unless told otherwise; a page goes by the class (templates/style.css).
_TEXT = ' class="text" style="text-align: left"'


def cell_text(value: Any) -> str:
    """A cell as people read it: a dash where there is nothing, a Decimal in its normal form, else as text_of.

    Its length is bounded.
    """
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return NOTHING
    if isinstance(value, Decimal) and value.is_finite():
        return shortened(format_amount(value))
    if isinstance(value, bool | float | pd.Timestamp):
        return shortened(str(value))
    return shortened(str(shortened_json(value)) if isinstance(value, int) else text_of(value))


def table_html(frame: pd.DataFrame) -> str:
    """A table of cells that are text already: columns of numbers stand to the right, all others to the left."""
    marks = ["" if _is_numbers(frame.iloc[:, at]) else _TEXT for at in range(frame.shape[1])]
    head = _row("th", frame.columns, marks)
    body = "\n".join(_row("td", row, marks) for row in frame.itertuples(index=False, name=None))
    return f'<table class="dataframe">\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _is_numbers(column: pd.Series[Any]) -> bool:
    return all(cell in (NOTHING, "?") or _NUMBER.fullmatch(cell) for cell in column)


def _row(tag: str, cells: Iterable[Any], marks: list[str]) -> str:
    filled = (f"<{tag}{mark}>{_escaped(str(cell))}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
    return f"<tr>{''.join(filled)}</tr>"


def _escaped(cell: str) -> str:
    # A verdict or a time in a narrow column stays in one line.
    whole = cell in MARKS.values() or _TIME.fullmatch(cell)
    return html.escape(cell.replace(" ", "\u00a0") if whole else cell)
