"""Parameters and places that cannot be meant: refused before anything runs, by name, with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.commands import SECRET, Desk, assert_refused


@pytest.fixture
def quiet(desk: Desk) -> Desk:
    """A desk with a profile that holds a secret, at which nothing listens."""
    desk.profile(username="reader", password="env:TEST_SECRET")
    return desk


def _nothing_ran(desk: Desk) -> None:
    assert sorted(path.name for path in desk.folder.iterdir()) == ["balancebook.toml"]


# More of them: database/test_accounts.py.
@pytest.mark.parametrize(
    "value",
    [
        "007",
        "5.0",
        "True",
        str(2**63),
        '1;open("ran", "w")#',
        "\u0665",  # a digit, of another alphabet
        "",
    ],
)
def test_what_is_no_user_id(at: Desk, value: str) -> None:
    told = at.run("readiness", "-p", f"user_id={value}")
    assert_refused(told, "user_id is ", parameter="user_id")
    assert value == "" or "user_id is bigint" in told.document["error"]["message"]
    _nothing_ran(at)


def test_what_is_no_id_of_an_unknown_user(at: Desk) -> None:
    told = at.run("readiness", "-p", "unknown_user_id=alice")
    assert_refused(told, "unknown_user_id is 'alice', which is no bigint", parameter="unknown_user_id")
    _nothing_ran(at)


def test_without_the_view_there_is_nothing_to_hold_an_account_against(at: Desk) -> None:
    told = at.run("mv_checks", "-p", "view=nowhere")
    assert (told.code, told.verdicts["V001"]) == (10, "fail")
    told = at.run("balance_queries", "-p", "view=nowhere", "-p", "user_id=alice", "--out", "again")
    assert (told.code, set(told.verdicts.values())) == (11, {"unknown"})


@pytest.mark.parametrize(
    ("given", "said", "parameter", "suggestion"),
    [
        (["user_idd=1"], "no parameter 'user_idd'", "user_idd", "user_id"),
        (['user_id;open("ran","w")#=1'], "no parameter 'user_id;open", None, None),
        (["user_id=1", "user_id=1"], "user_id is given twice", "user_id", None),
        (["user_id"], "-p 'user_id' has no value", None, "Write -p name=value."),
        (["strategy=groupby"], "strategy is 'groupby'", "strategy", "group_by"),
        (['keyspace="Trading"'], "is not a CQL name", "keyspace", None),
        (['view=v"; DROP KEYSPACE trading; --'], "is not a CQL name", "view", None),
        (["view=trading.v"], "is not a CQL name", "view", None),
        (["gateway_url=127.0.0.1:3001"], "is not an address", "gateway_url", None),
        ([f"keyspace={SECRET}"], "would carry a secret", "keyspace", None),
    ],
)
def test_parameters_that_are_refused(
    quiet: Desk, given: list[str], said: str, parameter: str | None, suggestion: str | None
) -> None:
    options = [option for assignment in given for option in ("-p", assignment)]
    assert_refused(quiet.run("readiness", *options), said, parameter=parameter, suggestion=suggestion)
    _nothing_ran(quiet)


@pytest.mark.parametrize("value", ["False", "0", "None"])
def test_text_that_is_no_bool(quiet: Desk, value: str) -> None:
    path = quiet.folder / quiet.notebook()
    path.write_text(path.read_text().replace("note: str = ''", "full: bool = True"))
    assert_refused(quiet.run(str(path), "-p", f"full={value}"), "not true or false", parameter="full")
    assert not quiet.runs.exists()


def test_an_output_folder_is_taken_literally(quiet: Desk) -> None:
    there = "kept/{user_id.__class__}/${HOME}/../%s"
    told = quiet.run("readiness", "--out", there)
    assert (told.code, told.document["status"]) == (11, "refused")
    (run,) = (quiet.folder / there).iterdir()
    assert run.name == told.document["run_id"]
    assert run.resolve().parent == Path(quiet.folder / "kept/{user_id.__class__}/%s").resolve()


def test_an_output_folder_that_cannot_be(quiet: Desk) -> None:
    (quiet.folder / "file").write_text("")
    told = quiet.run("readiness", "--out", "file/runs")
    assert_refused(told, "Runs cannot be kept in", parameter="out")
    assert "Not a directory" in told.stderr
