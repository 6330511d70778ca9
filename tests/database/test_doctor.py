"""The doctor on real servers: what works passes, and what does not is named with its remedy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.doctor import Report, Row, ring
from balancebook.doctor.examination import examine_profile
from balancebook.errors import ExitCode
from balancebook.profile import Limits, Profile, Secret, Tls
from balancebook.store.connect import close, connect
from balancebook.verdict import Verdict
from checking import behind, gateway_of, nowhere
from gateway_process import running_gateway

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
QUICK = Limits(connect_timeout_s=2.0, request_timeout_s=2.0)


@pytest.fixture(scope="module")
def served(trading: Profile) -> Iterator[Profile]:
    """The demo exchange, with a gateway on it."""
    with running_gateway(trading.port) as client:
        yield behind(trading, client.base_url)


def _row(report: Report, subject: str) -> Row:
    return next(row for row in report.rows if row.subject == subject)


def _verdicts(report: Report) -> dict[str, Verdict | None]:
    return {row.subject: row.verdict for row in report.rows}


def _lacking(report: Report) -> set[str]:
    return {ability.code for ability in report.abilities if not ability.can_work}


def test_the_embedded_exchange_passes(served: Profile) -> None:
    report = examine_profile(served, "built in")
    assert {row.subject: row.text for row in report.rows if row.verdict not in (PASS, None)} == {}
    assert report.exit_code is ExitCode.PASS
    assert report.grants == ()
    assert _lacking(report) == set()
    assert {row.subject for row in report.rows if row.verdict is None} == {"writing"}
    assert {f"read trading.{LEDGER}", f"read trading.{VIEW}", "clock of 127.0.0.1"} <= set(_verdicts(report))


def test_the_command(served: Profile, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "balancebook.cli", "doctor"]
    env = environment | {"BALANCEBOOK_GATEWAY_URL": gateway_of(served).url}
    done = subprocess.run([*command, "--json"], env=env, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["profile"], told["verdict"], told["exit_code"]) == ("embedded", "pass", 0)
    assert all(check["can_work"] for check in told["checks"])

    env["BALANCEBOOK_GATEWAY_URL"] = nowhere()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    assert (done.returncode, done.stderr) == (11, "")
    assert "? unknown gateway: " in done.stdout
    assert "G002 gateway_contract            lacks the gateway" in done.stdout


def test_nothing_is_written(served: Profile, session: Session) -> None:
    def writes() -> list[Any]:
        counted = session.execute(
            "SELECT keyspace_name, table_name, count FROM system_views.local_write_latency"
        )
        return sorted(row for row in counted if row[0] in ("trading", "system_schema", "system_auth"))

    before = writes()
    assert "trading" in {row[0] for row in before}
    examine_profile(served, "built in")
    assert writes() == before


@pytest.mark.parametrize(
    ("changes", "subject", "said"),
    [
        ({"view": "user_balances_by_usr"}, "view", f"Did you mean {VIEW}"),
        ({"keyspace": "tradin"}, "view", "Did you mean trading"),
        ({"view": LEDGER}, "view", "is a table"),
        ({"local_dc": "dc1"}, "local_dc", "the cluster has datacenter1"),
    ],
)
def test_what_is_proved_wrong_fails(
    served: Profile, changes: dict[str, str], subject: str, said: str
) -> None:
    report = examine_profile(served.model_copy(update=changes), "f")
    assert _row(report, subject).verdict is FAIL
    assert said in _row(report, subject).text
    assert _row(report, subject).remedy
    assert report.exit_code is ExitCode.FAIL
    assert {"V003", "V005", "Q001", "G003"} <= _lacking(report)


def test_without_its_view_v001_still_works(served: Profile) -> None:
    report = examine_profile(served.model_copy(update={"view": "nothing"}), "f")
    assert not {"V001", "G002"} & _lacking(report)
    # What is no account follows from the type of the ledger's column.
    assert "G005" in _lacking(report)
    assert not [subject for subject in _verdicts(report) if subject == f"read trading.{LEDGER}"]


def test_a_column_that_the_ledger_has_not(served: Profile) -> None:
    ledger = served.ledger.model_copy(update={"available": "avial"})
    report = examine_profile(served.model_copy(update={"ledger": ledger}), "f")
    assert _row(report, "ledger").verdict is FAIL
    assert "avail" in _row(report, "ledger").remedy
    assert {"Q001", "Q003", "G003"} <= _lacking(report)
    assert not {"V003", "V005"} & _lacking(report)


def test_without_a_pinned_definition(served: Profile) -> None:
    report = examine_profile(served.model_copy(update={"view_definition": None}), "f")
    assert report.exit_code is ExitCode.PASS
    assert _lacking(report) == {"V002"}


@pytest.mark.parametrize(("ahead", "word"), [(-30.0, "ahead of"), (30.0, "behind")])
def test_a_clock_that_is_off(
    served: Profile, monkeypatch: pytest.MonkeyPatch, ahead: float, word: str
) -> None:
    # This machine's clock is moved as the doctor sees it, since the server's cannot be.
    moved = SimpleNamespace(time=lambda: time.time() + ahead, monotonic=time.monotonic)
    monkeypatch.setattr(ring, "time", moved)
    report = examine_profile(served, "f")
    row = _row(report, "clock of 127.0.0.1")
    assert row.verdict is FAIL
    assert word in row.text
    assert report.exit_code is ExitCode.FAIL


def test_a_gateway_that_is_not_healthy(served: Profile, keyspace: str) -> None:
    with running_gateway(served.port, "--keyspace", keyspace, "--view", "nothing") as client:
        report = examine_profile(behind(served, client.base_url), "f")
    assert _row(report, "gateway").verdict is PASS
    assert _row(report, "gateway health").verdict is FAIL
    assert "Missing" in _row(report, "gateway health").text
    assert _lacking(report) == set()


def _secret(tmp_path: Path, value: str) -> Secret:
    path = tmp_path / f"secret-{value}"
    path.write_text(value)
    return Secret(kind="file", value=str(path))


def test_a_server_that_wants_tls_and_a_password(
    disposable: Callable[..., Node],
    profile_of: Callable[..., Profile],
    keystore: Callable[..., Any],
    served: Profile,
    tmp_path: Path,
) -> None:
    store, other = keystore("127.0.0.1"), keystore("127.0.0.1")
    node = disposable(auth=True, tls=store.server)
    admin = profile_of(
        node,
        tls=Tls(ca=store.ca),
        username="cassandra",
        password=_secret(tmp_path, "cassandra"),
        gateway=served.gateway,
        limits=QUICK,
    )
    patient = admin.limits.model_copy(update={"request_timeout_s": 30.0})
    superuser = connect(admin.model_copy(update={"limits": patient}))
    create_schema(superuser.execute, "trading", indexes=False)

    report = examine_profile(admin, "f")
    assert report.exit_code is ExitCode.PASS
    assert "certificate verified, it expires on 3000-01-01" in _row(report, "contact point 127.0.0.1").text
    assert "role cassandra could write (superuser)" in _row(report, "writing").text

    _refused(admin, other.ca, tmp_path)
    _missing_grants(admin, superuser, tmp_path)
    close(superuser)

    node.pause()
    report = examine_profile(admin, "f")
    assert _row(report, "login").verdict is UNKNOWN
    assert report.exit_code is ExitCode.UNKNOWN


def _refused(admin: Profile, wrong_ca: Path, tmp_path: Path) -> None:
    for changes, subject, said in (
        ({"password": _secret(tmp_path, "wrong")}, "login", "refused the user name or the password"),
        ({"username": None, "password": None}, "login", "the profile has none"),
        ({"tls": Tls(ca=wrong_ca)}, "contact point 127.0.0.1", "not signed by the CA"),
        ({"tls": None}, "login", "the profile has no [tls]"),
    ):
        report = examine_profile(admin.model_copy(update=changes), "f")
        assert said in _row(report, subject).text
        assert _row(report, subject).remedy
        assert _row(report, "login").verdict is UNKNOWN
        assert report.exit_code is ExitCode.UNKNOWN
        assert "V001" in _lacking(report)


def _missing_grants(admin: Profile, superuser: Session, tmp_path: Path) -> None:
    superuser.execute("CREATE ROLE \"Reader\" WITH LOGIN = true AND PASSWORD = 'reading'")
    reader = admin.model_copy(update={"username": "Reader", "password": _secret(tmp_path, "reading")})
    report = examine_profile(reader, "f")
    assert report.exit_code is ExitCode.UNKNOWN
    assert set(report.grants) == {
        f'GRANT SELECT ON {table} TO "Reader";'
        for table in (
            f"trading.{LEDGER}",
            "system_distributed.view_build_status",
            "system.built_views",
            "system.view_builds_in_progress",
            "system_views.sstable_tasks",
        )
    }
    assert set(report.grants) <= set(report.text().splitlines())
    assert {"V003", "V005", "Q001", "G001"} <= _lacking(report)
    assert not {"V001", "G002"} & _lacking(report)

    for grant in report.grants:
        superuser.execute(grant.rstrip(";"))
    deadline = time.monotonic() + 30
    # The server remembers for some seconds what a role may not do.
    while (report := examine_profile(reader, "f")).exit_code != 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert report.exit_code is ExitCode.PASS
    assert report.grants == ()
    assert _lacking(report) == set()
    assert "not known whether role Reader could write" in _row(report, "writing").text

    for table in ("system_auth.roles", "system_auth.role_permissions"):
        superuser.execute(f'GRANT SELECT ON {table} TO "Reader"')
    superuser.execute("CREATE ROLE writers")
    superuser.execute("GRANT MODIFY ON KEYSPACE trading TO writers")
    assert "no permission to write is recorded" in _writing(reader, "no permission")
    superuser.execute('GRANT writers TO "Reader"')
    assert "(MODIFY on data/trading)" in _writing(reader, "could write (")


def _writing(reader: Profile, awaited: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        text = _row(examine_profile(reader, "f"), "writing").text
        if awaited in text or time.monotonic() > deadline:
            return text
        time.sleep(0.5)
