"""`balancebook reconcile` and `balancebook fault`: what was damaged is found by name, and nothing after the undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from balancebook.record import load_record
from balancebook.settings import Profile
from e2e.commands import Desk, assert_refused

# The first one here may have the exchange to load.
pytestmark = pytest.mark.timeout(300)
TARGET = "trading.user_balances_by_user"
KEYS = [
    *(
        "schema_version",
        "run_id",
        "keyspace",
        "view",
        "base",
        "depth",
        "verdict",
        "message",
        "consistency",
        "rows",
        "ranges",
    ),
    *("counts", "truncated", "differences", "details", "seconds"),
]


@pytest.fixture
def exchange(desk: Desk, trading: Profile, environment: dict[str, str]) -> Iterator[Desk]:
    """A desk at the shared server with the whole demo exchange, which is left as it was."""
    assert trading.keyspace == "trading"
    state = {"BALANCEBOOK_STATE": environment["BALANCEBOOK_STATE"], "BALANCEBOOK_PROFILE": "embedded"}
    desk.env |= state | {"BALANCEBOOK_GRACE_S": "1"}
    yield desk
    desk("fault", "undo", "--force")


def named(differences: list[dict[str, Any]]) -> list[tuple[str, tuple[tuple[str, int], ...]]]:
    return sorted((each["kind"], tuple(each["key"].items())) for each in differences)


def test_a_thousand_faults_are_found_by_name_and_undone(exchange: Desk) -> None:
    made = exchange("fault", "mix", "--rows", "1000", "--json").document
    assert len(made["injected"]) == 1000
    assert exchange("fault", "status", "--json").document == made

    told = exchange("reconcile", TARGET, "--json")
    found = told.document
    assert (told.code, found["verdict"], list(found)) == (10, "fail", KEYS)
    assert named(found["differences"]) == named(made["injected"])
    assert {kind: count for kind, count in found["counts"].items() if count} == made["counts"]
    assert (found["truncated"], found["ranges"]["unknown"]) == (False, [])
    folder = Path(exchange.env["BALANCEBOOK_STATE"]) / "runs" / found["run_id"]
    record = load_record(folder)
    assert (record.notebook, record.verdict, record.exit_code) == ("reconcile", "fail", 10)

    assert exchange("fault", "undo", "--json").document == {"undone": made["fault_id"]}
    assert exchange("fault", "undo", "--json").document == {"undone": None}
    told = exchange("reconcile", TARGET, "--json")
    assert (told.code, told.document["verdict"], told.document["differences"]) == (0, "pass", [])


@pytest.mark.parametrize(
    ("target", "parameter", "suggestion"),
    [
        ("trading.user_balance_by_user", "view", "user_balances_by_user"),
        ("tradin.user_balances_by_user", "keyspace", "trading"),
        ("trading.balance_ledger", "view", None),
        ("trading", "target", TARGET),
        ("trading.a-b", "view", None),
    ],
)
def test_a_target_that_is_not_there(
    exchange: Desk, target: str, parameter: str, suggestion: str | None
) -> None:
    assert_refused(exchange("reconcile", target, "--json"), "", parameter=parameter, suggestion=suggestion)


def test_a_database_that_is_not_there_is_unknown_and_recorded(desk: Desk) -> None:
    desk.profile()
    told = desk("reconcile", TARGET, "--json")
    assert (told.code, told.document["error"]["code"]) == (11, "store")
    [folder] = (desk.folder / ".balancebook" / "runs").iterdir()
    record = load_record(folder)
    assert record.error
    assert (record.status, record.verdict, record.error.code) == ("refused", "unknown", "unreachable")


def test_faults_are_refused_elsewhere(desk: Desk) -> None:
    desk.profile()
    assert_refused(desk("fault", "lost", "--json"), "embedded database only", parameter="profile")
    assert_refused(desk("fault", "undo", "--json"), "embedded database only", parameter="profile")
    assert_refused(desk("fault", "lost", "-P", "embedded", "--json"), "does not run")
    assert_refused(desk("fault", "lots", "--json"), "There is no fault", suggestion="lost")
