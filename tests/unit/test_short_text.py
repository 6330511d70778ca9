"""Whatever comes from elsewhere has a bounded size where people and records see it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from balancebook.checks.base import CHECKS, Finding, check, failed
from balancebook.checks.context import Context
from balancebook.core.short_text import LONGEST_CELL, LONGEST_MESSAGE, enumerated, shortened, shortened_json
from balancebook.settings import load_profile
from balancebook.tables import cell_text
from balancebook.verdict import Json

ASSETS = [f"ASSET{number}" for number in range(30_000)]


def test_short_text_stays_and_long_text_says_how_long_it_was() -> None:
    assert shortened("x" * LONGEST_CELL) == "x" * LONGEST_CELL
    assert shortened("x" * 30_000, 10) == "xxxxxxxxxx... (30,000 characters)"


def test_names_are_enumerated() -> None:
    assert enumerated(["a", "b"]) == "a, b"
    assert enumerated(ASSETS).endswith("ASSET19 and 29,980 more")
    assert len(enumerated(["x" * 1_000_000] * 30)) < 4_000


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ASSETS,
        {name: name for name in ASSETS},
        [["x" * 1_000_000] * 500] * 3,
        10**10_000,
        -(10**10_000),
    ],
    ids=["text", "list", "object", "nested", "integer", "negative"],
)
def test_a_value_of_a_sample_is_bounded_at_every_depth(value: Json) -> None:
    assert len(json.dumps(shortened_json(value))) < 1_000_000
    flat = shortened_json(value)
    assert "..." in json.dumps(flat) or "more" in json.dumps(flat)


@pytest.mark.parametrize("value", [None, True, 0, 2**64, "x", ["a", None], {"k": [1, {"x": "y"}]}])
def test_what_is_small_is_not_touched(value: Json) -> None:
    assert shortened_json(value) == value


@pytest.mark.parametrize(
    "cell", ["x" * 1_000_000, 10**10_000, Decimal("1e-100000"), ASSETS], ids=str.split("t i d l")
)
def test_a_cell_of_a_table_is_bounded(cell: object) -> None:
    assert len(cell_text(cell)) < LONGEST_CELL + 50


def test_a_check_that_names_everything_leaves_a_bounded_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.checks.base.CHECKS", registered := dict(CHECKS))

    def tells_all(_ctx: Context) -> Finding:
        samples: list[dict[str, Json]] = [{"asset": name * 1_000, "all": [*ASSETS]} for name in ASSETS[:25]]
        return failed(", ".join(ASSETS), samples=samples)

    check("X003", "tells_all")(tells_all)
    result = registered["X003"].run(Context(load_profile("embedded", env={})))
    assert len(result.message) < LONGEST_MESSAGE + 50
    assert result.message.startswith("ASSET0, ASSET1")
    assert "characters)" in result.message
    assert len(json.dumps(result.samples)) < 200_000
