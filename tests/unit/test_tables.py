"""Tables in the markup of cells and pages: nothing is lost, nothing is markup that should be text."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

from balancebook.runs.publish import _clean
from balancebook.tables import cell_text, table_html
from balancebook.verdict import MARKS, Verdict

LEFT = '<td class="text" style="text-align: left">'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (pd.NA, "—"),
        (float("nan"), "—"),
        (2**63 - 1, "9223372036854775807"),
        (Decimal("1.10"), "1.1"),
        (Decimal("1E-18"), "0.000000000000000001"),
        (Decimal("NaN"), "NaN"),
        ("", ""),
    ],
)
def test_a_cell(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["1", "-0.5", "—", "?", "1,920", "1e-7"], False),
        (["1", "#77"], True),
        (["2025-10-27 19:23:50.315"], True),
        (["f47ac10b-58cc-4372-a567-0e02b2c3d479"], True),
        ([""], True),
    ],
)
def test_numbers_stand_to_the_right_and_text_to_the_left(cells: list[str], text: bool) -> None:
    found = table_html(pd.DataFrame({"of it": cells}, dtype=object))
    assert (LEFT in found, "<th>of it</th>" in found) == (text, not text)


def test_what_looks_like_markup_is_text_and_columns_may_be_named_alike() -> None:
    frame = pd.DataFrame([["<b>&", "1"]], columns=["a", "a"], dtype=object)
    assert f"<tr>{LEFT}&lt;b&gt;&amp;</td><td>1</td></tr>" in table_html(frame)


def test_no_rows_and_no_columns() -> None:
    assert "<tbody>\n\n</tbody>" in table_html(pd.DataFrame({"a": []}))
    assert "<tr></tr>" in table_html(pd.DataFrame())


def test_a_verdict_and_a_time_stay_in_one_line() -> None:
    cells = [[MARKS[Verdict.PASS], "2025-10-27 19:23:50.315", "all pass"]]
    found = table_html(pd.DataFrame(cells, columns=["right", "time (UTC)", "why"]))
    assert "✔\u00a0pass" in found
    assert "2025-10-27\u00a019:23:50.315" in found
    assert "all pass" in found


def test_a_page_keeps_what_aligns_it() -> None:
    kept = _clean(table_html(pd.DataFrame({"asset": ["BTC"], "available": ["9100"]})))
    assert '<table class="dataframe">' in kept
    assert '<td class="text">BTC</td><td>9100</td>' in kept.replace(' style=""', "")
