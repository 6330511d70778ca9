"""Which rows are called REPLICA: only what single replicas showed as wrong twice, of a base that nobody wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import pytest

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY, SCAN_CONSISTENCY, scan_rule
from balancebook.reconcile.confirm.by_key import KeyLooker, Seen
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.rule import BaseRow, Cells, Look
from balancebook.reconcile.confirm.scan_rule import Scan, differing
from balancebook.reconcile.confirm.settle import Settling
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import Side
from balancebook.sketch.layout import Words
from balancebook.sketch.records import ADDRESS, DERIVED, IN_STEP, KEY, PROVED, VALUES, VERSION, WORDS
from balancebook.store.reader import Reader

GRACE_S = 10.0
KEY_ = (b"1",)


def cells(value: int, time: int) -> Cells:
    return Cells((bytes([value]),), (time.to_bytes(8, "big"),))


OLD, NEW, NEWER = cells(1, 1), cells(2, 2), cells(3, 3)


class Scripted(KeyLooker):
    """Looks that were written down: of single replicas, and of a quorum."""

    replicated = True

    def __init__(self, of_one: list[Look | str], of_quorum: list[Look | str]) -> None:
        super().__init__(cast(Reader, None), cast(tuple[Side, Side], ()), cast(LookColumns, None))
        self.script = {SCAN_CONSISTENCY: of_one, CONFIRM_CONSISTENCY: of_quorum}
        self.waited: list[float] = []

    def looks(
        self,
        suspects: Iterable[Suspect],
        until: float,  # noqa: ARG002 (written down is what was in time)
        consistency: str = CONFIRM_CONSISTENCY,
    ) -> Iterator[tuple[Suspect, Seen]]:
        for suspect in suspects:
            left = self.script[consistency]
            yield suspect, left.pop(0) if len(left) > 1 else left[0]

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


def look(view: Cells | None, base: Cells | None) -> Look:
    return Look(view, BaseRow(base) if base else None, 0.0, 0.0)


def kind_of(looker: Scripted, until: float = math.inf) -> Kind:
    settling = Settling(looker, GRACE_S, looker.sleep)
    [outcome] = settling.outcomes([Suspect(KEY_, KEY_, None)], until)
    return outcome.kind


BEHIND = look(None, NEW)
IN_STEP_NOW = look(NEW, NEW)


def test_a_replica_that_shows_it_twice_is_behind() -> None:
    looker = Scripted([BEHIND], [IN_STEP_NOW])
    assert kind_of(looker) is Kind.REPLICA
    assert looker.waited
    assert looker.waited[0] >= GRACE_S


def test_an_old_cell_and_a_row_left_over_are_shown_by_replicas_too() -> None:
    assert kind_of(Scripted([look(OLD, NEW)], [IN_STEP_NOW])) is Kind.REPLICA


def test_a_replica_met_once_in_three_looks_is_behind() -> None:
    fine = look(NEW, NEW)
    assert kind_of(Scripted([fine, fine, BEHIND, fine, BEHIND], [IN_STEP_NOW])) is Kind.REPLICA


@pytest.mark.parametrize(
    "of_one",
    [
        # In step by the second time: it only lagged.
        [BEHIND, IN_STEP_NOW],
        # Another version of the base each time: it is written, and the view may lag behind each.
        [look(None, OLD), BEHIND],
        # Nothing was wrong any more.
        [IN_STEP_NOW],
        # It could not be read.
        ["no answer"],
        [BEHIND, "no answer"],
    ],
)
def test_a_view_that_lags_is_no_replica_that_is_behind(of_one: list[Look | str]) -> None:
    assert kind_of(Scripted(of_one, [IN_STEP_NOW])) is Kind.LAGGING


def test_a_base_written_before_the_quorum_is_read_excuses_it() -> None:
    assert kind_of(Scripted([BEHIND], [look(NEWER, NEWER)])) is Kind.LAGGING


def test_what_a_quorum_does_not_have_either_is_lost() -> None:
    first, second = BEHIND, Look(None, BaseRow(NEW), 100.0, 100.0)
    assert kind_of(Scripted([BEHIND], [first, second])) is Kind.LOST


def test_without_replicas_none_is_asked() -> None:
    looker = Scripted([BEHIND], [IN_STEP_NOW])
    looker.__dict__["replicated"] = False
    assert kind_of(looker) is Kind.LAGGING
    assert not looker.waited


def test_the_time_that_two_looks_need_is_not_spent_on_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.reconcile.confirm.settle.time.monotonic", lambda: 0.0)
    assert kind_of(Scripted([BEHIND], [IN_STEP_NOW]), until=2.9 * GRACE_S) is Kind.LAGGING
    assert kind_of(Scripted([BEHIND], [IN_STEP_NOW]), until=3.1 * GRACE_S) is Kind.REPLICA


@pytest.mark.parametrize("left_s", [10.1, 11.0, 12.0, 15.0, 40.0])
def test_a_wait_leaves_most_of_the_rest_to_the_look(left_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.reconcile.confirm.settle.time.monotonic", lambda: 0.0)
    for _ in range(50):
        looker = Scripted([IN_STEP_NOW], [BEHIND, Look(None, BaseRow(NEW), 100.0, 100.0)])
        looker.__dict__["replicated"] = False
        assert kind_of(looker, until=left_s) is Kind.LOST
        [waited] = looker.waited
        assert GRACE_S <= waited <= min(1.3 * GRACE_S, GRACE_S + (left_s - GRACE_S) / 4)


def test_without_time_for_a_grace_period_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.reconcile.confirm.settle.time.monotonic", lambda: 0.0)
    looker = Scripted([IN_STEP_NOW], [BEHIND])
    looker.__dict__["replicated"] = False
    assert kind_of(looker, until=GRACE_S) is Kind.UNKNOWN
    assert not looker.waited


def record(version: int, *, address: int = 5, key: int = 7, proved: bool = True) -> Words:
    made = np.zeros((1, WORDS), np.uint64)
    for word in (VALUES, VERSION, IN_STEP):
        made[0, word] = version
    made[0, ADDRESS], made[0, KEY] = address, key
    flags = next(word for word in range(WORDS) if word not in (ADDRESS, KEY, VALUES, VERSION, IN_STEP))
    made[0, flags] = DERIVED | (PROVED if proved else 0)
    return made


NOTHING = np.zeros((0, WORDS), np.uint64)
LOST_ONE, WHOLE_ONE = Scan(record(2), NOTHING), Scan(record(2), record(2))


@pytest.mark.parametrize(
    ("first", "again", "quorum", "behind"),
    [
        (LOST_ONE, LOST_ONE, WHOLE_ONE, True),
        (Scan(record(2), record(1)), Scan(record(2), record(1)), WHOLE_ONE, True),
        (WHOLE_ONE, LOST_ONE, WHOLE_ONE, False),
        (Scan(record(1), NOTHING), LOST_ONE, WHOLE_ONE, False),
        (LOST_ONE, LOST_ONE, Scan(record(3), record(3)), False),
        (LOST_ONE, LOST_ONE, LOST_ONE, False),
        (LOST_ONE, LOST_ONE, Scan(NOTHING, NOTHING), False),
        (LOST_ONE, LOST_ONE, Scan(record(2, key=8), record(2, key=8)), False),
        (LOST_ONE, LOST_ONE, Scan(record(2, proved=False), record(2)), False),
        (Scan(NOTHING, record(2)), Scan(NOTHING, record(2)), Scan(NOTHING, NOTHING), False),
    ],
)
def test_by_scans_too(first: Scan, again: Scan, quorum: Scan, behind: bool) -> None:
    assert scan_rule.behind(differing(again), first, again, quorum).tolist() == [behind]
