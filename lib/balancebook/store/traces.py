"""What the server wrote down of traced queries: system_traces of Apache Cassandra 3 to 5.

It writes a trace a moment after the answer, row by row, and keeps it for 24 hours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader

SESSION = "SELECT duration FROM system_traces.sessions WHERE session_id = ?"
EVENTS = "SELECT activity FROM system_traces.events WHERE session_id = ?"
# ReadCommand.java: one such line for each partition, and for each internal page of it, that a replica read.
_READ = re.compile(r"Read (\d+) live (?:rows )?and (\d+) tombstone cells")
_PAUSE_S = 0.05
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows and tombstones that replicas read for one page, and the coordinator's time for it in microseconds."""

    rows_read: int
    tombstones: int
    microseconds: int


@dataclass(frozen=True, slots=True)
class _Seen:
    duration: int | None
    activities: tuple[str, ...]


def require_traces(reader: Reader) -> None:
    """Raises StoreError, with the GRANT that is missing, if traces cannot be read: then none need be written."""
    for cql in (SESSION, EVENTS):
        reader.rows(cql, (UUID(int=0),))


def read_traces(
    reader: Reader,
    sessions: Sequence[UUID],
    *,
    patience_s: float = _PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[UUID, Trace]:
    """The traces of these sessions, as soon as they are complete.

    Complete is one whose duration is written, and whose events, read twice, stay the same and tell what was read.
    Raises StoreError: of kind timeout if one is not complete in time, protocol if it is and does not tell.
    """
    done: dict[UUID, _Seen] = {}
    before: dict[UUID, _Seen] = {}
    for _ in range(max(2, round(patience_s / _PAUSE_S))):
        now = _look(reader, [session for session in sessions if session not in done])
        done |= {key: seen for key, seen in now.items() if _settled(seen) and before.get(key) == seen}
        if len(done) == len(set(sessions)):
            return {key: to_trace(seen.duration or 0, seen.activities) for key, seen in done.items()}
        before = now
        sleep(_PAUSE_S)
    raise _incomplete(before, patience_s)


def to_trace(microseconds: int, activities: Iterable[str]) -> Trace:
    """What the events of one trace add up to."""
    read = [match for match in map(_READ.match, activities) if match]
    rows, tombstones = (sum(int(match[group]) for match in read) for group in (1, 2))
    return Trace(rows, tombstones, microseconds)


def _settled(seen: _Seen) -> bool:
    return seen.duration is not None and any(map(_READ.match, seen.activities))


def _look(reader: Reader, sessions: Iterable[UUID]) -> dict[UUID, _Seen]:
    asked = [
        (key, reader.execute_async(SESSION, (key,)), reader.execute_async(EVENTS, (key,))) for key in sessions
    ]
    found = {}
    for key, session, events in asked:
        durations = [duration for (duration,) in session.rows()]
        activities = tuple(activity for (activity,) in events.rows())
        found[key] = _Seen(durations[0] if durations else None, activities)
    return found


def _incomplete(last: Mapping[UUID, _Seen], patience_s: float) -> StoreError:
    if all(seen.duration is not None and seen.activities for seen in last.values()):
        return StoreError(
            "protocol",
            "The server's traces do not say how many rows were read.",
            "Known are those of Apache Cassandra 3 to 5; report the server's version.",
        )
    return StoreError(
        "timeout",
        f"The server did not write its traces within {patience_s:g} s.",
        "Try again when its load is lower.",
    )
