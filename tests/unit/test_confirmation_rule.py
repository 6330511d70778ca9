"""The confirmation rule: case by case, and on thousands of random histories."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.reconcile.confirm.rule import (
    GONE,
    IN_STEP,
    KEEPS_CHANGING,
    MAY_COME_BACK,
    MOST_LOOKS,
    OTHER_TIMES,
    BaseRow,
    Cells,
    Judgement,
    Look,
    judge,
)
from balancebook.reconcile.kinds import FAULTS, Kind
from confirmation_model import GRACE_S, SELECTED, Mutation, World, settled

HEALTHY = (
    ["flag"],
    ["value"],
    ["all"],
    ["flag", "null"],
    ["all", "delete"],
    ["flag", "all", "null", "delete", "unselected"],
    ["flag ttl", "value"],
    ["all ttl", "flag", "delete"],
)
KEYED = (
    ["key"],
    ["key", "value"],
    ["key", "all", "delete"],
    ["key", "no key", "flag", "null"],
    ["key", "all ttl"],
)
RATES = (0.02, 0.1, 0.3, 1, 3)
HISTORIES = 25


def world(chance: random.Random, kinds: list[str], *, keyed: bool = False, **more: object) -> World:
    skew = chance.choice([0.0, 0.0, 0.2, 20.0])
    slow = chance.choice(["small", "near", "mixed"])
    return World(chance, kinds, chance.choice(RATES), keyed, skew, slow=slow, **more)  # type: ignore[arg-type]


# 800 x 25 histories, 20,000: a minute of CPU.
@pytest.mark.timeout(900)
@settings(max_examples=800)
@given(seed=st.integers(0, 2**48))
def test_a_view_within_its_grace_period_is_never_at_fault(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(HISTORIES):
        keyed = chance.random() < 0.5
        course = settled(
            world(chance, chance.choice(KEYED if keyed else HEALTHY), keyed=keyed), chance.uniform(0, 100)
        )
        if course:
            assert course.judgement.kind not in FAULTS, course


LASTING = {
    "row deleted far ahead": Mutation(0, 10**12, {"delete": 1}),
    "cell written far ahead": Mutation(0, 10**12, {"b": 77}),
}


@settings(max_examples=200)
@given(seed=st.integers(0, 2**48))
def test_a_lasting_fault_is_never_lagging(seed: int) -> None:
    """Of rows that are never deleted, nulled or expired: their fault cannot go away."""
    chance = random.Random(seed)
    for fault in LASTING.values():
        kinds = chance.choice([["flag"], ["value"], ["all"], ["flag", "all", "unselected"]])
        course = settled(world(chance, list(kinds), faults=[fault]), chance.uniform(0, 100))
        assert course
        assert course.judgement.kind is not Kind.LAGGING, course


def test_lasting_faults_are_named() -> None:
    """At most one in fifty is left unknown: rows that are rewritten as a whole, three times a second."""
    chance, found = random.Random(7), Counter[Kind]()
    for number in range(1000):
        fault = list(LASTING.values())[number % 2]
        course = settled(
            world(chance, chance.choice([["flag"], ["value"], ["all"]]), faults=[fault]),
            chance.uniform(0, 100),
        )
        assert course
        found[course.judgement.kind] += 1
    assert found[Kind.LOST] + found[Kind.MISMATCH] >= 980, found


# Before all that the writers write, and after the row was inserted.
_EARLY = -(10**7)
MISSED: dict[str, tuple[dict[str, object], list[str], set[Kind]]] = {
    "the row was never inserted": ({"inserted": False}, [], {Kind.LOST}),
    "it was not, and others are written": ({"inserted": False}, ["unselected"], {Kind.LOST, Kind.MISMATCH}),
    "it was not, and its cells are updated": ({"inserted": False}, ["flag"], {Kind.LOST, Kind.MISMATCH}),
    "an update was lost": ({"missed": [Mutation(0, _EARLY, {"b": 77})]}, ["value", "unselected"], {Kind.MISMATCH}),
    "a null was lost": ({"missed": [Mutation(0, _EARLY, {"b": None})]}, ["value"], {Kind.MISMATCH}),
    "a deletion was lost": ({"missed": [Mutation(0, _EARLY, {"delete": 1})]}, [], {Kind.ORPHAN}),
    "a deletion was lost, and a cell written": (
        {"missed": [Mutation(0, _EARLY, {"delete": 1})]}, ["value"], {Kind.ORPHAN, Kind.MISMATCH},
    ),
    "a change of the key was lost": (
        {"missed": [Mutation(0, _EARLY, {"k": 1})], "keyed": True}, ["value", "unselected"], {Kind.ORPHAN},
    ),
    "the row was never inserted under its key": (
        {"inserted": False, "keyed": True}, ["value", "unselected"], {Kind.LOST},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSED)
def test_what_never_reached_the_view_is_named(case: str) -> None:
    """The commonest faults: no later write repairs them."""
    how, kinds, expected = MISSED[case]
    chance, found = random.Random(11), Counter[Kind]()
    for _ in range(150):
        keyed = bool(how.get("keyed"))
        more = {name: value for name, value in how.items() if name != "keyed"}
        made = world(chance, list(kinds or ["value"]), keyed=keyed, **more)
        if not kinds:
            made.rate = 1e-9
        course = settled(made, chance.uniform(0, 100))
        if course is None:
            # Whose cells were all written since, or are equal by chance.
            found[Kind.LAGGING] += case not in ("it was not, and its cells are updated",)
            continue
        found[course.judgement.kind] += 1
        in_step = any(look.derived == look.view and look.view for look in course.looks)
        assert course.judgement.kind is not Kind.LAGGING or in_step, course
    named = sum(found[kind] for kind in expected)
    assert not found.keys() - expected - {Kind.UNKNOWN, Kind.LAGGING}, found
    assert named >= 147 or case == "it was not, and its cells are updated", found


OLD, NEW = b"\0" * 7 + b"\1", b"\0" * 7 + b"\2"
FIVE, SIX = b"\0\0\0\5", b"\0\0\0\6"
ROW = Cells((FIVE, FIVE), (OLD, OLD))
HOME = BaseRow(ROW)


def looks(*seen: tuple[Cells | None, BaseRow | None]) -> list[Look]:
    """(view, base) one grace period after the other."""
    return [Look(view, base, 11.0 * n, 11.0 * n + 0.5) for n, (view, base) in enumerate(seen)]


def judged(*seen: tuple[Cells | None, BaseRow | None], suspicion: Kind = Kind.MISMATCH) -> Judgement | None:
    return judge(looks(*seen), suspicion=suspicion, grace_s=GRACE_S)


def cells(value: bytes | None, time: bytes | None) -> Cells:
    return Cells((FIVE, value), (OLD, time))


def test_one_look_in_step_is_enough_whatever_comes_after() -> None:
    assert judged((ROW, HOME)) == Judgement(Kind.LAGGING, IN_STEP)
    assert judged((ROW, HOME), (None, HOME)) == Judgement(Kind.LAGGING, IN_STEP)


def test_equal_values_with_other_write_times_are_no_evidence() -> None:
    chance_equal = (cells(FIVE, NEW), HOME)
    assert judged(chance_equal) is None
    assert judged(*[chance_equal] * MOST_LOOKS) == Judgement(Kind.UNKNOWN, OTHER_TIMES)


def test_a_row_gone_from_both_sides_was_an_orphan_in_flight() -> None:
    assert judged((None, None), suspicion=Kind.ORPHAN) == Judgement(Kind.LAGGING, GONE)


GONE_NOW = (None, None)


@pytest.mark.parametrize("suspicion", [Kind.LOST, Kind.MISMATCH, Kind.ORPHAN])
@pytest.mark.parametrize("view", [None, cells(SIX, OLD)], ids=["lost", "wrong"])
def test_a_lost_or_wrong_row_must_be_gone_to_the_last_look(suspicion: Kind, view: Cells | None) -> None:
    """Never right in the view and deleted now and then, it is in step whenever it is deleted."""
    lost = (view, HOME)
    for gone in range(1, MOST_LOOKS - 1):
        assert judged(lost, *[GONE_NOW] * gone, suspicion=suspicion) is None
    assert judged(lost, *[GONE_NOW] * (MOST_LOOKS - 1), suspicion=suspicion) == Judgement(Kind.LAGGING, GONE)
    assert judged(lost, *[GONE_NOW] * MOST_LOOKS, suspicion=suspicion) == Judgement(Kind.LAGGING, GONE)
    # The base's cell is rewritten each time, and so is the view's other one: nothing is proved by one that stayed.
    times = [bytes([0, n]) * 4 for n in range(1, MOST_LOOKS)]
    back = [(view and cells(SIX, time), BaseRow(cells(FIVE, time))) for time in times]
    for seen in (
        [lost, GONE_NOW, GONE_NOW, back[0], *[GONE_NOW] * (MOST_LOOKS - 4)],
        [back[0], GONE_NOW] * (MOST_LOOKS // 2),
        [GONE_NOW, lost, *[GONE_NOW] * (MOST_LOOKS - 2)],
        [*back, GONE_NOW],
    ):
        assert len(seen) == MOST_LOOKS
        assert judged(*seen, suspicion=suspicion) == Judgement(Kind.UNKNOWN, MAY_COME_BACK)


@pytest.mark.parametrize("suspicion", [Kind.LOST, Kind.MISMATCH])
def test_a_row_that_was_wrong_before_the_first_look_must_be_gone_to_the_last(suspicion: Kind) -> None:
    for gone in range(1, MOST_LOOKS):
        assert judged(*[GONE_NOW] * gone, suspicion=suspicion) is None
    assert judged(*[GONE_NOW] * MOST_LOOKS, suspicion=suspicion) == Judgement(Kind.LAGGING, GONE)


def test_a_row_that_stayed_in_the_base_and_is_missing_from_the_view_is_lost() -> None:
    assert judged((None, HOME)) is None
    assert judged((None, HOME), (None, HOME)) == Judgement(Kind.LOST)


def test_a_look_before_the_grace_period_is_over_proves_nothing() -> None:
    early = [Look(None, HOME, 0, 0.5), Look(None, HOME, 10.4, 10.6)]
    assert judge(early, suspicion=Kind.LOST, grace_s=GRACE_S) is None
    in_time = [early[0], Look(None, HOME, 10.5, 10.6)]
    assert judge(in_time, suspicion=Kind.LOST, grace_s=GRACE_S) == Judgement(Kind.LOST)


def test_a_row_that_was_rewritten_as_a_whole_may_have_been_deleted_meanwhile() -> None:
    rewritten = BaseRow(Cells((FIVE, FIVE), (NEW, NEW)))
    assert judged((None, HOME), (None, rewritten)) is None


def test_one_cell_that_was_not_written_shows_that_the_row_stayed() -> None:
    touched = BaseRow(Cells((FIVE, SIX), (OLD, NEW)))
    assert judged((None, HOME), (None, touched)) == Judgement(Kind.LOST)
    unselected = [BaseRow(Cells((FIVE, FIVE), (time, time)), others=(OLD,)) for time in (OLD, NEW)]
    assert judged((None, unselected[0]), (None, unselected[1])) == Judgement(Kind.LOST)


def seconds(life: int) -> bytes:
    return life.to_bytes(4, "big")


# The two looks take 11.5 s from the beginning of the first to the end of the second, and clocks may differ by two.
LONG, SHORT = seconds(14), seconds(13)
LIVES = {
    "for good": (None, True),
    "beyond the last look": (LONG, True),
    "not so long": (SHORT, False),
    "elements for good": (seconds(2) + b"\xff" * 8, True),
    "to the end of this second": (seconds(0), False),
    "elements, one not so long": (seconds(2) + seconds(4) + LONG + seconds(4) + SHORT, False),
    "elements, one for good": (seconds(2) + b"\xff" * 4 + seconds(4) + LONG, True),
}


@pytest.mark.parametrize(("life", "proves"), LIVES.values(), ids=LIVES)
def test_a_cell_that_may_have_expired_meanwhile_shows_nothing(life: bytes | None, proves: bool) -> None:
    """It may have been written again at the same write time, to live longer, and the view may not have that yet."""

    def said(view: Cells | None, base: BaseRow | None) -> Kind | None:
        found = judged((view, base), (view, base))
        return found.kind if found else None

    alone = Cells((FIVE,), (OLD,), (life,))
    assert said(None, BaseRow(alone)) is (Kind.LOST if proves else None)
    assert said(alone, None) is (Kind.ORPHAN if proves else None)
    assert said(Cells((None,), (None,)), BaseRow(alone)) is (Kind.MISMATCH if proves else None)
    assert said(alone, BaseRow(Cells((None,), (None,)))) is (Kind.MISMATCH if proves else None)
    nothing = Cells((None,), (None,))
    assert said(None, BaseRow(nothing, others=(OLD,), other_lives=(life,))) is (Kind.LOST if proves else None)
    moved = BaseRow(None, (SIX,), (OLD,), key_lives=(life,))
    assert said(Cells((FIVE,), (NEW,), (SHORT,)), moved) is (Kind.ORPHAN if proves else None)
    there = BaseRow(Cells((FIVE,), (OLD,)), (SIX,), (OLD,), key_lives=(life,))
    assert said(None, there) is (Kind.LOST if proves else None)


def test_cells_that_differ_in_their_time_to_live_alone_are_in_step() -> None:
    living = Cells((FIVE, FIVE), (OLD, OLD), (SHORT, LONG))
    assert judged((living, HOME)) == Judgement(Kind.LAGGING, IN_STEP)


def test_a_null_cell_shows_nothing() -> None:
    empty = BaseRow(Cells((None, None), (None, None)), others=(None,))
    assert judged((None, empty), (None, empty)) is None


def keyed(derived: Cells | None, value: bytes | None, time: bytes | None) -> BaseRow:
    return BaseRow(derived, (value,), (time,))


def test_a_key_that_changed_and_changed_back_derives_the_row_anew() -> None:
    assert judged((None, keyed(ROW, FIVE, OLD)), (None, keyed(ROW, FIVE, NEW))) is None
    assert judged((None, keyed(ROW, FIVE, OLD)), (None, keyed(ROW, FIVE, OLD))) == Judgement(Kind.LOST)
    assert judged((None, keyed(ROW, None, None)), (None, keyed(ROW, None, None))) is None


def test_a_cell_that_differs_from_one_that_was_not_written_is_a_mismatch() -> None:
    wrong = cells(SIX, NEW)
    assert judged((wrong, HOME), (wrong, HOME)) == Judgement(Kind.MISMATCH)
    # The base's other cell is written all the time, and the view's too.
    busy = [
        (Cells((each, SIX), (each * 2, NEW)), BaseRow(Cells((each, FIVE), (each * 2, OLD))))
        for each in (FIVE, SIX)
    ]
    assert judged(*busy) == Judgement(Kind.MISMATCH)


def test_a_cell_older_than_what_the_base_had_a_grace_period_ago_is_a_mismatch() -> None:
    newer = (NEW[:-1] + b"\3", NEW[:-1] + b"\4")
    base = [BaseRow(Cells((FIVE, bytes([n])), (OLD, time))) for n, time in enumerate(newer)]
    view = [Cells((FIVE, SIX), (OLD, time)) for time in (OLD, NEW)]
    assert judged((view[0], base[0]), (view[1], base[1])) == Judgement(Kind.MISMATCH)
    assert judged((view[0], base[0]), (Cells((FIVE, SIX), (OLD, newer[0])), base[1])) is None


def test_a_cell_that_the_base_read_after_it_had_otherwise_is_a_mismatch_if_it_stays() -> None:
    wrong = cells(SIX, NEW[:-1] + b"\7")
    bases = [BaseRow(Cells((FIVE, bytes([n])), (NEW, NEW[:-1] + bytes([n])))) for n in (3, 4)]
    assert judged((wrong, bases[0]), (wrong, bases[1])) == Judgement(Kind.MISMATCH)
    nulls = [BaseRow(cells(None, None))] * 2
    assert judged((wrong, nulls[0]), (wrong, nulls[1])) == Judgement(Kind.MISMATCH)


def test_a_cell_of_the_view_that_is_missing_there_is_a_mismatch() -> None:
    assert judged(*[(cells(None, None), HOME)] * 2) == Judgement(Kind.MISMATCH)


def test_a_view_row_that_the_base_no_longer_has_is_an_orphan_if_it_stays() -> None:
    assert judged((ROW, None), (ROW, None)) == Judgement(Kind.ORPHAN)
    assert judged((ROW, None), (Cells((FIVE, FIVE), (NEW, NEW)), None)) is None
    assert judged((None, None), (ROW, None)) is None


def test_a_view_row_is_an_orphan_while_the_base_row_stays_under_another_key() -> None:
    assert judged((ROW, keyed(None, SIX, OLD)), (ROW, keyed(None, SIX, OLD))) == Judgement(Kind.ORPHAN)
    assert judged((ROW, keyed(None, SIX, OLD)), (ROW, keyed(None, SIX, NEW))) is None
    # Without a key it may come back as it was, cells and all.
    assert judged((ROW, keyed(None, None, None)), (ROW, keyed(None, None, None))) is None


def test_what_is_so_at_each_look_is_so() -> None:
    """Rows without write times, or rewritten as a whole between all looks."""
    for count, outcome in ((MOST_LOOKS - 1, None), (MOST_LOOKS, Kind.LOST)):
        hot = [(None, BaseRow(Cells((FIVE, FIVE), (bytes(7) + bytes([n]),) * 2))) for n in range(count)]
        found = judged(*hot, suspicion=Kind.LOST)
        assert (found and found.kind) is outcome
    keys_alone = Cells((), ())
    orphan = judged(*[(keys_alone, None)] * MOST_LOOKS, suspicion=Kind.ORPHAN)
    assert orphan and orphan.kind is Kind.ORPHAN
    untimed = judged(*[(Cells((SIX,), (None,)), BaseRow(Cells((FIVE,), (None,))))] * MOST_LOOKS)
    assert untimed and untimed.kind is Kind.MISMATCH


def test_what_changes_at_every_look_is_unknown() -> None:
    seen = [
        (Cells((bytes([n]),), (None,)), BaseRow(Cells((bytes([n + 1]),), (None,)))) for n in range(MOST_LOOKS)
    ]
    assert judged(*seen) == Judgement(Kind.UNKNOWN, KEEPS_CHANGING)
    once_there = [(None, HOME)] * 2 + [(cells(SIX, NEW), BaseRow(Cells((FIVE, FIVE), (NEW, NEW))))]
    assert judged(*once_there[1:], suspicion=Kind.LOST) is None


def test_the_model_has_what_it_is_said_to_have() -> None:
    """Suspects are met, and nulls, deletions, equal write times, rows without a key and long courses occur."""
    chance = random.Random(1)
    kinds = [HEALTHY[5], HEALTHY[7], KEYED[3]]
    courses = [
        course
        for number in range(600)
        if (course := settled(world(chance, list(kinds[number % 3]), keyed=number % 3 == 2), 0.0))
    ]
    reasons = Counter(course.judgement.reason for course in courses)
    assert (reasons[IN_STEP] > 200, reasons[GONE] > 5) == (True, True), reasons
    seen = [look for course in courses for look in course.looks]
    shown = [side for look in seen for side in (look.derived, look.view) if side]
    occurs = {
        "a null": sum(None in side.values for side in shown),
        "equal write times of two cells": sum(len(set(side.times)) < len(SELECTED) for side in shown),
        "no row of the base": sum(look.base is None for look in seen),
        "a row without a key": sum(look.base is not None and look.base.derived is None for look in seen),
        "one side alone": sum((look.derived is None) != (look.view is None) for look in seen),
        "in step": sum(look.derived is not None and look.derived == look.view for look in seen),
        "three looks or more": sum(len(course.looks) > 2 for course in courses),
    }
    assert min(occurs.values()) > 5, occurs


LISTED = bytes(4) + NEW


@pytest.mark.parametrize(
    ("view_time", "base_time"), [(LISTED, NEW), (OLD, LISTED), (LISTED, LISTED), (OLD, None)]
)
def test_a_list_of_write_times_is_not_older(view_time: bytes | None, base_time: bytes | None) -> None:
    """Of a column that is not frozen the server gives one for each element."""
    stale = (cells(SIX, view_time), BaseRow(cells(FIVE, base_time)))
    moved = (cells(b"\0\0\0\x08", view_time), BaseRow(cells(b"\0\0\0\7", NEW + b"\0")))
    assert judged(stale, moved) is None
