"""Names of keyspaces and views: what is not there fails and is guessed at; upper case is just a name."""

from __future__ import annotations

import pytest

from balancebook.demo.node import Node
from balancebook.demo.schema import LEDGER, VIEW
from checking import THREE_ASSETS
from e2e.commands import KEYSPACE, Desk


def test_readiness_of_a_keyspace_in_the_wrong_case(at: Desk) -> None:
    wrong = KEYSPACE.lower()
    told = at.run("readiness", "-p", f"keyspace={wrong}")
    assert told.code == 10
    assert told.message("V001") == f"Keyspace '{wrong}' does not exist. Did you mean {KEYSPACE}?"
    assert "pass" not in told.verdicts.values()
    assert told.verdicts["V005"] == told.verdicts["Q001"] == "unknown"
    assert "See V001." in told.message("V005")


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("user_balances_by_usr", f"Did you mean {VIEW}? Views there: Balances, {VIEW}."),
        (LEDGER, f"{KEYSPACE}.{LEDGER} is a table, not a materialized view. Views there: Balances, {VIEW}."),
    ],
)
def test_a_view_that_is_not_there(at: Desk, view: str, said: str) -> None:
    told = at.run("mv_checks", "-p", f"view={view}")
    assert told.code == 10
    assert told.verdicts["V001"] == "fail"
    assert said in told.message("V001")
    assert "pass" not in told.verdicts.values()


def test_names_that_have_to_be_quoted_work(at: Desk, server: Node) -> None:
    path = at.notebook(
        "for code in ('V001', 'V003', 'V004', 'V005'): book.check(code)",
        f"for code in ('Q001', 'Q003'): book.check(code, strategy='group_by', user_id={THREE_ASSETS})",
        required=("V001", "V003", "V004", "V005", "Q001", "Q003"),
    )
    at.profile(port=server.config.cql_port, keyspace=KEYSPACE, view="Balances")
    told = at.run(path)
    assert (told.code, told.verdicts) == (0, dict.fromkeys(told.verdicts, "pass")), told.document
    assert (told.document["target"]["keyspace"], told.document["target"]["view"]) == (KEYSPACE, "Balances")
