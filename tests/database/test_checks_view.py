"""V001 to V005 on real views: there, dropped, redefined, half built, out of step."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.checks import CHECKS, NotAsked, v004_row_counts
from balancebook.checks.context import Context
from balancebook.demo import node_files
from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.doctor.examination import examine_profile
from balancebook.reconcile import definition as by_schema
from balancebook.settings import Profile, retarget
from balancebook.store import health as building
from balancebook.store.health import view_health
from balancebook.store.reader import open_reader
from balancebook.store.schema import read_view
from balancebook.verdict import Verdict
from checking import Ask, behind, booker, capped, key, row, unreachable
from gateway_process import running_gateway

_USERS, _ROWS = 1500, 20


@pytest.mark.check("V001", "pass")
@pytest.mark.check("V002", "pass")
@pytest.mark.check("V003", "pass")
@pytest.mark.check("V004", "pass")
@pytest.mark.check("V005", "pass")
def test_a_view_in_step_passes_them_all(ask: Ask, alone: Profile, session: Session) -> None:
    booker(session, alone.keyspace)((5, 1, 1, 10, 0), (5, 1, 2, 11, 0), (6, 2, 1, None, 0))
    found = {code: ask(code, alone) for code in ("V001", "V002", "V003", "V004", "V005")}
    assert {code: str(result.verdict) for code, result in found.items()} == dict.fromkeys(found, "pass")
    assert found["V003"].counts == {"nodes": 1, "built": 1}
    assert found["V004"].counts == {"base": 3, "view": 3}
    assert "proves nothing" in found["V004"].message
    assert (found["V005"].counts["base"], found["V005"].counts["view"]) == (3, 3)


@pytest.mark.check("V001", "fail")
@pytest.mark.check("V002", "fail")
@pytest.mark.check("V002", "unknown")
@pytest.mark.check("V003", "fail")
@pytest.mark.check("V005", "unknown")
def test_a_view_dropped_and_made_anew_otherwise(ask: Ask, alone: Profile, session: Session) -> None:
    session.execute(f"DROP MATERIALIZED VIEW {alone.keyspace}.{VIEW}")
    assert "has no view 'user_balances_by_user'" in ask("V001", alone).message
    assert ask("V003", alone).verdict is Verdict.FAIL
    for code in ("V002", "V004", "V005"):
        result = ask(code, alone)
        assert result.verdict is Verdict.UNKNOWN, result
        assert "does not exist" in result.message
    session.execute(
        f"CREATE MATERIALIZED VIEW {alone.keyspace}.{VIEW} AS SELECT user_id, asset_id, seq, avail "
        f"FROM {alone.keyspace}.{LEDGER} WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL "
        "PRIMARY KEY (user_id, asset_id, seq) WITH CLUSTERING ORDER BY (asset_id ASC, seq ASC)"
    )
    assert ask("V001", alone).verdict is Verdict.PASS
    redefined = ask("V002", alone)
    assert redefined.verdict is Verdict.FAIL
    assert [sample["part"] for sample in redefined.samples] == ["columns", "clustering"]
    assert redefined.samples[1]["server"] == "asset_id ASC, seq ASC"
    assert redefined.samples[1]["file"] == "asset_id ASC, seq DESC"


@pytest.mark.check("V001", "fail")
@pytest.mark.parametrize(
    ("keyspace", "view", "said"),
    [
        ("tradin", None, "Keyspace 'tradin' does not exist"),
        (None, LEDGER, "is a table, not a materialized view"),
        (None, "user_balances_by_uzer", "Did you mean user_balances_by_user?"),
        (None, VIEW.upper(), "has no view"),
    ],
)
def test_what_is_no_view_is_named(
    ask: Ask, ledger: Profile, keyspace: str | None, view: str | None, said: str
) -> None:
    result = ask("V001", retarget(ledger, keyspace=keyspace, view=view))
    assert result.verdict is Verdict.FAIL
    assert said in result.message


@pytest.mark.check("V001", "unknown")
@pytest.mark.check("V003", "unknown")
@pytest.mark.check("V004", "unknown")
def test_without_a_server_nothing_is_known(ask: Ask, ledger: Profile) -> None:
    away = unreachable(ledger)
    for code in ("V001", "V002", "V003", "V004", "V005"):
        result = ask(code, away)
        assert result.verdict is Verdict.UNKNOWN, result
        assert str(away.port) in result.message


@pytest.mark.check("V002", "unknown")
def test_a_definition_that_cannot_be_read(ask: Ask, ledger: Profile, tmp_path: Path) -> None:
    broken = tmp_path / "broken.cql"
    broken.write_text("CREATE TABLE t (a int PRIMARY KEY);")
    for definition, said in (
        (tmp_path / "gone.cql", "gone.cql cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (broken, "has 'TABLE' where MATERIALIZED belongs"),
    ):
        result = ask("V002", ledger.model_copy(update={"view_definition": definition}))
        assert result.verdict is Verdict.UNKNOWN
        assert said in result.message


def test_without_a_pinned_definition_the_question_is_not_asked(ledger: Profile) -> None:
    with pytest.raises(NotAsked, match="names no view_definition"):
        CHECKS["V002"].run(Context(ledger.model_copy(update={"view_definition": None})))


def _stop_a_build(session: Session, server: Node, profile: Profile) -> None:
    """Drop the view and make it anew, and stop its build before it is done."""
    status = (
        "SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = %s AND view_name = %s"
    )
    with server.admin() as admin, open_reader(profile) as reader:
        for _ in range(5):
            session.execute(f"DROP MATERIALIZED VIEW {profile.keyspace}.{VIEW}")
            create_schema(session.execute, profile.keyspace, indexes=False)
            while not session.execute(status, (profile.keyspace, VIEW)).one():
                admin.stop_view_build()
            while (health := view_health(reader, profile.keyspace, VIEW)).state != "healthy":
                if any(node.status == "STARTED" and node.running is False for node in health.nodes):
                    return
                admin.stop_view_build()
    pytest.fail("every build was done before it could be stopped")


@pytest.mark.check("V003", "fail")
@pytest.mark.check("V004", "fail")
@pytest.mark.check("V005", "fail")
@pytest.mark.check("G001", "fail")
def test_a_build_that_was_stopped(
    ask: Ask, alone: Profile, session: Session, server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = "user_id, asset_id, seq, avail, frozen, created_at"
    insert = f"INSERT INTO {alone.keyspace}.{LEDGER} ({columns}) VALUES (?, 1, ?, 1, 0, 1);"
    batch = session.prepare(f"BEGIN UNLOGGED BATCH {insert * _ROWS} APPLY BATCH")
    rows = [[value for seq in range(_ROWS) for value in (user, seq)] for user in range(_USERS)]
    execute_concurrent_with_args(session, batch, rows, concurrency=32, raise_on_first_error=True)
    _stop_a_build(session, server, alone)

    built = ask("V003", alone)
    assert built.verdict is Verdict.FAIL
    assert built.message.startswith("Not built, ")
    assert "No build task runs on 127.0.0.1" in built.message
    assert built.samples[0]["status"] == "STARTED"
    counts = ask("V004", alone)
    assert counts.verdict is Verdict.FAIL
    assert counts.counts["base"] == _USERS * _ROWS > counts.counts["view"]
    # One that failed shows no task either, and begins again by itself: for some minutes rows may come.
    assert ask("V005", alone).verdict is Verdict.UNKNOWN
    monkeypatch.setattr(building, "RETRIED_AFTER_S", 0.0)
    compared = ask("V005", alone)
    assert compared.verdict is Verdict.FAIL
    assert compared.counts["LOST"] == counts.counts["base"] - counts.counts["view"]
    assert ask("V001", alone).verdict is Verdict.PASS

    options = ("--keyspace", alone.keyspace)
    with running_gateway(alone.port, *options) as fixed:
        honest = ask("G001", behind(alone, fixed.base_url))
    assert "says Rebuilding, and by the server the view is not built" in honest.message
    with running_gateway(alone.port, *options, "--mode", "seed") as seed:
        dishonest = ask("G001", behind(alone, seed.base_url))
        # While the view is not built, its lack of rows is not the query's.
        user = next(int(str(each["key"]).split("=")[1].split(",")[0]) for each in compared.samples)
        booker(session, alone.keyspace)((user, 2, 1, 5, 0))
        lost = ask("G003", behind(alone, seed.base_url), user_id=user)
    assert dishonest.message == "The gateway says Healthy, but by the server the view is not built."
    assert lost.verdict is Verdict.FAIL
    assert "PER PARTITION LIMIT 1" not in lost.message

    report = examine_profile(alone, "here")
    build = next(row for row in report.rows if row.subject == "view build")
    assert (build.verdict, build.text.startswith("not built, ")) == (Verdict.FAIL, True)
    assert "The build has stopped on 127.0.0.1" in build.remedy
    assert "any ALTER of the base table" in build.remedy


@pytest.mark.check("V003", "pass")
@pytest.mark.check("V003", "fail")
@pytest.mark.check("V003", "unknown")
@pytest.mark.parametrize("status", [None, "STARTED"])
def test_a_view_that_is_built_and_whose_status_does_not_say_so(
    ask: Ask, alone: Profile, session: Session, inject: Injector, status: str | None
) -> None:
    booker(session, alone.keyspace)((5, 1, 1, 1, 0), (5, 1, 2, 2, 0))
    # The status follows the build by a moment.
    deadline = time.monotonic() + 60
    while ask("V003", alone).message != "Built on 1 node." and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask("V003", alone).message == "Built on 1 node."
    with open_reader(alone) as reader:
        [host] = reader.hosts()
    names = f"keyspace_name = '{alone.keyspace}' AND view_name = '{VIEW}'"
    where = f"WHERE {names} AND host_id = {host.host_id}"
    if status:
        session.execute(f"UPDATE system_distributed.view_build_status SET status = '{status}' {where}")
    else:
        session.execute(f"DELETE FROM system_distributed.view_build_status {where}")
    # Neither remedy of a stopped build brings the row back.
    session.execute(f"ALTER TABLE {alone.keyspace}.{LEDGER} WITH comment = 'any'")
    found = ask("V003", alone)
    said = f"says {status}" if status else "has no row"
    assert found.verdict is Verdict.PASS
    assert f"127.0.0.1 has finished the build by its own table, and {said}" in found.message
    assert ask("V003", capped(alone, 1)).verdict is Verdict.UNKNOWN
    with open_reader(alone) as reader:
        view = read_view(reader, alone.keyspace, VIEW)
        assert view
        defined = by_schema.definition(reader, view)
    assert (defined.verdict, said in defined.message) == (Verdict.UNKNOWN, True)
    build = next(row for row in examine_profile(alone, "here").rows if row.subject == "view build")
    assert (build.verdict, said in build.text) == (None, True)

    inject.lost(key(5, 1, 2))
    lacking = ask("V003", alone)
    assert (lacking.verdict, said in lacking.message) == (Verdict.FAIL, True)
    # A status that says SUCCESS of a view that this node has not built is found all the same.
    session.execute(f"DELETE FROM system.built_views WHERE {names}")
    session.execute(f"UPDATE system_distributed.view_build_status SET status = 'SUCCESS' {where}")
    forged = ask("V003", alone)
    assert (forged.verdict, forged.message.startswith("Not built")) == (Verdict.FAIL, True)


@pytest.mark.check("V004", "fail")
@pytest.mark.check("V004", "pass")
@pytest.mark.check("V005", "fail")
def test_rows_out_of_step(ask: Ask, alone: Profile, session: Session, inject: Injector) -> None:
    booker(session, alone.keyspace)(*((5, asset, seq, seq, 0) for asset in (1, 2) for seq in (1, 2, 3)))
    waited: list[float] = []
    inject.lost(key(5, 1, 2))
    fewer = ask("V004", alone, sleep=waited.append)
    assert (fewer.verdict, fewer.counts) == (Verdict.FAIL, {"base": 6, "view": 5})
    assert waited[0] == alone.grace_s

    # One lost and one left over: the counts are equal, and prove nothing.
    inject.orphan(row(7, 7, 7, avail=7))
    assert ask("V004", alone).verdict is Verdict.PASS
    inject.mismatch(key(5, 2, 1) | {"avail": 4242})
    result = ask("V005", alone)
    assert result.verdict is Verdict.FAIL
    assert {kind: result.counts[kind] for kind in ("LOST", "MISMATCH", "ORPHAN")} == {
        "LOST": 1,
        "MISMATCH": 1,
        "ORPHAN": 1,
    }
    assert [(sample["kind"], sample["key"]) for sample in result.samples] == [
        ("LOST", "user_id=5, asset_id=1, seq=2"),
        ("MISMATCH", "user_id=5, asset_id=2, seq=1"),
        ("ORPHAN", "user_id=7, asset_id=7, seq=7"),
    ]
    assert result.samples[1]["view"] == "avail=4242, created_at=1001, frozen=0"


@pytest.mark.check("V004", "pass")
@pytest.mark.check("V005", "pass")
def test_what_catches_up_within_the_grace_period_is_no_fault(
    ask: Ask, alone: Profile, session: Session, inject: Injector
) -> None:
    book = booker(session, alone.keyspace)
    book((5, 1, 1, 1, 0))
    for code in ("V004", "V005"):
        inject.never_arrived(row(5, 1, 2, avail=2))
        result = ask(code, alone, sleep=lambda _: book((5, 1, 2, 2, 0)))
        assert result.verdict is Verdict.PASS, result
        session.execute(
            f"DELETE FROM {alone.keyspace}.{LEDGER} WHERE user_id = 5 AND asset_id = 1 AND seq = 2"
        )


@pytest.mark.check("V004", "pass")
@pytest.mark.check("V004", "fail")
def test_counts_that_differ_since_rows_come_and_go(
    ask: Ask, alone: Profile, session: Session, inject: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    booker(session, alone.keyspace)(*((5, 1, seq, seq, 0) for seq in (1, 2, 3)))
    # A view counted while it had two more rows, each time, and a base while it had not.
    monkeypatch.setattr(v004_row_counts, "count_rows", lambda _, table, *__: 5 if table.name == VIEW else 3)
    result = ask("V004", alone)
    assert (result.verdict, result.counts) == (Verdict.PASS, {"base": 3, "view": 5})
    inject.mismatch(key(5, 1, 1) | {"avail": 4242})
    assert ask("V004", alone).verdict is Verdict.PASS
    inject.lost(key(5, 1, 2))
    assert ask("V004", alone).verdict is Verdict.FAIL


@pytest.mark.check("V004", "unknown")
@pytest.mark.check("V005", "pass")
def test_beyond_the_budget_only_a_sample_is_claimed(
    ask: Ask, alone: Profile, session: Session, server: Node
) -> None:
    booker(session, alone.keyspace)(*((5, 1, seq, seq, 0) for seq in range(200)))
    # The server has no estimate yet: that there are more is seen when they are read.
    result = ask("V005", capped(alone, 150))
    assert (result.verdict, "drawn at random" in result.message) == (Verdict.PASS, True)
    with server.admin() as admin:
        admin.flush(alone.keyspace, LEDGER)
        admin.flush(alone.keyspace, VIEW)
    # The server looks at its sizes every few minutes; it can be told to.
    asked = {
        "type": "exec",
        "mbean": "org.apache.cassandra.db:type=StorageService",
        "operation": "refreshSizeEstimates",
    }
    assert httpx.post(f"{node_files.admin_url(server.config)}/", json=asked).json()["status"] == 200
    result = ask("V004", capped(alone, 10))
    assert result.verdict is Verdict.UNKNOWN
    assert "beyond the budget of 10" in result.message


@pytest.mark.check("V005", "pass")
def test_a_view_that_filters_by_value_is_judged_row_by_row(
    ask: Ask, alone: Profile, session: Session
) -> None:
    session.execute(
        f"CREATE MATERIALIZED VIEW {alone.keyspace}.of_one AS SELECT user_id, asset_id, seq, avail "
        f"FROM {alone.keyspace}.{LEDGER} WHERE user_id = 5 AND asset_id IS NOT NULL AND seq IS NOT NULL "
        "PRIMARY KEY (asset_id, user_id, seq)"
    )
    booker(session, alone.keyspace)((5, 1, 1, 1, 0), (6, 1, 1, 1, 0))
    with pytest.raises(NotAsked, match="of_one filters its rows, so its row count proves nothing"):
        ask("V004", retarget(alone, view="of_one"))
    assert ask("V005", retarget(alone, view="of_one")).verdict is Verdict.PASS
