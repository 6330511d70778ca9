"""Token ranges and their clauses."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.store.schema import Column, Table
from balancebook.store.tokens import HIGHEST, LOWEST, merge_ranges, range_clause, split_range, split_ring


def _table(*key: str) -> Table:
    columns = tuple(Column(name, "partition_key", place, "none", "bigint") for place, name in enumerate(key))
    return Table("k", "t", columns, UUID(int=0))


@given(st.integers(min_value=1, max_value=300))
def test_the_ranges_cover_the_ring_exactly_once(count: int) -> None:
    ranges = split_ring(count)
    assert len(ranges) == count
    assert (ranges[0][0], ranges[-1][1]) == (LOWEST, HIGHEST)
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    sizes = [hi - lo for lo, hi in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [0, -1])
def test_no_ranges_at_all_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        split_ring(count)


def test_a_range_is_never_split_into_empty_parts() -> None:
    assert split_range((5, 7), 4) == [(5, 6), (6, 7)]
    assert split_range((5, 6), 4) == [(5, 6)]


CLAUSES = [
    ((LOWEST, HIGHEST), "", ()),
    ((LOWEST, 5), ' WHERE token("a", "B") <= ?', (5,)),
    ((5, 9), ' WHERE token("a", "B") > ? AND token("a", "B") <= ?', (5, 9)),
    ((5, HIGHEST), ' WHERE token("a", "B") > ?', (5,)),
]


@pytest.mark.parametrize(("tokens", "where", "params"), CLAUSES)
def test_a_range_has_its_bounds_and_no_others(
    tokens: tuple[int, int], where: str, params: tuple[int, ...]
) -> None:
    assert range_clause(_table("a", "B"), tokens) == (where, params)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_lowest_token_is_never_sent(count: int) -> None:
    for tokens in split_ring(count):
        assert LOWEST not in range_clause(_table("a"), tokens)[1]


MERGES: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = [
    ([], []),
    ([(1, 2)], [(1, 2)]),
    ([(2, 3), (1, 2)], [(1, 3)]),
    ([(1, 2), (3, 4)], [(1, 2), (3, 4)]),
    ([(5, 9), (LOWEST, 1), (1, 5), (10, HIGHEST)], [(LOWEST, 9), (10, HIGHEST)]),
]


@pytest.mark.parametrize(("ranges", "merged"), MERGES)
def test_neighbouring_ranges_are_merged(ranges: list[tuple[int, int]], merged: list[tuple[int, int]]) -> None:
    assert merge_ranges(ranges) == merged


@given(st.integers(min_value=1, max_value=100))
def test_all_ranges_merge_into_the_ring(count: int) -> None:
    assert merge_ranges(split_ring(count)) == [(LOWEST, HIGHEST)]
