"""`balancebook fault`: make a fault, remember it, undo it. One at a time, on the embedded database only."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from balancebook.demo.faults.builds import definition_of, rebuild, stop_build
from balancebook.demo.faults.journal import Fault, Journal
from balancebook.demo.faults.kinds import KINDS, FaultError, FaultKind, find_kind
from balancebook.demo.faults.ledger_plan import Break, plan_breaks, write_breaks
from balancebook.demo.faults.plan import Step, make_plan
from balancebook.demo.faults.snapshots import all_built, base_files, restore, take_snapshot
from balancebook.demo.faults.target import Key, Target, chunks, open_target
from balancebook.demo.node import Node
from balancebook.demo.processes import locked
from balancebook.demo.services import running_node
from balancebook.errors import UsageError
from balancebook.reconcile.values import cell_json, order_key
from balancebook.settings import Profile, state_dir
from balancebook.verdict import Json

Progress = Callable[[str], None]
Environment = Mapping[str, str]
_LOCK_S = 60.0
_DEFAULTS = {"rows": 10, "seed": 1}
# Of a fault without rows, which may concern millions: how many differences are listed beside the exact count.
_LISTED = 100_000


def inject(
    name: str,
    profile: Profile,
    *,
    options: Mapping[str, int | None] = MappingProxyType({}),
    env: Environment = os.environ,
    progress: Progress = lambda _: None,
) -> Fault:
    """Make a fault of a kind (see kinds.KINDS) in the profile's view, and return what it did.

    Options are `rows` (how many, 10), `seed` (which ones, 1) and `user` (only rows of this account). Everything is as
    before if it fails. Raises UsageError if the profile is not the embedded database, if that does not run, or if
    another fault is active; FaultError if it cannot be made.
    """
    kind = find_kind(name)
    _require_fitting(kind, options)
    _require_embedded(profile)
    journal = Journal(state_dir(env))
    with locked(journal.folder / "lock", timeout_s=_LOCK_S):
        active = journal.load()
        if active:
            raise UsageError(
                f"There is a fault already: {active.text()}.",
                "Undo it first: balancebook fault undo.",
                parameter="what",
            )
        node = running_node(env=env)
        if name == "paused":
            return _pause(journal, profile, node)
        with open_target(profile, node) as target:
            chosen = {**_DEFAULTS, **{name: value for name, value in options.items() if value is not None}}
            where = _where(target, options.get("user"))
            return _Injection(journal, target, kind, progress).run(chosen["rows"], chosen["seed"], where)


def undo(
    profile: Profile,
    *,
    force: bool = False,
    env: Environment = os.environ,
    progress: Progress = lambda _: None,
) -> Fault | None:
    """Restore base and view as they were before the active fault; returns that fault, or None if there was none.

    Raises UsageError if rows were written since (`force`: they are lost) or if that cannot be told.
    """
    _require_embedded(profile)
    journal = Journal(state_dir(env))
    with locked(journal.folder / "lock", timeout_s=_LOCK_S):
        fault = journal.load()
        if fault is None:
            return None
        if fault.kind == "paused":
            _resume(fault, env)
        elif fault.stage != "planned":
            progress(f"undoing {fault.name}")
            at = profile.model_copy(update={"keyspace": fault.keyspace, "view": fault.view})
            _undo_in(at, journal, fault, running_node(env=env), force=force)
        journal.forget(fault)
        return fault


def status(*, env: Environment = os.environ) -> Fault | None:
    """The active fault, if any."""
    return Journal(state_dir(env)).load()


def _require_fitting(kind: FaultKind, options: Mapping[str, int | None]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given and not kind.by_row:
        raise UsageError(
            f"--{given[0]} means nothing to a fault {kind.name}: it does not choose rows.",
            "Leave it out.",
            parameter=given[0],
        )


def _require_embedded(profile: Profile) -> None:
    if not profile.embedded:
        raise UsageError(
            f"Faults are made in the embedded database only, and profile {profile.name!r} is not it.",
            "Use --profile embedded.",
            parameter="profile",
        )


def _where(target: Target, user: int | None) -> dict[str, Json]:
    if user is None:
        return {}
    column = target.profile.ledger.account
    if column not in target.types:
        raise UsageError(
            f"{target.base.cql_name} has no column {column}, the profile's account.",
            "Leave out --user.",
            parameter="user",
        )
    return {column: user}


def _pause(journal: Journal, profile: Profile, node: Node) -> Fault:
    fault = _new_fault("paused", profile.keyspace, profile.view, node)
    journal.save(fault)
    node.pause()
    return journal.save(replace(fault, stage="active"))


def _resume(fault: Fault, env: Environment) -> None:
    node = running_node(env=env)
    if node.mark and (node.mark.pid, node.mark.created) == fault.node:
        node.resume()


def _new_fault(kind: str, keyspace: str, view: str, node: Node) -> Fault:
    if node.mark is None:
        raise FaultError("The embedded database does not run.", "Start it: balancebook up.")
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Fault(
        fault_id=f"{kind}-{moment}-{secrets.token_hex(3)}",
        kind=kind,
        stage="planned",
        keyspace=keyspace,
        view=view,
        base="",
        base_id="",
        node=(node.mark.pid, node.mark.created),
    )


class _Injection:
    def __init__(self, journal: Journal, target: Target, kind: FaultKind, progress: Progress) -> None:
        self.journal, self.target, self.kind, self.progress = journal, target, kind, progress
        self.breaks: list[Break] = []
        started = _new_fault(kind.name, target.keyspace, target.view.name, target.node)
        writes = target.admin.writes(target.keyspace, target.base.name)
        self.fault = replace(
            started, base=target.base.name, base_id=str(target.base.table_id), base_writes=writes
        )

    def run(self, rows: int, seed: int, where: Mapping[str, Json]) -> Fault:
        steps: list[Step] = []
        if self.kind.of_ledger:
            self.progress(f"choosing {rows} accounts of {self.target.base.cql_name}")
            self.breaks = plan_breaks(self.target, self.kind.name, rows, seed, where)
        elif self.kind.by_row:
            self.progress(f"choosing {rows} rows of {self.target.view.cql_name}")
            steps = make_plan(self.target, self.kind.name, rows, seed, where)
        found = [(step.found_as, step.key) for step in steps]
        self.note("planned", found + [(self.kind.found_as or "", each.key) for each in self.breaks])
        try:
            take_snapshot(self.target, self.journal.snapshot_of(self.fault))
        except BaseException:
            self.journal.forget(self.fault)
            raise
        if self.kind.name in ("building", "build_stopped"):
            self.fault = replace(self.fault, definition=definition_of(self.target))
        self.note("injecting")
        with self.undone_if_it_fails():
            self.make(steps)
            files = base_files(self.target)
        self.fault = self.journal.save(replace(self.fault, stage="active", base_files=files))
        return self.fault

    def make(self, steps: list[Step]) -> None:
        target = self.target
        if self.kind.of_ledger:
            write_breaks(target, self.breaks)
            # They are no foreign writes.
            written = target.admin.writes(target.keyspace, target.base.name)
            self.fault = replace(self.fault, base_writes=written)
        elif self.kind.by_row:
            inject_steps(target, steps)
            verify(target, steps)
        elif self.kind.name == "view_emptied":
            target.admin.truncate(target.keyspace, target.view.name)
            self.note("injecting", _lost(target.missing_keys()))
        elif self.kind.name == "building":
            rebuild(target)
        else:
            self.note("injecting", _lost(stop_build(target)))

    def note(self, stage: str, differences: Iterable[tuple[str, Key]] = ()) -> None:
        found = list(differences)
        changes: dict[str, object] = {"stage": stage}
        if found:
            types = [self.target.types[name] for name in self.target.key]
            listed = (
                found if self.kind.by_row else sorted(found, key=lambda each: order_key(each[1]))[:_LISTED]
            )
            changes["injected"] = [
                {"kind": kind, "key": _named(self.target.key, key, types)} for kind, key in listed
            ]
            changes["counts"] = dict(sorted(Counter(kind for kind, _ in found).items()))
        self.fault = self.journal.save(replace(self.fault, **changes))  # type: ignore[arg-type]

    @contextmanager
    def undone_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.progress("that failed: restoring what was there")
            base_too = self.kind.touches_base or not all_built(self.target)
            restore(self.target, self.journal.snapshot_of(self.fault), base_too=base_too)
            self.journal.forget(self.fault)
            raise
        except BaseException:
            self.progress("cut off in the middle: balancebook fault undo brings back what was there")
            raise


def _lost(keys: Iterable[Key]) -> list[tuple[str, Key]]:
    return [("LOST", key) for key in keys]


def inject_steps(target: Target, steps: Iterable[Step]) -> None:
    """Write the steps' cells: one import into the base, one into the view."""
    for in_base, table in ((True, target.base), (False, target.view)):
        statements = [step.statement for step in steps if step.in_base is in_base]
        if statements:
            target.injector.import_cells(table.name, statements)


def verify(target: Target, steps: Sequence[Step]) -> None:
    """Read each row on both sides again: an import that found nothing says nothing. Raises FaultError."""
    for chunk in chunks(steps):
        for step, (base, view) in zip(chunk, target.both([step.key for step in chunk]), strict=True):
            found = "LOST" if view is None else "ORPHAN" if base is None else "MISMATCH"
            same = base and view and repr(base.of(target.values)) == repr(view.of(target.values))
            if (base is None and view is None) or same or found != step.found_as:
                raise FaultError(f"The row {step.key} did not become {step.found_as}.", "Nothing is changed.")


def _undo_in(profile: Profile, journal: Journal, fault: Fault, node: Node, *, force: bool) -> None:
    with open_target(profile, node, base=fault.base, definition=fault.definition) as target:
        if str(target.base.table_id) != fault.base_id:
            # The tables were dropped and made anew, and the fault is gone with them.
            return
        if not force:
            _require_unwritten(target, fault)
        # Decided once: what was truncated by an undo that is cut off is to be restored by the next.
        base_too = force or fault.base_too or KINDS[fault.kind].touches_base or not all_built(target)
        journal.save(replace(fault, stage="undoing", base_too=base_too))
        restore(target, journal.snapshot_of(fault), base_too=base_too)


def _require_unwritten(target: Target, fault: Fault) -> None:
    remedy = "balancebook fault undo --force brings back the state before the fault, without them."
    mark = target.node.mark
    if mark and (mark.pid, mark.created) == fault.node:
        written = target.admin.writes(target.keyspace, target.base.name) - fault.base_writes
        if written:
            raise UsageError(
                f"{fault.keyspace}.{fault.base} was written to since the fault was made ({written} writes).",
                remedy,
            )
    elif fault.base_too and fault.stage == "undoing":
        raise UsageError(
            f"The database was started anew since the undo was cut off. Whether rows were written to "
            f"{fault.keyspace}.{fault.base} since the fault was made cannot be told.",
            remedy,
        )
    elif base_files(target) != fault.base_files:
        raise UsageError(
            f"The database was started anew since the fault was made, and {fault.keyspace}.{fault.base} has "
            "other files: rows may have been written.",
            remedy,
        )


def _named(columns: tuple[str, ...], key: Key, types: list[str]) -> dict[str, Json]:
    return {name: cell_json(cell, kind) for name, cell, kind in zip(columns, key, types, strict=True)}
