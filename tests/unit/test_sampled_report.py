"""What a sample's report says, sentence by sentence, and how the draws of one side come to their numbers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from balancebook.reconcile.bound import upper_bound
from balancebook.reconcile.confirm.settle import Outcome
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.draws import Drawn, Met
from balancebook.reconcile.grid import Grid
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sampled_report import SampledReport, SideSample, side_sample, why_incomplete
from balancebook.reconcile.sampler import SideDraws
from balancebook.verdict import Verdict

GRID = Grid(10)


def key(number: int) -> RawKey:
    return (bytes([number]),)


def drawn(
    cell: int, rows: int = 4, *, met: tuple[int, ...] = (), unread: str = "", capped: bool = False
) -> Drawn:
    seen = {key(number): Met(Suspect(key(number)), (None, None), Kind.LOST) for number in met}
    return Drawn(GRID.tokens(cell), rows, capped, unread, seen)


def side(*known: Drawn, twice: tuple[int, ...] = (), grid: Grid = GRID) -> SideDraws:
    made = SideDraws("base", grid, random.Random(0))
    made.known = {each.tokens: each for each in known}
    made.order = [each.tokens for each in known] + [GRID.tokens(cell) for cell in twice]
    return made


def settled(**kinds: Kind) -> dict[RawKey, Outcome]:
    return {
        key(int(name[1:])): Outcome(Suspect(key(int(name[1:]))), kind, "", None, None)
        for name, kind in kinds.items()
    }


def test_a_range_with_a_fault_and_one_with_an_open_row_both_count_in_the_bound() -> None:
    known = (
        drawn(0, met=(1,)),
        drawn(1, met=(2,)),
        drawn(2, met=(3,)),
        drawn(3, rows=1000, capped=True),
        drawn(4),
    )
    found = side_sample(side(*known), settled(k1=Kind.LOST, k2=Kind.UNKNOWN, k3=Kind.LAGGING))
    assert (found.faulty, found.unsettled, found.read, found.drawn, found.rows) == (1, 2, 5, 5, 1016)
    assert found.bound == upper_bound(5, 3)
    assert (found.capped, found.whole, found.unknown, found.ranges) == ((GRID.tokens(3),), False, (), 10)


def test_a_range_with_a_fault_is_not_unsettled_too() -> None:
    known = drawn(0, met=(1, 2)), drawn(1, met=(3,), capped=True)
    found = side_sample(side(*known), settled(k1=Kind.LOST, k2=Kind.UNKNOWN, k3=Kind.ORPHAN))
    assert (found.faulty, found.unsettled, found.bound) == (2, 0, 1.0)


@pytest.mark.parametrize("kind", Kind)
def test_which_kinds_make_a_range_faulty_or_open(kind: Kind) -> None:
    found = side_sample(side(drawn(0, met=(1,))), settled(k1=kind))
    faulty, unsettled = kind in (Kind.LOST, Kind.MISMATCH, Kind.ORPHAN), kind is Kind.UNKNOWN
    assert (found.faulty, found.unsettled) == (faulty, unsettled)


def test_a_suspect_that_never_differed_counts_for_nothing() -> None:
    found = side_sample(side(drawn(0, met=(1,))), {})
    assert (found.faulty, found.unsettled, found.read) == (0, 0, 1)


def test_a_range_drawn_twice_is_two_draws_and_its_rows_count_once() -> None:
    found = side_sample(side(drawn(0, met=(1,)), drawn(1), twice=(0,)), settled(k1=Kind.LOST))
    assert (found.drawn, found.read, found.faulty, found.rows) == (3, 3, 2, 8)
    assert found.bound == upper_bound(3, 2)


def test_what_could_not_be_read_is_named_and_neither_read_nor_counted() -> None:
    known = (
        drawn(0),
        drawn(1, unread="No answer."),
        drawn(2, unread="No answer."),
        drawn(5, unread="Refused."),
    )
    found = side_sample(side(*known), {})
    assert (found.drawn, found.read, found.rows) == (4, 1, 4)
    assert found.unknown == ((GRID.tokens(1)[0], GRID.tokens(2)[1]), GRID.tokens(5))
    assert found.reasons == ("No answer.", "Refused.")
    assert found.bound == upper_bound(1, 0)


@pytest.mark.parametrize("last", [drawn(9), drawn(9, unread="x"), drawn(9, capped=True)])
def test_only_a_ring_read_to_its_end_is_whole(last: Drawn) -> None:
    known = [drawn(cell) for cell in range(9)]
    known[0] = drawn(0, met=(1,))
    found = side_sample(side(*known, last), settled(k1=Kind.LOST))
    whole = not last.unread and not last.capped
    assert found.whole is whole
    assert (found.bound == 0.1) is whole
    assert not side_sample(side(*known), {}).whole


def test_open_rows_of_a_whole_ring_count_in_its_share() -> None:
    known = [drawn(0, met=(1,)), drawn(1, met=(2,)), *(drawn(cell) for cell in range(2, 10))]
    assert side_sample(side(*known), settled(k1=Kind.LOST, k2=Kind.UNKNOWN)).bound == 0.2


CLEAN = SideSample(
    name="base", ranges=1000, drawn=64, read=64, faulty=0, unsettled=0, rows=2048, unknown=(), reasons=(),
    capped=(), whole=False, bound=0.0457,
)  # fmt: skip
OF_VIEW = replace(CLEAN, name="view", rows=2050)


def report(base: SideSample = CLEAN, view: SideSample = OF_VIEW, **counts: int) -> SampledReport:
    reasons = (*why_incomplete(base), *why_incomplete(view))
    return SampledReport(
        rows_base=base.rows, rows_view=view.rows, samples=(), complete=not reasons, reasons=reasons,
        counts=dict.fromkeys(Kind, 0) | {Kind(name): number for name, number in counts.items()},
        base=base, view=view, seed=7, seconds=1.0,
    )  # fmt: skip


LEFT_OPEN = (
    " At 95 % confidence each, at most 4.6 % of the base's 1,000 ranges and at most 4.6 % of the view's 1,000 "
    "ranges hold a difference."
)
UNREAD = replace(CLEAN, read=60, unknown=((0, 9),), reasons=("No answer.",))
NOT_READ = "token ranges (0, 9] of the base could not be read: No answer"
SAID = {
    "pass": (
        report(),
        "pass (sampled)",
        "No difference in 64 ranges of the base (2,048 rows) and 64 of the view (2,050 rows), drawn at random."
        + LEFT_OPEN,
    ),
    "a fault": (
        report(replace(CLEAN, faulty=2), LOST=3, MISMATCH=1),
        "fail",
        "3 LOST, 1 MISMATCH in what was sampled: 2 of 64 ranges of the base and 0 of 64 of the view hold a fault."
        + LEFT_OPEN,
    ),
    "a fault and an open row": (
        report(replace(CLEAN, faulty=1), LOST=1, UNKNOWN=2),
        "fail",
        "1 LOST in what was sampled: 1 of 64 ranges of the base and 0 of 64 of the view hold a fault."
        + LEFT_OPEN
        + " 2 more rows look wrong and were not confirmed.",
    ),
    "an open row": (report(UNKNOWN=2), "unknown", f"2 UNKNOWN could not be confirmed.{LEFT_OPEN}"),
    "unread": (
        report(UNREAD),
        "unknown",
        f"Not everything that was drawn could be compared: {NOT_READ}.{LEFT_OPEN}",
    ),
    "unread, and a fault": (
        report(replace(UNREAD, faulty=1), ORPHAN=1),
        "fail",
        "1 ORPHAN in what was sampled: 1 of 60 ranges of the base and 0 of 64 of the view hold a fault."
        + LEFT_OPEN
        + f" Not everything was compared: {NOT_READ}.",
    ),
    "in part": (
        report(replace(CLEAN, capped=((0, 9),)), replace(OF_VIEW, capped=((0, 9), (9, 12)))),
        "pass (sampled)",
        "No difference in 64 ranges of the base (2,048 rows) and 64 of the view (2,050 rows), drawn at random."
        f"{LEFT_OPEN} Of 3 large ranges only the first 1,000 rows were compared.",
    ),
    "in flight": (
        report(LAGGING=4),
        "pass (sampled)",
        "No difference in 64 ranges of the base (2,048 rows) and 64 of the view (2,050 rows), drawn at random."
        f"{LEFT_OPEN} 4 were in flight, and in step when read again.",
    ),
    "one side alone": (
        report(replace(CLEAN, drawn=0, read=0, bound=1.0)),
        "unknown",
        "Not everything that was drawn could be compared: there was no time to draw a range of the base: allow more."
        " At 95 % confidence, at most 4.6 % of the view's 1,000 ranges hold a difference.",
    ),
    "nothing": (
        report(replace(CLEAN, drawn=0, read=0), replace(OF_VIEW, drawn=0, read=0)),
        "unknown",
        "Not everything that was drawn could be compared: there was no time to draw a range of the base: allow more; "
        "there was no time to draw a range of the view: allow more.",
    ),
    "all of one side": (
        report(replace(CLEAN, whole=True, bound=0.007, faulty=7), LOST=7),
        "fail",
        "7 LOST in what was sampled: 7 of 64 ranges of the base and 0 of 64 of the view hold a fault. At 95 % "
        "confidence, at most 4.6 % of the view's 1,000 ranges hold a difference. By all that was read, 7 of all 1,000 "
        "ranges of the base hold a difference.",
    ),
    "all of it": (
        report(replace(CLEAN, whole=True, bound=0.0), replace(OF_VIEW, whole=True, bound=0.0)),
        "pass (sampled)",
        "No difference in 64 ranges of the base (2,048 rows) and 64 of the view (2,050 rows), drawn at random."
        " By all that was read, 0 of all 1,000 ranges of the base and 0 of all 1,000 ranges of the view hold a "
        "difference.",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said(case: str) -> None:
    found, label, message = SAID[case]
    assert found.message == message
    assert found.label == label
    assert found.verdict is Verdict(label.partition(" ")[0])


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (3, "(0, 1], (2, 3], (4, 5] of the base"),
        (4, "(0, 1], (2, 3], (4, 5] and 1 more of the base"),
        (1003, "(0, 1], (2, 3], (4, 5] and 1,000 more of the base"),
    ],
)
def test_unread_ranges_are_named_up_to_three(count: int, named: str) -> None:
    found = replace(UNREAD, unknown=tuple((2 * n, 2 * n + 1) for n in range(count)), reasons=("A.", "B."))
    assert why_incomplete(found) == [f"token ranges {named} could not be read: A; B"]
    assert why_incomplete(CLEAN) == []


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.0457, "4.6 %"),
        (0.0461, "4.7 %"),
        (0.00997, "1.00 %"),
        (0.00985, "0.99 %"),
        (0.000123, "0.013 %"),
        (0.123, "13 %"),
        (0.1005, "11 %"),
        (0.01005, "1.1 %"),
        (0.9999, "100 %"),
    ],
)
def test_a_bound_is_rounded_up_to_two_digits(bound: float, said: str) -> None:
    assert replace(CLEAN, bound=bound).claim == f"at most {said} of the base's 1,000 ranges"


def test_the_details_of_both_sides() -> None:
    found = report(replace(CLEAN, faulty=2, capped=((0, 9),)), LOST=2).details()
    assert found == {
        "seed": "7",
        "confidence": 95,
        "base": {"ranges": 1000, "drawn": 64, "read": 64, "faulty": 2, "capped": 1, "bound": "0.0457"},
        "view": {"ranges": 1000, "drawn": 64, "read": 64, "faulty": 0, "capped": 0, "bound": "0.0457"},
    }
