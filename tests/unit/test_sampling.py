"""What a sample of token ranges may claim, the ranges that it draws from, and what a definition must be."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from itertools import pairwise
from math import comb
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.reconcile.bound import upper_bound
from balancebook.reconcile.definition import judged
from balancebook.reconcile.grid import Grid
from balancebook.store.health import NodeBuild, ViewHealth
from balancebook.store.schema import Column, Table, View
from balancebook.store.tokens import HIGHEST, LOWEST, range_clause
from balancebook.verdict import Verdict


@given(st.integers(min_value=1, max_value=10**9))
def test_without_a_fault_the_bound_has_a_closed_form(drawn: int) -> None:
    assert math.isclose(upper_bound(drawn, 0), 1 - 0.05 ** (1 / drawn), rel_tol=1e-6)


@pytest.mark.parametrize(("faulty", "drawn"), [(1, 10), (5, 10), (9, 10), (31, 64), (300, 2000)])
def test_with_faults_so_few_would_be_drawn_once_in_twenty_times(faulty: int, drawn: int) -> None:
    """By its definition, in sums of 60 digits."""
    with localcontext(prec=60):
        share = Decimal(upper_bound(drawn, faulty))
        ways = [comb(drawn, n) * share**n * (1 - share) ** (drawn - n) for n in range(faulty + 1)]
        assert float(sum(ways)) == pytest.approx(0.05, rel=1e-9)


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=400), st.data())
def test_it_grows_with_the_faults_and_shrinks_with_the_draws(drawn: int, data: st.DataObject) -> None:
    faulty = data.draw(st.integers(min_value=0, max_value=drawn - 1))
    bound = upper_bound(drawn, faulty)
    assert faulty / drawn < bound < upper_bound(drawn, faulty + 1) <= 1
    assert upper_bound(drawn + 1, faulty) < bound


def test_nothing_drawn_says_nothing() -> None:
    assert upper_bound(0, 0) == 1
    with pytest.raises(ValueError, match="3 of 2 draws"):
        upper_bound(2, 3)
    with pytest.raises(ValueError, match="-1 of 2 draws"):
        upper_bound(2, -1)


@given(st.integers(min_value=1, max_value=2**40), st.data())
def test_the_cells_cover_the_ring_exactly_once(cells: int, data: st.DataObject) -> None:
    grid = Grid(cells)
    first = data.draw(st.integers(min_value=0, max_value=max(0, cells - 3)))
    some = [grid.tokens(cell) for cell in range(first, min(cells, first + 3))]
    assert all(before[1] == after[0] for before, after in pairwise(some))
    assert all(LOWEST <= lo < hi <= HIGHEST for lo, hi in some)
    assert (grid.tokens(0)[0], grid.tokens(cells - 1)[1]) == (LOWEST, HIGHEST)
    with pytest.raises(ValueError, match="count from 0"):
        grid.tokens(cells)


@pytest.mark.parametrize("cells", [1, 2, 4000])
def test_the_first_cell_holds_the_lowest_token_and_never_sends_it(cells: int) -> None:
    where, params = range_clause(_table(), Grid(cells).tokens(0))
    assert " > ?" not in where
    assert LOWEST not in params


def _column(name: str, kind: str = "regular", cql_type: str = "int") -> Column:
    return Column(name, kind, 0, "none", cql_type)  # type: ignore[arg-type]


def _table(*columns: Column) -> Table:
    return Table(
        "k", "base", (_column("p", "partition_key"), _column("c", "clustering"), *columns), UUID(int=0)
    )


def _view(*columns: Column) -> View:
    key = _column("v", "partition_key"), _column("p", "clustering"), _column("c", "clustering")
    return View("k", "view", (*key, *columns), UUID(int=1), "base", "", False)


BASE, VIEW = _table(_column("v"), _column("n")), _view(_column("n"))
BUILT = ViewHealth("healthy", 100.0, (NodeBuild("10.0.0.1", UUID(int=0), "SUCCESS", 100.0),))
HALF = ViewHealth(
    "building", 50.0, (*BUILT.nodes, NodeBuild("10.0.0.2", UUID(int=1), "STARTED", 0.0)), "It is stopped."
)
JUDGED = {
    "sound": (VIEW, BASE, BUILT, Verdict.PASS, "built on its only node"),
    "no base": (VIEW, None, BUILT, Verdict.FAIL, "base base does not exist"),
    "no such column": (VIEW, _table(_column("v")), BUILT, Verdict.FAIL, "column n is not in the base"),
    "another type": (
        VIEW,
        _table(_column("v"), _column("n", cql_type="bigint")),
        BUILT,
        Verdict.FAIL,
        "column n is int, and bigint in the base",
    ),
    "a key column less": (
        replace(VIEW, columns=tuple(each for each in VIEW.columns if each.name != "c")),
        BASE,
        BUILT,
        Verdict.FAIL,
        "primary key column c of the base is not in the view's",
    ),
    "not built": (VIEW, BASE, HALF, Verdict.FAIL, "not built on 10.0.0.2, 50 %"),
    "gone": (VIEW, BASE, ViewHealth("missing"), Verdict.FAIL, "no such view any more"),
    "unread": (VIEW, BASE, ViewHealth("unknown", note="No answer."), Verdict.UNKNOWN, "No answer."),
    "unreported": (
        VIEW,
        BASE,
        ViewHealth("unreported", note="No row."),
        Verdict.UNKNOWN,
        "rows decide. No row.",
    ),
    "unread, and wrong": (VIEW, None, ViewHealth("unknown"), Verdict.FAIL, "does not exist"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_definition_is_judged_by_schema_and_build(name: str) -> None:
    view, base, health, verdict, said = JUDGED[name]
    report = judged(view, base, health)
    assert report.verdict is verdict
    assert said in report.message
    assert bool(report.reasons) is (verdict is not Verdict.PASS)
