"""A verdict is of one state of the notebook: other parameters, or cells out of order, make it unknown."""

from __future__ import annotations

import pytest

from balancebook.cells import CellRun, parameter_names, why_stale

THEN = {"user_id": "1001", "strategy": "'group_by'"}
NOW = THEN | {"user_id": "1002"}


def test_cells_run_once_in_order_are_of_now() -> None:
    asked = {"V001": CellRun(THEN, 3), "Q001": CellRun(THEN, 3), "Q003": CellRun(THEN, 5)}
    assert why_stale(CellRun(THEN, 2), asked, CellRun(THEN, 6)) == {}


def test_a_parameter_changed_after_a_check_makes_that_check_stale() -> None:
    asked = {"Q001": CellRun(THEN, 3), "Q003": CellRun(NOW, 5)}
    stale = why_stale(CellRun(NOW, 2), asked, CellRun(NOW, 6))
    assert stale == {"Q001": "asked with user_id 1001, now 1002"}


def test_a_parameter_changed_after_the_opening_makes_all_stale() -> None:
    asked = {"Q001": CellRun(NOW, 4), "Q003": CellRun(NOW, 5)}
    stale = why_stale(CellRun(THEN, 2), asked, CellRun(NOW, 6))
    assert set(stale) == {"Q001", "Q003"}
    assert "opened with user_id 1001, now 1002" in stale["Q001"]


def test_a_cell_run_again_makes_those_after_it_stale() -> None:
    asked = {"Q001": CellRun(THEN, 7), "Q002": CellRun(THEN, 4), "Q003": CellRun(THEN, 8)}
    assert set(why_stale(CellRun(THEN, 2), asked, CellRun(THEN, 9))) == {"Q002"}


def test_the_order_is_the_notebook_s_where_it_is_known() -> None:
    # The lower cell was run first, and never again.
    asked = {"Q003": CellRun(THEN, 3, place=9), "Q001": CellRun(THEN, 4, place=5)}
    assert set(why_stale(CellRun(THEN, 2, place=1), asked, CellRun(THEN, 5, place=11))) == {"Q003"}


def test_outside_of_a_kernel_nothing_is_stale() -> None:
    assert why_stale(None, {"Q001": CellRun(THEN, 1)}, CellRun(NOW, 2)) == {}
    assert why_stale(CellRun(THEN, 1), {"Q001": CellRun(THEN, 1)}, None) == {}


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["", "a: int = 1\nb: str | None = None  # what", "a = 2", "import x"], ("a", "b")),
        (["a: int = 1", "c: int = 3"], ("c",)),
        (["a = 1", "%magic", ""], ()),
    ],
)
def test_the_parameters_are_those_of_the_cell_of_annotated_values(
    inputs: list[str], names: tuple[str, ...]
) -> None:
    assert parameter_names(inputs) == names
