"""`balancebook fault`: which of its words was said, and the answer as text and as a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from balancebook.demo.faults import command
from balancebook.demo.faults.kinds import KINDS, describe_kinds, find_kind
from balancebook.errors import UsageError
from balancebook.settings import load_profile

_SHOWN = 10


@dataclass(frozen=True)
class Told:
    """What the command says: to a person, and as one JSON document."""

    text: str
    document: Any


def run_fault(
    what: str,
    profile_name: str | None,
    *,
    options: Mapping[str, int | None],
    force: bool,
    progress: Callable[[str], None],
) -> Told:
    """Do as `what` says: list, status, undo, or the kind of a fault, with its options rows, seed and user.

    Raises UsageError, as demo.faults.command does.
    """
    given = [name for name, value in {**options, "force": force or None}.items() if value is not None]
    fitting = {"undo": ["force"], "list": [], "status": []}.get(what, list(options))
    if what not in ("undo", "list", "status"):
        find_kind(what)
    strange = [name for name in given if name not in fitting]
    if strange:
        raise UsageError(
            f"--{strange[0]} means nothing to fault {what}.", "Leave it out.", parameter=strange[0]
        )
    if what == "list":
        return Told(describe_kinds(), [asdict(kind) for kind in KINDS.values()])
    if what == "status":
        active = command.status()
        return Told(active.text() if active else "no fault", active.to_json() if active else None)
    profile = load_profile(profile_name)
    if what == "undo":
        undone = command.undo(profile, force=force, progress=progress)
        text = f"undone: {undone.name}" if undone else "there was no fault to undo"
        return Told(text, {"undone": undone.fault_id if undone else None})
    made = command.inject(what, profile, options=options, progress=progress)
    return Told(
        "\n".join([made.text(), *_listed(made.injected), "Undo it: balancebook fault undo"]), made.to_json()
    )


def _listed(injected: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"  {one['kind']:9} {', '.join(f'{name}={value}' for name, value in one['key'].items())}"
        for one in injected[:_SHOWN]
    ]
    left = len(injected) - _SHOWN
    return [*lines, f"  and {left:,} more (--json lists them)"] if left > 0 else lines
