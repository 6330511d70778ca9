"""The kinds of difference between a view and its base: a closed set. The unit is one row of the view, by its key."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What is wrong with one row of a view, worst first."""

    LOST = "LOST"
    """The base derives the row; it is missing from the view."""
    MISMATCH = "MISMATCH"
    """Both have the row, and cells differ."""
    ORPHAN = "ORPHAN"
    """The view has the row, though the base, read now, does not derive it."""
    REPLICA = "REPLICA"
    """Single replicas showed it as wrong twice, a quorum has it in step: a replica is behind."""
    UNKNOWN = "UNKNOWN"
    """Could not be confirmed."""
    LAGGING = "LAGGING"
    """In step, or gone from both sides, at a later look."""


SEVERITY = {kind: rank for rank, kind in enumerate(Kind)}
FAULTS = frozenset({Kind.LOST, Kind.MISMATCH, Kind.ORPHAN})
