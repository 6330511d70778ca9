"""Looking again and again: how often, how far apart, until when, and what comes of looks that failed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from typing import cast

import pytest

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY
from balancebook.reconcile.confirm.by_key import NO_TIME, SEVERAL, KeyLooker, Seen
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.rule import IN_STEP, BaseRow, Cells, Look
from balancebook.reconcile.confirm.settle import Outcome, Settling
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.lookup import SERVER_GONE
from balancebook.reconcile.sides import Side
from balancebook.store.reader import Reader

GRACE_S = 10.0


def cells(value: int, time: int) -> Cells:
    return Cells((bytes([value]),), (time.to_bytes(8, "big"),))


OLD, NEW = cells(1, 1), cells(2, 2)


class Clocked(KeyLooker):
    """Looks by key, written down, or why there is none; and a clock that only sleeping moves on."""

    replicated = False

    def __init__(self, script: dict[bytes, list[tuple[Cells | None, Cells | None] | str]]) -> None:
        super().__init__(cast(Reader, None), cast(tuple[Side, Side], ()), cast(LookColumns, None))
        self.script = {key: list(answers) for key, answers in script.items()}
        self.now, self.waited = 100.0, list[float]()
        self.looked: list[list[bytes]] = []

    def looks(
        self,
        suspects: Iterable[Suspect],
        until: float,  # noqa: ARG002 (written down is what was in time)
        consistency: str = CONFIRM_CONSISTENCY,
    ) -> Iterator[tuple[Suspect, Seen]]:
        assert consistency == CONFIRM_CONSISTENCY
        asked = list(suspects)
        self.looked.append([suspect.key[0] for suspect in asked])
        for suspect in asked:
            left = self.script[suspect.key[0]]
            seen = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(seen, str):
                yield suspect, seen
            else:
                view, base = seen
                yield suspect, Look(view, BaseRow(base) if base else None, self.now, self.now)

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Clocked]:
    """Put the looker whose clock counts into it."""
    lookers: list[Clocked] = []
    monkeypatch.setattr("time.monotonic", lambda: lookers[0].now if lookers else 0.0)
    return lookers


def settled(
    looker: Clocked, suspects: list[Suspect] | None = None, until: float = math.inf
) -> dict[bytes, Outcome]:
    settling = Settling(looker, GRACE_S, looker.sleep, random.Random(1))
    asked = suspects or [Suspect((key,), (key,), None) for key in looker.script]
    return {outcome.suspect.key[0]: outcome for outcome in settling.outcomes(asked, until)}


def test_what_is_lost_at_two_looks_a_grace_period_apart_is_lost() -> None:
    looker = Clocked({b"1": [(None, NEW)]})
    found = settled(looker)[b"1"]
    assert (found.kind, found.base, found.view) == (Kind.LOST, NEW.values, None)
    assert found.difference.key == (b"1",)
    assert len(looker.waited) == 1
    # Never less, and up to a third more, so that no writer meets each look.
    assert GRACE_S <= looker.waited[0] <= 1.3 * GRACE_S


def test_what_is_shown_is_what_was_seen_last() -> None:
    looker = Clocked({b"a": [(None, OLD), (NEW, NEW)], b"b": [(OLD, NEW), (None, NEW), (None, NEW)]})
    found = {each.suspect.key[0]: (each.base, each.view) for each in settled(looker).values()}
    assert found == {b"a": (NEW.values, NEW.values), b"b": (NEW.values, None)}


def test_a_pause_counts_from_when_the_last_reading_ended(clock: list[Clocked]) -> None:
    looker = Clocked({})
    clock.append(looker)
    settling = Settling(looker, GRACE_S, looker.sleep, random.Random(1))
    settling.pause()
    for passed in (0.0, 4.0, 60.0):
        settling.pause(looker.now - passed)
    whole, none_passed, part, none_left = looker.waited
    assert all(GRACE_S <= wait <= 1.3 * GRACE_S for wait in (whole, none_passed, part + 4.0))
    assert none_left == 0.0


def test_waits_differ() -> None:
    lengths = set()
    for seed in range(20):
        looker = Clocked({b"1": [(None, NEW)]})
        list(
            Settling(looker, GRACE_S, looker.sleep, random.Random(seed)).outcomes(
                [Suspect((b"1",), (b"1",), None)]
            )
        )
        lengths.update(looker.waited)
    assert len(lengths) == 20
    assert min(lengths) >= GRACE_S
    assert max(lengths) > 1.2 * GRACE_S


def test_only_what_is_open_is_looked_at_again() -> None:
    looker = Clocked({b"1": [(None, NEW)], b"2": [(NEW, NEW)], b"3": [(None, NEW), (NEW, NEW)]})
    found = settled(looker)
    assert {key: outcome.kind for key, outcome in found.items()} == {
        b"1": Kind.LOST,
        b"2": Kind.LAGGING,
        b"3": Kind.LAGGING,
    }
    assert looker.looked == [[b"1", b"2", b"3"], [b"1", b"3"]]
    assert found[b"2"].reason == IN_STEP


@pytest.mark.parametrize("failed", [1, 2])
def test_a_look_that_failed_now_and_then_proves_nothing(failed: int) -> None:
    looker = Clocked({b"1": [(None, NEW), *["no answer"] * failed, (None, NEW)]})
    assert settled(looker)[b"1"].kind is Kind.LOST
    assert len(looker.looked) == 2 + failed


def test_three_looks_that_failed_leave_it_unknown() -> None:
    looker = Clocked({b"1": [(None, NEW), "no answer", "late", "no answer at all", (None, NEW)]})
    found = settled(looker)[b"1"]
    assert (found.kind, found.reason) == (Kind.UNKNOWN, "no answer at all")
    # What was seen last is shown.
    assert (found.base, found.view) == (NEW.values, None)
    assert len(looker.looked) == 4


@pytest.mark.parametrize("reason", [SERVER_GONE, NO_TIME, SEVERAL])
def test_what_will_not_change_is_unknown_at_once(reason: str) -> None:
    looker = Clocked({b"1": [reason]})
    found = settled(looker)[b"1"]
    assert (found.kind, found.reason, found.base, found.view) == (Kind.UNKNOWN, reason, None, None)
    assert (len(looker.looked), looker.waited) == (1, [])


def test_what_is_only_spelled_otherwise_is_passed_over() -> None:
    respelled = Suspect((b"1",), (b"1.0",), (b"1.00",))
    assert settled(Clocked({b"1": [(NEW, NEW)]}), [respelled]) == {}
    # But not what differed at its first look.
    later = settled(Clocked({b"1": [(OLD, NEW), (NEW, NEW)]}), [respelled])
    assert later[b"1"].kind is Kind.LAGGING
    assert later[b"1"].difference.key == (b"1.00",)
    plain = Suspect((b"1",), (b"1",), (b"1",))
    assert settled(Clocked({b"1": [(NEW, NEW)]}), [plain])[b"1"].kind is Kind.LAGGING


@pytest.mark.parametrize(("left", "looks"), [(9.9, 1), (10.0, 1), (10.5, 2), (25.0, 2)])
def test_without_time_for_another_look_it_is_unknown(clock: list[Clocked], left: float, looks: int) -> None:
    looker = Clocked({b"1": [(None, NEW)]})
    clock.append(looker)
    end = looker.now + left
    found = settled(looker, until=end)[b"1"]
    assert len(looker.looked) == looks
    assert (found.kind, found.reason) == ((Kind.UNKNOWN, NO_TIME) if looks == 1 else (Kind.LOST, ""))
    # Most of what is left beyond the grace period is kept for the look itself.
    assert all(GRACE_S <= wait <= GRACE_S + (left - GRACE_S) / 4 for wait in looker.waited)
    assert looker.now < end


def test_many_are_settled_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancebook.reconcile.confirm.settle._AT_ONCE", 2)
    looker = Clocked({key: [(NEW, NEW)] for key in (b"1", b"2", b"3", b"4", b"5")})
    assert len(settled(looker)) == 5
    assert looker.looked == [[b"1", b"2"], [b"3", b"4"], [b"5"]]
