"""Looking at suspects again and again, a grace period between the looks, until the rule has judged each of them."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from balancebook.reconcile.confirm.by_key import NO_TIME, SEVERAL, KeyLooker
from balancebook.reconcile.confirm.rule import IN_STEP, Judgement, Look, judge
from balancebook.reconcile.confirm.suspects import Suspect
from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.lookup import SERVER_GONE
from balancebook.reconcile.sides import VIEW
from balancebook.store.raw import RawCells

BEHIND = "a replica does not have what the quorum has"
# Writers that work to a clock of their own must not meet each look at the same moment.
_JITTER = 0.3
# A busy server misses a look now and then. It proves nothing either way.
MOST_FAILED = 3
_FINAL = (SERVER_GONE, NO_TIME, SEVERAL)
# Held at a time, about 1 KB each and look.
_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a suspect, and the values of base and view that were seen last (None: no row)."""

    suspect: Suspect
    kind: Kind
    reason: str
    base: RawCells | None
    view: RawCells | None

    @property
    def difference(self) -> RawDifference:
        """The same as a difference, under the key as the view writes it."""
        return RawDifference(self.kind, self.suspect.spelled(VIEW), self.base, self.view, self.reason)


@dataclass(slots=True)
class _Case:
    suspect: Suspect
    looks: list[Look] = field(default_factory=list)
    failed: int = 0

    def closed(self, kind: Kind, reason: str) -> Outcome:
        base, view = self.looks[-1].values if self.looks else (None, None)
        return Outcome(self.suspect, kind, reason, base, view)


@dataclass
class Settling:
    """Settles suspects by looks at their keys, at least `grace_s` seconds apart. `sleep` waits so many seconds."""

    looker: KeyLooker
    grace_s: float
    sleep: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random)

    def pause(self, since: float | None = None) -> None:
        """Wait for a grace period, and up to 30 % more; from `since` on, by time.monotonic(), instead of now."""
        passed = 0.0 if since is None else time.monotonic() - since
        self.sleep(max(0.0, self.grace_s + self._jitter() - passed))

    def outcomes(self, suspects: Iterable[Suspect], until: float = math.inf) -> Iterator[Outcome]:
        """What became of each, in no particular order.

        Suspects that both sides have alike at the first look, written in other bytes (decimal 1.0 and 1.00), never
        differed: they are passed over. `until`, by time.monotonic(), is overrun by one request at most; what is not
        judged by then is UNKNOWN.
        """
        left = iter(suspects)
        while some := list(islice(left, _AT_ONCE)):
            yield from self._settled(some, until)

    def _settled(self, suspects: list[Suspect], until: float) -> Iterator[Outcome]:
        # Two looks prove a fault: a replica is looked for only if there is time for them afterwards.
        behind = self.looker.behind(suspects, until, lambda: self._waited(until - 2 * self.grace_s))
        cases = [_Case(suspect) for suspect in suspects]
        while cases:
            by_key = {case.suspect.key: case for case in cases}
            cases = []
            for suspect, seen in self.looker.looks([case.suspect for case in by_key.values()], until):
                case = by_key[suspect.key]
                if isinstance(seen, str):
                    case.failed += 1
                    if seen in _FINAL or case.failed == MOST_FAILED:
                        yield case.closed(Kind.UNKNOWN, seen)
                    else:
                        cases.append(case)
                    continue
                case.looks.append(seen)
                found = judge(case.looks, suspicion=suspect.suspicion, grace_s=self.grace_s)
                if found is None:
                    cases.append(case)
                elif not _never_differed(case, found):
                    yield self._closed(case, found, behind.get(suspect.key))
            if cases and not self._waited(until):
                yield from (case.closed(Kind.UNKNOWN, NO_TIME) for case in cases)
                return

    def _closed(self, case: _Case, found: Judgement, behind: Look | None) -> Outcome:
        at_once = found.reason == IN_STEP and len(case.looks) == 1
        if behind and at_once and case.looks[0].base == behind.base:
            return case.closed(Kind.REPLICA, BEHIND)
        return case.closed(found.kind, found.reason)

    def _waited(self, until: float) -> bool:
        """Whether there is time for another look, after a wait. Most of what is left of it is kept for the look."""
        spare = until - time.monotonic() - self.grace_s
        if spare <= 0:
            return False
        self.sleep(self.grace_s + min(self._jitter(), spare / 4))
        return True

    def _jitter(self) -> float:
        return self.grace_s * self.chance.random() * _JITTER


def _never_differed(case: _Case, found: Judgement) -> bool:
    return case.suspect.respelled and found.reason == IN_STEP and len(case.looks) == 1
