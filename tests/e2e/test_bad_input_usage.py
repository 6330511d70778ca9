"""Commands that cannot be meant, and the help that says what could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancebook.cli import app
from e2e.commands import Desk, assert_refused

COMMANDS = sorted(app.commands)


@pytest.mark.parametrize(
    ("arguments", "said", "suggestion"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?", "See `balancebook --help`."),
        (["run"], "Missing argument 'NAME'", "See `balancebook run --help`."),
        (["run", "readiness", "--profil", "x"], "No such option '--profil'", "See `balancebook run --help`."),
        (["run", "readines"], "no notebook or runbook 'readines'", "readiness"),
        (["run", "no/such.ipynb"], "no/such.ipynb cannot be read: No such file", None),
        (["run", "."], "no notebook or runbook '.'", None),
        (["run", "./"], "cannot be read: Is a directory", None),
        (["run", "text.ipynb"], "text.ipynb cannot be run: it is no JSON", None),
        (["run", "other.ipynb"], "other.ipynb cannot be run: it is no notebook", None),
        (["run", "readiness", "--timeout", "0"], "'0' is not a whole number of seconds", None),
        (["run", "readiness", "--timeout", "nan"], "'nan' is not a whole number of seconds", None),
        (["up", "--gateway", "sed"], "'sed' is not one of", "See `balancebook up --help`."),
    ],
)
def test_what_cannot_be_meant(desk: Desk, arguments: list[str], said: str, suggestion: str | None) -> None:
    (desk.folder / "text.ipynb").write_text("# A question")
    (desk.folder / "other.ipynb").write_text("{}")
    assert_refused(desk(*arguments, "--json"), said, suggestion=suggestion)
    assert not (desk.folder / ".balancebook").exists()


def test_an_index_of_no_folder(desk: Desk) -> None:
    told = desk("index", "--out", "nowhere")
    assert (told.code, told.stdout) == (2, "")
    assert "No index can be written in nowhere: No such file or directory." in told.stderr
    assert "--out" in told.stderr


def test_no_command_at_all(desk: Desk) -> None:
    told = desk()
    assert (told.code, told.stdout) == (2, "")
    assert told.stderr.startswith("Usage: balancebook")
    for command in COMMANDS:
        assert f"  {command} " in told.stderr
    # Each in one line of a common terminal, and none cut off.
    assert "..." not in told.stderr.replace("[ARGS]...", "")


@pytest.mark.parametrize("command", [*COMMANDS, "view pin"])
def test_help_says_what_exit_codes_mean(desk: Desk, command: str) -> None:
    told = desk(*command.split(), "--help")
    assert (told.code, told.stderr) == (0, "")
    meaning = " ".join(told.stdout.split())
    expected = "Exit codes are JupyterLab's." if command == "lab" else "12 the run broke, 130 interrupted."
    assert expected in meaning
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert not list(Path(desk.folder).iterdir())
