"""The confirmation rule: what repeated looks at one row of the view prove.

Writers do not wait, so two reads that agree prove little. The rule asks what the base had a grace period ago. With a
lag of at most `grace`, the view's row at time t holds every mutation that the base had at t - grace; the last write of
a cell wins, so the order of arrival does not matter. What no such view can show is a fault. What was in step once is
none. Everything else is looked at again, and is unknown in the end.

A look reads the view's row first, then the base's: whatever the view shows, the base had by the time it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from balancebook.reconcile.kinds import Kind
from balancebook.store.raw import RawCells

MOST_LOOKS = 12
IN_STEP = "in step when read again"
GONE = "gone from both sides when read again"
MAY_COME_BACK = "wrong in the view, and then gone from both sides; it may come back"
KEEPS_CHANGING = f"not seen in step in {MOST_LOOKS} looks; it keeps changing"
OTHER_TIMES = "equal in value, with other write times on the two sides"
_EACH_LOOK = f"so at each of {MOST_LOOKS} looks"
# A time to live is sent in whole seconds, and counted by the clock of whichever node answers.
_CLOCKS_S = 2.0
_INT = 4


@dataclass(frozen=True, slots=True)
class Cells:
    """The other cells of one row of the view; the write time of each as the server sent it (None: it has none), and its
    time to live (None: it stays)."""

    values: RawCells
    times: RawCells
    lives: RawCells = field(default=(), compare=False)

    def known(self, column: int) -> bool:
        """Whether the cell's version is known. A null cell has no write time; of some types CQL gives none."""
        return bool(self.times[column]) and self.values[column] is not None

    def stayed(self, later: Cells, column: int, seconds: float) -> bool:
        """Whether the cell was there, in the same version, from these cells to those of that many seconds later."""
        same = self.values[column] == later.values[column] and self.times[column] == later.times[column]
        return same and self.known(column) and _outlives(self.lives, column, seconds)


@dataclass(frozen=True, slots=True)
class BaseRow:
    """The base's row with the primary key that the view's row has.

    derived: what it derives under the view's key, None if it derives another row or none. key_times: write times of the
    regular columns in the view's key, and key_values their values; both empty if the view's key has none. others: write
    times of columns that the view does not select. key_lives, other_lives: times to live, as those of Cells.
    """

    derived: Cells | None
    key_values: RawCells = ()
    key_times: RawCells = ()
    others: RawCells = ()
    key_lives: RawCells = field(default=(), compare=False)
    other_lives: RawCells = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Look:
    """One row of the view on both sides. The view was not read before `view_from`, the base not after `base_until`
    (seconds of one clock). base: None if there is no base row of that primary key at all."""

    view: Cells | None
    base: BaseRow | None
    view_from: float
    base_until: float

    @property
    def derived(self) -> Cells | None:
        """What the base derives."""
        return self.base.derived if self.base else None

    @property
    def values(self) -> tuple[RawCells | None, RawCells | None]:
        """The values of base and view, None where there is no row."""
        base, view = self.derived, self.view
        return base.values if base else None, view.values if view else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the looks prove."""

    kind: Kind
    reason: str = ""


def difference(base: RawCells | None, view: RawCells | None) -> Kind | None:
    """How the values of the two sides differ, None for a side that has no row; None if they do not."""
    if base is None or view is None:
        return Kind.ORPHAN if view is not None else Kind.LOST if base is not None else None
    return None if base == view else Kind.MISMATCH


def judge(looks: Sequence[Look], *, suspicion: Kind, grace_s: float) -> Judgement | None:
    """The judgement over the looks so far, None if another one is needed; there is one after MOST_LOOKS at the latest.

    suspicion: the difference for which the row is looked at.
    """
    last = looks[-1]
    if any(_in_step(look) for look in looks):
        return Judgement(Kind.LAGGING, IN_STEP)
    if _gone(last):
        if _gone_for_good(looks, suspicion):
            return Judgement(Kind.LAGGING, GONE)
    elif _differ(last):
        for earlier in looks[:-1]:
            if last.view_from - earlier.base_until >= grace_s and (kind := _proved(earlier, last)):
                return Judgement(kind)
    return _after_all(looks) if len(looks) >= MOST_LOOKS else None


def _in_step(look: Look) -> bool:
    return look.derived is not None and look.derived == look.view


def _gone(look: Look) -> bool:
    return look.derived is None and look.view is None


def _gone_for_good(looks: Sequence[Look], suspicion: Kind) -> bool:
    """Whether a row that is gone was deleted, of which nothing is left to compare.

    One that is deleted and written again all the time is gone now and then, and so may be twice in a row. If the view
    can never show it, or one of its cells, it is in step just then: so one that was seen lost or wrong must be gone to
    the last look, and at two looks. One that was seen so twice is not a write on its way: it may come back.
    """
    if suspicion is Kind.ORPHAN and not any(map(_lacking, looks)):
        return True
    if len(looks) < MOST_LOOKS or sum(map(_lacking, looks)) > 1:
        return False
    first = next(place for place, look in enumerate(looks) if _gone(look))
    return first < len(looks) - 1 and all(_gone(look) for look in looks[first:])


def _lacking(look: Look) -> bool:
    """Whether the view lacks the row that the base derives, or has it with other values."""
    return look.derived is not None and _differ(look)


def _differ(look: Look) -> bool:
    derived, view = look.derived, look.view
    return derived is None or view is None or derived.values != view.values


def _proved(earlier: Look, last: Look) -> Kind | None:
    """What two looks separated by the grace period prove, of which the last one shows a difference."""
    if last.view is None:
        return Kind.LOST if _stayed(earlier, last) else None
    if last.derived is None:
        return Kind.ORPHAN if _stood_elsewhere(earlier, last) or _left_over(earlier, last) else None
    stale = _view_kept_what_the_base_had_not(earlier, last) or (
        _stayed(earlier, last) and _view_misses_what_stayed(earlier, last)
    )
    return Kind.MISMATCH if stale else None


def _stayed(earlier: Look, last: Look) -> bool:
    """Whether the base derived this very row from one look to the other.

    If the view's key holds a regular column of the base, that column must not have been written: one that changes and
    changes back derives the row anew, with its old cells. Else it is enough that any cell of the row was not written:
    so the row was not deleted.
    """
    before, after = earlier.base, last.base
    if before is None or after is None or before.derived is None or after.derived is None:
        return False
    seconds = _between(earlier, last)
    if before.key_times:
        return _same_key_version(before, after, seconds)
    return any(_unwritten(before.derived, after.derived, seconds)) or any(
        time and time == now and _outlives(before.other_lives, column, seconds)
        for column, (time, now) in enumerate(zip(before.others, after.others, strict=True))
    )


def _same_key_version(before: BaseRow, after: BaseRow, seconds: float) -> bool:
    known = all(before.key_times) and None not in before.key_values
    same = (before.key_times, before.key_values) == (after.key_times, after.key_values)
    return (
        known and same and all(_outlives(before.key_lives, n, seconds) for n in range(len(before.key_times)))
    )


def _unwritten(before: Cells, after: Cells, seconds: float) -> Iterator[bool]:
    return (before.stayed(after, column, seconds) for column in range(len(before.values)))


def _between(earlier: Look, last: Look) -> float:
    """The seconds from the beginning of one look to the end of the other."""
    return last.base_until - earlier.view_from


def _outlives(lives: RawCells, column: int, seconds: float) -> bool:
    """Whether a cell does not expire in that many seconds. One that does may be written again with the same write time,
    as by a driver that tries again, only to live longer: it looks unwritten, though it was gone for a moment.
    """
    return all(each > seconds + _CLOCKS_S for each in times_to_live(lives[column] if lives else None))


def times_to_live(life: bytes | None) -> Iterator[int]:
    """The seconds that a cell has left, or each element of it that has a time to live; none if it stays."""
    if life is None:
        return
    if len(life) == _INT:
        yield int.from_bytes(life, "big")
        return
    at = _INT
    while at < len(life):
        size = int.from_bytes(life[at : at + _INT], "big", signed=True)
        if size == _INT:
            yield int.from_bytes(life[at + _INT : at + 2 * _INT], "big")
        at += _INT + max(size, 0)


def _stood_elsewhere(earlier: Look, last: Look) -> bool:
    """Whether the base row stood under another key of the view from one look to the other."""
    before, after = earlier.base, last.base
    if before is None or after is None or not before.key_times or before.derived is not None:
        return False
    return _same_key_version(before, after, _between(earlier, last))


def _left_over(earlier: Look, last: Look) -> bool:
    """Whether the view kept a cell that the base, read after it, no longer had.

    Only where there is no base row at all: one that is under no key of the view for the moment keeps its cells, and may
    come back under this one with them.
    """
    if earlier.base is not None or last.base is not None or earlier.view is None or last.view is None:
        return False
    return any(_unwritten(earlier.view, last.view, _between(earlier, last)))


def _view_kept_what_the_base_had_not(earlier: Look, last: Look) -> bool:
    """Whether a cell of the view is still the same, though the base, read after it, had another value there.

    What the view shows came from the base before. So the base's value was the newer one, and has had a grace period to
    arrive; or the view's never came from the base.
    """
    derived, view, still = earlier.derived, earlier.view, last.view
    if derived is None or view is None or still is None:
        return False
    seconds = _between(earlier, last)
    return any(
        view.stayed(still, column, seconds) and derived.values[column] != view.values[column]
        for column in range(len(view.values))
    )


def _view_misses_what_stayed(earlier: Look, last: Look) -> bool:
    """Whether the view's cell is another than the base's, which was not written meanwhile, or older than what the base
    had at the first of the looks."""
    before, after, view = earlier.derived, last.derived, last.view
    if before is None or after is None or view is None:
        return False
    seconds = _between(earlier, last)
    for column, value in enumerate(view.values):
        if before.stayed(after, column, seconds) and value != after.values[column]:
            return True
        if value != before.values[column] and _older(view.times[column], before.times[column]):
            return True
    return False


def _older(time: bytes | None, other: bytes | None) -> bool:
    """Whether one write time, a signed 64-bit number, is below another; a list of times has no such order."""
    if time is None or other is None or len(time) != 8 or len(other) != 8:
        return False
    return int.from_bytes(time, "big", signed=True) < int.from_bytes(other, "big", signed=True)


def _after_all(looks: Sequence[Look]) -> Judgement:
    """What is left to say of a row that was written between all looks, or has no write times."""
    if all(look.view is None and look.derived is not None for look in looks):
        return Judgement(Kind.LOST, _EACH_LOOK)
    if all(look.view is not None and look.derived is None for look in looks):
        return Judgement(Kind.ORPHAN, _EACH_LOOK)
    if _untimed_mismatch(looks):
        return Judgement(Kind.MISMATCH, _EACH_LOOK)
    if not _gone(looks[-1]) and not _differ(looks[-1]):
        return Judgement(Kind.UNKNOWN, OTHER_TIMES)
    if _gone(looks[-1]) and all(_gone(look) or _lacking(look) for look in looks):
        return Judgement(Kind.UNKNOWN, MAY_COME_BACK)
    return Judgement(Kind.UNKNOWN, KEEPS_CHANGING)


def _untimed_mismatch(looks: Sequence[Look]) -> bool:
    """Whether a column that has no write time had one value in the base and another in the view at each look."""
    seen = [(look.derived, look.view) for look in looks if look.derived and look.view]
    if len(seen) < len(looks):
        return False
    base, view = seen[0]
    for column in range(len(view.values)):
        pairs = {(b.values[column], v.values[column]) for b, v in seen}
        untimed = not any(b.times[column] or v.times[column] for b, v in seen)
        if untimed and len(pairs) == 1 and base.values[column] != view.values[column]:
            return True
    return False
