"""The doctor's judgements, and what it says without any server."""

from __future__ import annotations

import re
import socket
import uuid
from pathlib import Path

import pytest

from balancebook.checks import CHECKS
from balancebook.doctor import Report, Row, abilities, examine
from balancebook.doctor.examination import examine_profile
from balancebook.doctor.reach import judge_certificate
from balancebook.doctor.report import Ability, not_read
from balancebook.doctor.ring import bound_offset, judge_clock, judge_versions
from balancebook.errors import ExitCode
from balancebook.profile import Profile, Secret, Tls
from balancebook.settings import SettingsError, load_profile
from balancebook.store.errors import StoreError
from balancebook.store.reader import Host
from balancebook.verdict import Verdict
from checking import gateway_of
from ports import free_ports
from scripted_gateway import http, serving

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


@pytest.fixture
def nowhere(tmp_path: Path) -> Profile:
    """A profile at whose addresses nobody listens."""
    cql, gateway = free_ports(2)
    env = {
        "BALANCEBOOK_STATE": str(tmp_path),
        "BALANCEBOOK_PORT": str(cql),
        "BALANCEBOOK_GATEWAY_PORT": str(gateway),
    }
    return load_profile("embedded", env=env)


def _row(report: Report, subject: str) -> Row:
    return next(row for row in report.rows if row.subject == subject)


@pytest.mark.parametrize(
    ("asked_at", "node_time", "answered_at", "verdict"),
    [
        (100.0, 100.0, 100.0, PASS),
        (100.0, 101.9, 100.1, PASS),
        # The round trip leaves both sides of the grace period open.
        (100.0, 102.005, 100.1, UNKNOWN),
        (100.0, 110.0, 120.0, UNKNOWN),
        (100.0, 102.2, 100.1, FAIL),
        (100.0, 97.8, 100.1, FAIL),
        # What the node says is cut to a millisecond.
        (100.0, 97.998, 100.0, FAIL),
        (100.0, 97.9995, 100.0, UNKNOWN),
    ],
)
def test_a_clock_fails_only_when_proved_wrong(
    asked_at: float, node_time: float, answered_at: float, verdict: Verdict
) -> None:
    clock = bound_offset(asked_at, node_time, answered_at)
    assert judge_clock("127.0.0.1", clock, 2.0).verdict is verdict


def test_a_wrong_clock_is_told_with_the_proved_bound() -> None:
    clock = bound_offset(100.0, 131.0, 101.0).narrowed(bound_offset(200.0, 230.5, 200.2))
    assert "at least 30.300 s ahead of" in judge_clock("n", clock, 2.0).text
    assert "at least 29.999 s behind" in judge_clock("n", bound_offset(100.0, 70.0, 100.5), 2.0).text


@pytest.mark.parametrize(
    ("product", "versions", "verdict", "said"),
    [
        ("Apache Cassandra", ["5.0.6", "5.0.6"], PASS, "Apache Cassandra 5.0.6"),
        ("Apache Cassandra", ["5.0.6", "5.0.5"], UNKNOWN, "5.0.5 on 127.0.0.2; 5.0.6 on 127.0.0.1"),
        ("Apache Cassandra", ["4.1.3"], UNKNOWN, "untested"),
        ("Apache Cassandra", ["5.01"], UNKNOWN, "untested"),
        ("ScyllaDB", ["5.0.2"], UNKNOWN, "untested"),
    ],
)
def test_versions(product: str, versions: list[str], verdict: Verdict, said: str) -> None:
    nodes = [
        Host(f"127.0.0.{number}", uuid.uuid4(), "dc1", version, True)
        for number, version in enumerate(versions, start=1)
    ]
    row = judge_versions(product, versions[0], nodes)
    assert row.verdict is verdict
    assert said in row.text


@pytest.mark.parametrize(("days", "warned"), [(400, False), (15, False), (14, True), (0, True)])
def test_a_certificate_near_its_end(days: int, warned: bool) -> None:
    row = judge_certificate("contact point", 1_900_000_000 + days * 86_400 + 60, 1_900_000_000)
    assert f"(in {days} days)" in row.text
    assert bool(row.remedy) == warned


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([PASS, None], ExitCode.PASS),
        ([PASS, UNKNOWN, None], ExitCode.UNKNOWN),
        ([PASS, UNKNOWN, FAIL], ExitCode.FAIL),
    ],
)
def test_the_worst_row_decides_and_notes_do_not(verdicts: list[Verdict | None], code: ExitCode) -> None:
    report = Report("p", tuple(Row("s", verdict, "t") for verdict in verdicts), (), ())
    assert report.exit_code is code
    assert report.to_json()["exit_code"] == int(code)
    assert [found["verdict"] for found in report.to_json()["findings"]] == verdicts


def test_the_text_keeps_statements_whole() -> None:
    grant = "GRANT SELECT ON system_distributed.view_build_status TO " + "r" * 80 + ";"
    report = Report(
        "p", (Row("view", UNKNOWN, "refused", "See to it."),), (grant,), (Ability("V001", "n", ("x", "y")),)
    )
    lines = report.text().splitlines()
    assert grant in lines
    assert lines[:2] == ["? unknown view: refused", "            See to it."]
    assert "  V001 n                           lacks x, y" in lines


def test_every_registered_check_has_its_needs() -> None:
    assert set(abilities.NEEDS) == set(CHECKS)


def test_a_check_lacks_what_was_not_provided() -> None:
    every = {need for needs in abilities.NEEDS.values() for need in needs}
    assert not any(ability.lacks for ability in abilities.list_abilities(every))
    lacking = {a.code for a in abilities.list_abilities(every - {abilities.GATEWAY}) if a.lacks}
    assert lacking == {code for code in CHECKS if code.startswith("G")}


@pytest.mark.parametrize(
    ("provided", "v005", "g003"),
    [
        (set(), (abilities.SESSION,), (abilities.GATEWAY, abilities.SESSION)),
        ({abilities.SESSION, abilities.GATEWAY}, (abilities.VIEW,), (abilities.VIEW,)),
        (
            {abilities.SESSION, abilities.VIEW, abilities.ROWS, abilities.GATEWAY},
            (abilities.BASE,),
            (abilities.BASE, abilities.LEDGER),
        ),
    ],
)
def test_the_first_thing_missing_is_told(
    provided: set[str], v005: tuple[str, ...], g003: tuple[str, ...]
) -> None:
    lacks = {ability.code: ability.lacks for ability in abilities.list_abilities(provided)}
    assert (lacks["V005"], lacks["G003"]) == (v005, g003)


def test_nothing_runs(nowhere: Profile) -> None:
    report = examine_profile(nowhere, "built in")
    assert report.exit_code is ExitCode.UNKNOWN
    assert _row(report, "profile").verdict is PASS
    for subject in ("contact point 127.0.0.1", "login", "gateway"):
        assert _row(report, subject).verdict is UNKNOWN
    assert "balancebook up" in _row(report, "login").remedy
    assert all(ability.lacks for ability in report.abilities)
    assert "\n\n\n" not in report.text()


def test_a_secret_that_cannot_be_read(nowhere: Profile) -> None:
    secret = Secret(kind="env", value="BALANCEBOOK_NO_SUCH_VARIABLE")
    report = examine_profile(nowhere.model_copy(update={"username": "me", "password": secret}), "f")
    assert _row(report, "profile").verdict is UNKNOWN
    assert "BALANCEBOOK_NO_SUCH_VARIABLE" in _row(report, "profile").remedy
    assert "not tried" in _row(report, "login").text


def test_a_password_is_never_shown(nowhere: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALANCEBOOK_TEST_SECRET", "sesame-0815")
    secret = Secret(kind="env", value="BALANCEBOOK_TEST_SECRET")
    report = examine_profile(nowhere.model_copy(update={"username": "me", "password": secret}), "f")
    assert _row(report, "profile").verdict is PASS
    assert "sesame" not in report.text() + str(report.to_json())


def test_a_header_that_cannot_be_read_leaves_the_gateway_unknown(nowhere: Profile) -> None:
    headers = (("X-Api-Key", Secret(kind="env", value="BALANCEBOOK_NO_SUCH_VARIABLE")),)
    gateway = gateway_of(nowhere).model_copy(update={"headers": headers})
    report = examine_profile(nowhere.model_copy(update={"gateway": gateway}), "f")
    for subject in ("profile", "gateway"):
        assert _row(report, subject).verdict is UNKNOWN
        assert "BALANCEBOOK_NO_SUCH_VARIABLE" in _row(report, subject).remedy


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, PASS), (400, PASS), (404, PASS), (401, UNKNOWN), (403, UNKNOWN)]
)
def test_a_gateway_without_a_health_path_is_asked_for_nobody(
    nowhere: Profile, status: int, verdict: Verdict
) -> None:
    with serving(http("{}", status)) as url:
        gateway = gateway_of(nowhere).model_copy(update={"url": url, "health_path": None})
        report = examine_profile(nowhere.model_copy(update={"gateway": gateway}), "f")
    assert _row(report, "gateway").verdict is verdict
    healthy = next(ability for ability in report.abilities if ability.code == "G001")
    assert healthy.skipped
    assert "no health_path" in healthy.text
    if verdict is PASS:
        assert _row(report, "gateway health").verdict is None


def test_each_contact_point_is_tried(nowhere: Profile) -> None:
    points = ("127.0.0.1", "no-such-host.invalid", "127.0.0.9")
    report = examine_profile(nowhere.model_copy(update={"contact_points": points}), "f")
    assert [row.subject for row in report.rows[1:4]] == [f"contact point {point}" for point in points]
    assert all(row.verdict is UNKNOWN and row.remedy for row in report.rows[1:4])


def test_a_ca_that_is_no_certificate(nowhere: Profile, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with socket.create_server(("127.0.0.1", nowhere.port)):
        report = examine_profile(nowhere.model_copy(update={"tls": Tls(ca=tmp_path / "ca.pem")}), "f")
    assert _row(report, "contact point 127.0.0.1").verdict is UNKNOWN
    assert re.search(r"TLS file .*ca\.pem", _row(report, "login").text)


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(SettingsError):
        examine("nowhere")


def test_rows_of_one_cause_are_printed_as_one() -> None:
    tables = [f"system_schema.{name}" for name in ("keyspaces", "tables", "views", "columns", "types")]
    down = "no connection: the pool is shut down."
    rows = [
        *(
            not_read(f"read {table}", StoreError("unreachable", f"reading {table}: {down}", "Start it."))
            for table in tables
        ),
        Row("login", PASS, "fine"),
        not_read(
            "read a.b", StoreError("permission", "reading a.b: role r has no permission on a.b.", "GRANT;")
        ),
        not_read(
            "read a.c", StoreError("permission", "reading a.c: role r has no permission on a.c.", "GRANT;")
        ),
        not_read(
            "node 10.0.0.1",
            StoreError("unreachable", f"reading system.local on 10.0.0.1: {down}", "Start it."),
        ),
    ]
    report = Report("p", tuple(rows), (), ())
    assert report.text().partition("\n\nWhich")[0].splitlines() == [
        f"? unknown read {tables[0]}, read {tables[1]}, read {tables[2]}, 3 more: {down}",
        "            Start it.",
        "✔ pass    login: fine",
        "? unknown read a.b: reading a.b: role r has no permission on a.b.",
        "            GRANT;",
        "? unknown read a.c: reading a.c: role r has no permission on a.c.",
        "            GRANT;",
    ]
    assert len(report.to_json()["findings"]) == len(rows)
