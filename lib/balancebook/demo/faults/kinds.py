"""The kinds of fault that can be made: a closed set."""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.errors import UsageError
from balancebook.store.names import close_name, did_you_mean


class FaultError(UsageError):
    """A fault that cannot be made here, or that could not be made or undone; `message` says what is left as it is."""

    code = "fault"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind. `found_as` is the difference that reconcile must report, one for each chosen row; of a break of the
    ledger the check that must name it.

    Faults without rows (`by_row` false) concern the whole view or the server. With `touches_base` it is
    undone by restoring the base too: its rows were damaged, or the view is not built, and must not be built on rows.
    """

    name: str
    meaning: str
    found_as: str | None = None
    by_row: bool = True
    touches_base: bool = False
    of_ledger: bool = False


_KINDS = (
    FaultKind("lost", "base rows whose view update never arrived", "LOST", touches_base=True),
    FaultKind("lost_tombstone", "view rows deleted in the view alone", "LOST"),
    FaultKind("orphan", "view rows that the base never had", "ORPHAN"),
    FaultKind("base_lost", "base rows deleted past the view, whose rows remain", "ORPHAN", touches_base=True),
    FaultKind("stale", "base cells newer than the view's, and different", "MISMATCH", touches_base=True),
    FaultKind("view_newer", "view cells newer than the base's, and different", "MISMATCH"),
    FaultKind("future", "view cells with a write time an hour ahead", "MISMATCH"),
    FaultKind("half_null", "view rows with some cells deleted", "MISMATCH"),
    FaultKind("mix", "all of the above, in turn", touches_base=True),
    FaultKind("view_emptied", "the view truncated, the base as it is", "LOST", by_row=False),
    FaultKind(
        "building", "the view dropped and created anew: a build under way", by_row=False, touches_base=True
    ),
    FaultKind("build_stopped", "such a build stopped in the middle", "LOST", by_row=False, touches_base=True),
    *(
        FaultKind(f"ledger_{name}", meaning, code, touches_base=True, of_ledger=True)
        for name, meaning, code in (
            ("sum", "a balance that is one unit more than it adds up to", "L001"),
            ("gap", "an account's newest entry, one place further on", "L002"),
            ("negative", "one unit more withdrawn than there was", "L003"),
            ("trade", "what a trade brings, without the trade", "L004"),
            ("time", "an entry that is older than the one before it", "L005"),
            ("transition", "a withdrawal that brings money", "L006"),
        )
    ),
    FaultKind("paused", "the server stopped by SIGSTOP: connections stay, nothing answers", by_row=False),
)
KINDS = {kind.name: kind for kind in _KINDS}
MIXED = tuple(kind.name for kind in _KINDS if kind.by_row and kind.name != "mix" and not kind.of_ledger)
_COMMANDS = ("list", "status", "undo")


def find_kind(name: str) -> FaultKind:
    """The kind of that name. Raises UsageError, with a likely name, if there is none."""
    if name in KINDS:
        return KINDS[name]
    known = (*KINDS, *_COMMANDS)
    raise UsageError(
        f"There is no fault {name!r}.{did_you_mean(name, known)}",
        "See them all: balancebook fault list.",
        parameter="what",
        suggestion=close_name(name, known),
    )


def describe_kinds() -> str:
    """One line a kind, for a terminal."""
    return "\n".join(f"{kind.name:17} {kind.found_as or '':9} {kind.meaning}" for kind in _KINDS)
