"""How many rows a scan asks for in one page."""

import numpy as np
import pytest

from balancebook.store.ranges import NARROW, PAGE_SIZE
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import MOST_ROWS, PAGE_BYTES, PageRows


def seen(width: int, rows: int = 100) -> PageRows:
    fitted = PageRows()
    fitted.saw(0, RawPage(rows, np.zeros(8 + width * rows, np.uint8), 8, (), ()))
    return fitted


def test_while_no_row_was_seen_it_is_what_was_asked_for() -> None:
    assert PageRows().of(0, PAGE_SIZE) == PAGE_SIZE
    assert seen(70, rows=0).of(0, PAGE_SIZE) == PAGE_SIZE
    assert seen(70).of(1, PAGE_SIZE) == PAGE_SIZE, "of another table nothing is known"


@pytest.mark.parametrize(
    ("width", "rows"), [(10, MOST_ROWS), (100, PAGE_BYTES // 100), (10_000, 70), (PAGE_BYTES * 2, 1)]
)
def test_a_page_has_about_as_many_bytes_whatever_its_rows_are_like(width: int, rows: int) -> None:
    assert seen(width).of(0, PAGE_SIZE) == rows


def test_whoever_asks_for_less_gets_no_more_and_of_wide_rows_as_much_less() -> None:
    narrow = PAGE_SIZE // NARROW
    assert seen(70).of(0, narrow) == narrow
    assert seen(10_000).of(0, narrow) == 70 // NARROW
    assert seen(PAGE_BYTES).of(0, 1) == 1


def test_the_latest_page_counts() -> None:
    fitted = seen(70)
    fitted.saw(0, RawPage(1, np.zeros(7000, np.uint8), 0, (), ()))
    assert fitted.of(0, PAGE_SIZE) == PAGE_BYTES // 7000
