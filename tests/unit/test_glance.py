"""What a first look at some ranges says of all rows."""

from __future__ import annotations

import pytest

from balancebook.reconcile.sampled import Glance


@pytest.mark.parametrize(
    ("rows", "wrong", "expected"),
    [
        ((320, 320), (0, 0), 0),
        ((320, 320), (32, 0), 100_000),
        ((320, 320), (32, 32), 300_000),
        # The view has no row left: nothing was met there.
        ((320, 0), (320, 0), 1_000_000),
        ((0, 0), (0, 0), 0),
        ((3, 320), (1, 0), 333_333),
    ],
)
def test_so_many_rows_differ_if_all_are_like_these(
    rows: tuple[int, int], wrong: tuple[int, int], expected: int
) -> None:
    glance = Glance(
        drawn=(12, 12),
        suspicious=(0, 0),
        rows=rows,
        wrong=wrong,
        unread=0,
        differences=(),
        seed=1,
        seconds=0.1,
    )
    assert glance.expected((1_000_000, 2_000_000)) == expected
