"""What a comparison keeps of itself, to be resumed: whole, or refused in a sentence."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from balancebook.errors import UsageError
from balancebook.reconcile.fold import Counts
from balancebook.reconcile.state import Common, Keeper, Pass, State
from balancebook.sketch.sketch import FoundRows
from balancebook.store.ranges import RangeTask

COMMON = Common(schema="digest", cutoff="none", samples=1000, all_differences=False)


def kept(path: Path) -> State:
    aside = FoundRows(b"rows", np.array([2, 4], np.int64), np.arange(4, dtype=np.uint64).reshape(2, 2))
    under_way = Pass(
        total=128,
        done=[RangeTask(0, (-5, 7)), RangeTask(1, (7, 9))],
        counts=(Counts(rows=3, dropped=1, newer=2), Counts(rows=4)),
        rows=9,
        cells=np.arange(30, dtype=np.uint64).reshape(5, 6),
        aside=([aside], [aside]),
    )
    state = State(7, 64, 5, 1.5, (10, 20), under_way, passes=1, ahead=4, by_token=True)
    Keeper(path, COMMON).keep(state, at_once=True)
    return state


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    state, found = kept(tmp_path / "state"), Keeper(tmp_path / "state", COMMON).resumed()
    assert found
    assert found.resumed
    assert replace(found, under_way=None, resumed=False) == replace(state, under_way=None)
    before, after = state.under_way, found.under_way
    assert before
    assert after
    assert (after.total, after.done, after.counts, after.rows) == (128, before.done, before.counts, 9)
    assert after.cells is not None
    assert before.cells is not None
    assert np.array_equal(after.cells, before.cells)
    for [was], [now] in zip(before.aside, after.aside, strict=True):
        assert now.body == was.body
        assert np.array_equal(now.ends, was.ends)
        assert np.array_equal(now.lanes, was.lanes)


def test_one_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """Bytes that are others, missing or too many: nothing but a sentence, and never another state."""
    path = tmp_path / "state"
    state, chance = kept(path), random.Random(1)
    whole = path.read_bytes()
    refused = 0
    for _ in range(2000):
        at = chance.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged if chance.random() < 0.9 else whole[:at])
        try:
            found = Keeper(path, COMMON).resumed()
        except UsageError as error:
            refused += 1
            assert error.parameter == "resume"
            assert error.remedy == "Run it again without --resume."
        else:
            # Dates, names of systems and the like mean nothing.
            assert found
            assert replace(found, under_way=None, resumed=False) == replace(state, under_way=None)
    assert refused > 1000


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    assert Keeper(None, COMMON).resumed() is None
    assert Keeper(tmp_path / "none", COMMON).resumed() is None


@pytest.mark.parametrize(
    ("changed", "parameter", "way"),
    [
        (replace(COMMON, cutoff="at"), "cutoff", "with --cutoff none"),
        (replace(COMMON, samples=5), "samples", "with --samples 1000"),
        (replace(COMMON, all_differences=True), "differences", "without --differences"),
        (replace(COMMON, schema="another"), "resume", "schema of the base or the view has changed"),
    ],
)
def test_another_comparison_is_refused_by_what_differs(
    tmp_path: Path, changed: Common, parameter: str, way: str
) -> None:
    kept(tmp_path / "state")
    with pytest.raises(UsageError, match=way) as refused:
        Keeper(tmp_path / "state", changed).resumed()
    assert refused.value.parameter == parameter
