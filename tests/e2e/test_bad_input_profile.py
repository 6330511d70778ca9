"""Profiles that cannot be used: the key is named, nothing runs, and what may be a password is not repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.commands import SECRET, Desk, assert_refused

Edit = Callable[[str], str]


def _replaced(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


@pytest.mark.parametrize(
    ("edit", "said", "suggestion"),
    [
        (_replaced("local_dc", "local_cd"), "unknown key local_cd", "local_dc"),
        (_replaced("timeout_s", "timeout"), "unknown key gateway.timeout", "timeout_s"),
        (_replaced("[profiles.", "[profile."), "unknown key 'profile'", "profiles"),
        (_replaced("local_dc", "#"), "local_dc", None),
        (_replaced("port = ", "port = -"), "port", None),
        (_replaced("port = ", "port == "), "is no valid TOML", None),
        (_replaced("assets.toml", "asets.toml"), "asets.toml cannot be read", None),
        (_replaced("view = ", 'view_definition = "no.cql"\nview = '), "no.cql is not a file", None),
    ],
)
def test_a_profile_that_is_wrong(desk: Desk, edit: Edit, said: str, suggestion: str | None) -> None:
    desk.profile()
    path = desk.folder / "balancebook.toml"
    path.write_text(edit(path.read_text()))
    assert_refused(desk.run("readiness"), said, suggestion=suggestion)
    assert not desk.runs.exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"password": "hunter2-plain"}, "password: a secret is given by reference"),
        ({"password": "env:NOT_SET_HERE"}, "The variable NOT_SET_HERE is not set"),
        ({"password": "file:nowhere.txt"}, "nowhere.txt cannot be read: No such file or directory."),
        ({"password": "command:false"}, "The secret command 'false' failed"),
        ({"password": "command:'"}, "The secret command cannot be split into words: No closing quotation"),
        ({"password": "env:SHORT"}, "shorter than 4 characters"),
    ],
)
def test_a_secret_that_is_not_to_be_had(desk: Desk, keys: dict[str, Any], said: str) -> None:
    desk.profile(username="reader", **keys)
    desk.env["SHORT"] = "abc"
    told = desk.run("readiness")
    assert_refused(told, said)
    assert "hunter2" not in told.stdout + told.stderr
    assert not desk.runs.exists()


def test_profiles_that_are_not_there(desk: Desk, tmp_path: Path) -> None:
    desk.profile()
    assert_refused(
        desk.run("readiness", "--profile", "sit"), "no profile 'sit'", parameter="profile", suggestion="site"
    )
    desk.env["BALANCEBOOK_CONFIG"] = str(tmp_path / "nowhere.toml")
    assert_refused(desk.run("readiness"), "nowhere.toml, which is no file")
    assert not desk.runs.exists()


def test_a_parameter_cannot_bring_the_secret_in(desk: Desk) -> None:
    desk.profile(username="reader", password="env:TEST_SECRET")
    path = desk.notebook()
    assert_refused(desk.run(path, "-p", f"note=x{SECRET}y"), "note' would carry a secret", parameter="note")
