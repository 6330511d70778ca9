"""Each kind of fault, made by the command: reconcile finds exactly what was injected, and nothing after the undo."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import builds, command
from balancebook.demo.faults.journal import Fault, Journal
from balancebook.demo.faults.kinds import KINDS, MIXED, FaultError
from balancebook.demo.faults.plan import make_plan
from balancebook.demo.faults.target import Target, open_target
from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.demo.services import write_server_state
from balancebook.errors import UsageError
from balancebook.reconcile.document import Reconciliation
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.options import Options
from balancebook.reconcile.run import Request, run
from balancebook.settings import Profile, retarget
from balancebook.store import health as building
from balancebook.store.admin import Admin
from balancebook.store.connect import close, connect
from balancebook.store.health import NodeBuild, ViewHealth, view_health
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view
from balancebook.verdict import Verdict
from filling import insert

OTHER = "other_view"
LONG_AGO = time.time_ns() // 1000 - 3_600_000_000
GRACE_US = 10_000_000
INSERT = (
    "INSERT INTO {}.{} (user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, event_type, ref_id, "
    "created_at) VALUES (?, ?, ?, 1, 0, ?, 7, 'deposit', ?, 1000) USING TIMESTAMP {}"
)

State = dict[str, list[tuple[Any, ...]]]


def fill(session: Session, name: str, users: int, assets: int, seqs: int) -> None:
    statement = session.prepare(INSERT.format(name, LEDGER, LONG_AGO))
    keys = ((u, a, s) for u in range(1, users + 1) for a in range(1, assets + 1) for s in range(1, seqs + 1))
    insert(session, statement, [(*key, key[2], 100 * key[0] + key[2]) for key in keys])


@pytest.fixture(scope="module")
def ledger(session: Session) -> str:
    """192 rows written an hour ago, two indexes, and a second view of the same base."""
    name = f"faults_{os.getpid()}"
    create_schema(session.execute, name)
    session.execute(
        f"CREATE MATERIALIZED VIEW {name}.{OTHER} AS SELECT user_id, asset_id, seq FROM {name}.{LEDGER} "
        "WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL PRIMARY KEY (asset_id, user_id, seq)"
    )
    fill(session, name, 8, 3, 8)
    return name


@pytest.fixture
def here(profile: Profile, ledger: str, environment: dict[str, str]) -> Iterator[Profile]:
    """The profile of `ledger`, whose faults are undone at the end."""
    at = retarget(profile, keyspace=ledger)
    yield at
    command.undo(at, force=True, env=environment)


@pytest.fixture
def before(session: Session, ledger: str) -> State:
    return state(session, ledger)


def state(session: Session, keyspace: str) -> State:
    """Every cell of base and views, with its write time."""
    key = "user_id, asset_id, seq"
    cells = f"{key}, avail, frozen, created_at, WRITETIME(avail), WRITETIME(frozen), WRITETIME(created_at)"
    selected = {LEDGER: f"{cells}, delta_avail, event_type, ref_id", VIEW: cells, OTHER: key}
    return {
        table: sorted(session.execute(f"SELECT {columns} FROM {keyspace}.{table}"), key=repr)
        for table, columns in selected.items()
    }


def the_view(reader: Reader, profile: Profile) -> View:
    found = read_view(reader, profile.keyspace, profile.view)
    assert found
    return found


def reconciled(reader: Reader, profile: Profile) -> Reconciliation:
    request = Request(budget_rows=10**6, samples=10**6)
    return run(reader, the_view(reader, profile), request, grace_s=0, sleep=lambda _: None)


def assert_exactly(found: Reconciliation, fault: Fault) -> list[dict[str, Any]]:
    """The differences, which are those injected and no others."""
    differences: list[Any] = found.document("a-run")["differences"]

    def each(items: list[Any]) -> list[tuple[str, str]]:
        return sorted((item["kind"], str(item["key"])) for item in items)

    assert each(differences) == each(fault.injected)
    assert {kind.value: count for kind, count in found.report.counts.items() if count} == fault.counts
    assert found.report.verdict is (Verdict.FAIL if fault.counts else Verdict.PASS)
    return differences


@pytest.mark.parametrize("kind", [*MIXED, "mix", "view_emptied"])
def test_exactly_what_was_injected_is_found_and_undone(
    kind: str,
    here: Profile,
    environment: dict[str, str],
    session: Session,
    reader: Reader,
    before: State,
) -> None:
    rows = 24 if kind == "mix" else 9
    fault = command.inject(kind, here, options={"rows": rows} if KINDS[kind].by_row else {}, env=environment)
    assert len(fault.injected) == sum(fault.counts.values()) == (rows if KINDS[kind].by_row else 192)
    assert command.status(env=environment) == fault
    differences = assert_exactly(reconciled(reader, here), fault)
    if KINDS[kind].found_as:
        assert fault.counts.keys() == {KINDS[kind].found_as}
    assert_dated(kind, differences)

    assert command.undo(here, env=environment) == fault
    assert state(session, here.keyspace) == before
    assert reconciled(reader, here).report.verdict is Verdict.PASS
    by_index = session.execute(f"SELECT seq FROM {here.keyspace}.{LEDGER} WHERE ref_id = 103")
    assert [seq for (seq,) in by_index] == [3, 3, 3]
    assert command.undo(here, env=environment) is None


def assert_dated(kind: str, differences: list[dict[str, Any]]) -> None:
    """Nothing is younger than the grace period, but for what is said to be of the future."""
    now = time.time_ns() // 1000
    sides = [side for each in differences for side in (each["base"], each["view"]) if side]
    newest = max(cell["writetime"] for side in sides for cell in side.values() if cell["writetime"])
    if kind in ("future", "mix"):
        assert newest > now
    else:
        assert newest < now - GRACE_US


def test_what_each_kind_writes(here: Profile, environment: dict[str, str], reader: Reader) -> None:
    """A stale view has the older write time, a newer one the newer; half a row is null."""
    for kind, newer in (("stale", "base"), ("view_newer", "view")):
        command.inject(kind, here, options={"rows": 3}, env=environment)
        for each in reconciled(reader, here).document("a-run")["differences"]:
            written = {
                side: max(cell["writetime"] for cell in each[side].values()) for side in ("base", "view")
            }
            assert max(written, key=lambda side: written[side]) == newer
        command.undo(here, env=environment)
    command.inject("half_null", here, options={"rows": 3}, env=environment)
    for each in reconciled(reader, here).document("a-run")["differences"]:
        values = [cell["value"] for cell in each["view"].values()]
        assert (values[0] is None, values[1:]) == (False, [None, None])


def test_the_seed_chooses_and_a_user_confines(here: Profile, server: Node) -> None:
    with open_target(here, server) as target:
        keys = {seed: [step.key for step in make_plan(target, "mix", 16, seed, {})] for seed in (1, 1, 2)}
        again = [step.key for step in make_plan(target, "mix", 16, 1, {})]
        of_one = [step.key for step in make_plan(target, "mix", 8, 1, {"user_id": 5})]
    assert keys[1] == again
    assert keys[1] != keys[2]
    assert {user for user, *_ in of_one} == {5}


@pytest.mark.parametrize(
    ("kind", "options", "parameter"),
    [
        ("lost_tombstone", {"rows": 193}, "rows"),
        ("mix", {"rows": 8, "user": 99}, "rows"),
        ("view_emptied", {"rows": 1}, "rows"),
        ("paused", {"seed": 1}, "seed"),
        ("orphans", {}, "what"),
    ],
)
def test_what_cannot_be_is_refused(
    kind: str, options: dict[str, int], parameter: str, here: Profile, environment: dict[str, str]
) -> None:
    with pytest.raises(UsageError) as refused:
        command.inject(kind, here, options=options, env=environment)
    assert refused.value.parameter == parameter
    assert command.status(env=environment) is None


def test_only_the_embedded_database_is_ever_damaged(
    here: Profile, environment: dict[str, str], tmp_path: Path
) -> None:
    other = here.model_copy(update={"name": "production", "embedded": False})
    with pytest.raises(UsageError, match="embedded database only"):
        command.inject("lost", other, env=environment)
    with pytest.raises(UsageError, match="embedded database only"):
        command.undo(other, env=environment)
    # An embedded profile whose state folder knows no server of ours.
    with pytest.raises(UsageError, match="does not run"):
        command.inject("lost", here, env=environment | {"BALANCEBOOK_STATE": str(tmp_path)})


def test_one_fault_at_a_time_and_none_undone_over_new_rows(
    here: Profile, environment: dict[str, str], session: Session, before: State, reader: Reader
) -> None:
    fault = command.inject("lost_tombstone", here, options={"rows": 2}, env=environment)
    with pytest.raises(UsageError, match="There is a fault already"):
        command.inject("orphan", here, env=environment)
    session.execute(
        f"UPDATE {here.keyspace}.{LEDGER} SET avail = 1 WHERE user_id = 1 AND asset_id = 1 AND seq = 1"
    )
    with pytest.raises(UsageError, match=r"was written to since the fault was made \(1 writes\)"):
        command.undo(here, env=environment)
    assert command.status(env=environment) == fault
    assert reconciled(reader, here).report.verdict is Verdict.FAIL
    command.undo(here, force=True, env=environment)
    assert state(session, here.keyspace) == before


KILLED = """\
import os, sys
from balancebook.demo.faults import builds, command
from balancebook.settings import load_profile, retarget
setattr(command, sys.argv[1], lambda *_: os._exit(9))
command.inject("mix", retarget(load_profile("embedded"), keyspace=sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("died_in", "stage"), [("take_snapshot", "planned"), ("verify", "injecting"), ("base_files", "injecting")]
)
def test_what_was_cut_off_can_be_undone(
    died_in: str, stage: str, here: Profile, environment: dict[str, str], session: Session, before: State
) -> None:
    arguments = [sys.executable, "-c", KILLED, died_in, here.keyspace]
    assert subprocess.run(arguments, env=environment, check=False).returncode == 9  # noqa: S603 (our own command)
    cut_off = command.status(env=environment)
    assert cut_off
    assert (cut_off.stage, len(cut_off.injected)) == (stage, 10)
    assert (state(session, here.keyspace) == before) is (stage == "planned")
    assert command.undo(here, env=environment) == cut_off
    assert state(session, here.keyspace) == before
    assert not [
        path for path in Journal(Path(environment["BALANCEBOOK_STATE"])).folder.iterdir() if path.is_dir()
    ]


@pytest.mark.parametrize(("force", "unbuilt"), [(False, False), (True, False), (False, True)])
def test_an_undo_that_was_cut_off(
    here: Profile, environment: dict[str, str], session: Session, before: State,
    monkeypatch: pytest.MonkeyPatch, force: bool, unbuilt: bool,
) -> None:  # fmt: skip
    """Status says that rows are missing; the next undo restores what that one would have, the base too: by --force, or
    since a view was not built then."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    command.inject("view_newer", here, env=environment)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Admin, "import_sstables", interrupted)
        patched.setattr(command, "all_built", lambda _: not unbuilt)
        command.undo(here, force=force, env=environment)
    cut_off = command.status(env=environment)
    assert cut_off
    assert (cut_off.stage, cut_off.base_too) == ("undoing", force or unbuilt)
    assert "rows are missing" in cut_off.text()
    undone = command.undo(here, env=environment)
    assert undone
    assert "missing" not in undone.name
    assert command.status(env=environment) is None
    assert state(session, here.keyspace) == before


def test_a_fault_that_does_not_come_about_leaves_nothing(
    here: Profile,
    environment: dict[str, str],
    session: Session,
    before: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "inject_steps", lambda *_: None)
    with pytest.raises(FaultError, match="did not become"):
        command.inject("mix", here, env=environment)
    assert command.status(env=environment) is None
    assert state(session, here.keyspace) == before


def test_a_view_of_keys_alone_has_no_cells_to_change(here: Profile, server: Node) -> None:
    with open_target(retarget(here, view=OTHER), server) as target:
        assert {step.found_as for step in make_plan(target, "mix", 8, 1, {})} == {"LOST", "ORPHAN"}
        with pytest.raises(FaultError, match="has no columns"):
            make_plan(target, "stale", 1, 1, {})


@pytest.fixture
def wide(session: Session, profile: Profile, keyspace: str, environment: dict[str, str]) -> Iterator[Profile]:
    """A ledger of so many partitions that a build of its view takes a while."""
    fill(session, keyspace, 400, 2, 1)
    at = retarget(profile, keyspace=keyspace)
    yield at
    command.undo(at, force=True, env=environment)


def test_builds_under_way_and_stopped(
    wide: Profile, environment: dict[str, str], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.inject("building", wide, env=environment)
    command.undo(wide, env=environment)
    assert reconciled(reader, wide).report.verdict is Verdict.PASS
    fault = command.inject("build_stopped", wide, env=environment)
    assert 0 < fault.counts["LOST"] <= 800
    # For some minutes it may be one that failed, and begins again by itself.
    assert reconciled(reader, wide).report.verdict is Verdict.UNKNOWN
    monkeypatch.setattr(building, "RETRIED_AFTER_S", 0.0)
    assert_exactly(reconciled(reader, wide), fault)
    health = view_health(reader, wide.keyspace, VIEW)
    assert (health.state, health.nodes[0].running) == ("building", False)
    command.undo(wide, env=environment)
    found = reconciled(reader, wide).report
    assert (found.verdict, found.rows_view) == (Verdict.PASS, 800)
    assert view_health(reader, wide.keyspace, VIEW).state == "healthy"


def test_a_build_that_is_over_before_it_is_stopped(
    wide: Profile, environment: dict[str, str], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_too_late(_: Admin) -> None:
        while view_health(reader, wide.keyspace, VIEW).state != "healthy":
            time.sleep(0.05)

    monkeypatch.setattr(Admin, "stop_view_build", stop_too_late)
    with pytest.raises(FaultError, match="too few rows"):
        command.inject("build_stopped", wide, env=environment)
    assert command.status(env=environment) is None
    assert reconciled(reader, wide).report.verdict is Verdict.PASS


def test_one_cut_off_where_the_view_is_dropped_brings_it_back(
    wide: Profile, environment: dict[str, str], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_view(reader, wide.keyspace, VIEW)
    assert before

    def killed(target: Target) -> None:
        target.execute(f"DROP MATERIALIZED VIEW {target.view.cql_name}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(builds, "_recreate", killed)
        command.inject("building", wide, env=environment)
    assert read_view(reader, wide.keyspace, VIEW) is None
    command.undo(wide, env=environment)
    after = read_view(reader, wide.keyspace, VIEW)
    assert after
    assert replace(after, table_id=before.table_id) == before
    assert reconciled(reader, wide).report.rows_view == 800


@pytest.mark.parametrize("over", [1, 4])
def test_a_build_that_is_over_before_it_is_seen_is_made_again(
    wide: Profile, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    node = NodeBuild("127.0.0.1", UUID(int=0), "STARTED", 0.0)
    seen = [ViewHealth("healthy")] * over + [ViewHealth("building", nodes=(node,))]
    recreated: list[str] = []
    recreate = builds._recreate

    def counted(target: Target) -> None:
        recreated.append(target.view.name)
        recreate(target)

    monkeypatch.setattr(builds, "_recreate", counted)
    monkeypatch.setattr(builds, "_begun", lambda _: seen.pop(0))
    if over == 1:
        command.inject("building", wide, env=environment)
    else:
        with pytest.raises(FaultError, match="too few rows"):
            command.inject("building", wide, env=environment)
    assert len(recreated) == min(over + 1, 4)


def test_a_build_stopped_when_all_its_rows_are_there(
    wide: Profile, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told_as_stopped(target: Target) -> bool:
        while view_health(target.reader, target.keyspace, VIEW).state != "healthy":
            time.sleep(0.05)
        return True

    monkeypatch.setattr(builds, "_stopped", told_as_stopped)
    monkeypatch.setattr(Admin, "stop_view_build", lambda _: None)
    with pytest.raises(FaultError, match="too few rows"):
        command.inject("build_stopped", wide, env=environment)


@pytest.fixture
def own_node(make_node: Callable[..., Node], tmp_path: Path) -> Iterator[Node]:
    """A node that its state folder knows, to be paused and started anew."""
    node = make_node(tmp_path / "server")
    node.start()
    write_server_state(tmp_path, node)
    yield node
    node.kill()


def restart(node: Node, state_folder: Path) -> None:
    node.stop()
    node.start()
    write_server_state(state_folder, node)


@pytest.mark.e2e
def test_a_server_paused_in_mid_scan_and_one_started_anew(
    own_node: Node, profile_of: Callable[..., Profile], environment: dict[str, str], tmp_path: Path
) -> None:
    env = environment | {"BALANCEBOOK_STATE": str(tmp_path)}
    impatient = profile_of(own_node).limits.model_copy(update={"request_timeout_s": 0.5})
    at = retarget(profile_of(own_node, limits=impatient), keyspace="k")
    with_ledger(profile_of(own_node), users=10)

    def pause(report: ScanReport) -> None:
        if report.ranges_done == 5 and not own_node.paused:
            command.inject("paused", at, env=env)

    with open_reader(at) as reader:
        report = reconcile(reader, the_view(reader, at), Options(grace_s=0, progress=pause))
    assert (report.verdict, bool(report.unknown_ranges)) == (Verdict.UNKNOWN, True)
    assert own_node.paused
    command.undo(at, env=env)
    assert not own_node.paused

    command.inject("stale", at, options={"rows": 3}, env=env)
    restart(own_node, tmp_path)
    command.undo(at, env=env)
    with open_reader(at) as reader:
        assert reconcile(reader, the_view(reader, at), Options(grace_s=0)).verdict is Verdict.PASS

    command.inject("lost_tombstone", at, options={"rows": 3}, env=env)
    restart(own_node, tmp_path)
    with_ledger(profile_of(own_node), users=1)
    with pytest.raises(UsageError, match="started anew"):
        command.undo(at, env=env)


def with_ledger(profile: Profile, users: int) -> None:
    session = connect(profile)
    create_schema(session.execute, "k", indexes=False)
    fill(session, "k", users, 2, 2)
    close(session)
