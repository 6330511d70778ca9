"""What is made of measured costs: which accounts are measured, which query is chosen and why, and the picture."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from balancebook import cost_figure
from balancebook.balances.choice import choose
from balancebook.balances.cost import Cost, spread
from balancebook.balances.sample import Sampled
from balancebook.store.traces import Trace, to_trace
from balancebook.verdict import Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
RIGHT = {"group_by": PASS, "skip_scan": PASS, "in_assets": PASS, "seed_limit_one": FAIL}


def cost(strategy: str, rows_read: int | None, statements: int = 1, entries: int = 20_000) -> Cost:
    return Cost(
        strategy=strategy,
        account=entries,
        entries=entries,
        statements=statements,
        rows_read=rows_read,
        microseconds=rows_read,
        cql=(f"SELECT {strategy}",),
    )


DEEP = [cost("group_by", 20_000), cost("skip_scan", 4, 4), cost("in_assets", 3), cost("seed_limit_one", 1)]


def test_the_one_that_reads_least_and_needs_no_list_is_chosen() -> None:
    found = choose(RIGHT, DEEP)
    assert (found.strategy, found.cql) == ("skip_scan", ("SELECT skip_scan",))
    assert found.why[0].startswith(
        "Of the 20,000 entries of account 20000 the server reads 4 rows for it, in 4 statements; it needs no list"
    )
    assert "group_by: 20,000 rows read, 1 statement." in found.why
    assert "in_assets: 3 rows read, 1 statement; it must be told the assets." in found.why
    assert found.why[-1] == "seed_limit_one: wrong, so disqualified whatever its speed."


def test_a_list_is_worth_it_if_it_saves_more_than_half() -> None:
    costs = [cost("group_by", 20_000), cost("skip_scan", 7, 4), cost("in_assets", 3)]
    assert choose(RIGHT, costs).strategy == "in_assets"


def test_what_is_wrong_or_not_known_to_be_right_is_never_chosen() -> None:
    found = choose(RIGHT | {"skip_scan": FAIL}, DEEP)
    assert found.strategy == "in_assets"
    assert found.why[-1] == "skip_scan, seed_limit_one: wrong, so disqualified whatever its speed."
    found = choose(RIGHT | {"skip_scan": UNKNOWN, "in_assets": UNKNOWN}, DEEP)
    assert found.strategy == "group_by"
    assert "skip_scan, in_assets: not known to be right." in found.why
    found = choose(dict.fromkeys(RIGHT, FAIL), DEEP)
    assert (found.strategy, found.cql) == (None, ())


def test_without_traces_none_is_recommended() -> None:
    found = choose(RIGHT, [cost(name, None) for name in RIGHT])
    assert found.strategy is None
    assert "Right are group_by, skip_scan, in_assets." in found.why[0]
    # Nor by an account of which one strategy's reads are missing: it may be that one that reads least.
    shallow = [cost(name, 5, entries=5) for name in ("group_by", "skip_scan", "in_assets")]
    found = choose(RIGHT, [*shallow, cost("group_by", 20_000), cost("skip_scan", 3)])
    assert "Of the 5 entries" in found.why[0]


def sampled(entries: int, account: int | None = None) -> Sampled:
    return Sampled(account if account is not None else entries, (), (), entries)


def test_measured_accounts_are_spread_over_the_depths() -> None:
    accounts = [
        sampled(50),
        sampled(0),
        *(sampled(entries) for entries in range(100, 1100)),
        sampled(1),
        sampled(20_000),
    ]
    chosen = [each.entries for each in spread(accounts, 6)]
    assert chosen == sorted(chosen)
    assert len(chosen) == 6
    assert {1, 50, 20_000} <= set(chosen)
    assert [each.entries for each in spread(accounts[:2], 6)] == [50]
    assert spread([sampled(0)], 6) == []
    assert len(spread([sampled(7, account) for account in range(30)], 12)) == 12


@pytest.mark.parametrize(
    ("activities", "expected"),
    [
        (["Read 3 live rows and 2 tombstone cells", "Parsing SELECT"], Trace(3, 2, 9)),
        (["Read 100 live rows and 0 tombstone cells"] * 2, Trace(200, 0, 9)),
        (["Read 7 live and 1 tombstone cells"], Trace(7, 1, 9)),
    ],
)
def test_the_events_of_a_trace_add_up(activities: list[str], expected: Trace) -> None:
    assert to_trace(9, activities) == expected


def test_the_picture_shows_each_strategy_and_which_is_wrong() -> None:
    costs = [*DEEP, *(cost(name, 10, entries=10) for name in RIGHT), cost("group_by", None, entries=0)]
    figure = cost_figure.over_depth(costs, RIGHT)
    rows, times = figure.axes
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in rows.get_lines()}
    assert drawn["group_by"] == [[10, 10], [20_000, 20_000]]
    assert "seed_limit_one (wrong)" in drawn
    assert (
        {axes.get_xscale() for axes in (rows, times)}
        == {axes.get_yscale() for axes in (rows, times)}
        == {"log"}
    )
    assert figure.get_facecolor()[:3] == (1, 1, 1)


def test_a_picture_of_nothing_says_so() -> None:
    figure = cost_figure.over_depth([cost(name, None) for name in RIGHT], RIGHT)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not known"] * 2
    figure.savefig(BytesIO(), format="png")
