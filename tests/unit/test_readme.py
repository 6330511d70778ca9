"""What the README says can be typed, can be typed; and its profile is one."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import trustme

from balancebook.cli import app
from balancebook.errors import ExitCode
from balancebook.runs.catalogue import find_entry, list_entries
from balancebook.runs.parameters import parse_assignments
from balancebook.runs.scrub import Scrubber
from balancebook.settings import load_profile

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
LINES = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
TYPED = [shlex.split(line.split(">")[0]) for line in LINES if line]
MENTIONED = [shlex.split(text) for text in re.findall(r"`(balancebook [^`]+)`", README)]


@pytest.mark.parametrize("words", [w for w in [*TYPED, *MENTIONED] if w[0] == "balancebook"], ids=" ".join)
def test_a_command_of_the_readme_is_understood(words: list[str]) -> None:
    command: click.Command = app
    name, arguments = "balancebook", words[1:]
    while arguments and isinstance(command, click.Group):
        name, arguments = arguments[0], arguments[1:]
        command = command.commands[name]
    if words in MENTIONED and len(words) == 2:
        return  # only named, in a sentence
    context = command.make_context(name, list(arguments))
    if name == "run":
        entry = find_entry(context.params["name"])
        parse_assignments(context.params["parameters"], entry.parameters, Scrubber())


def test_the_targets_of_the_readme_are_made() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in TYPED if words[0] == "make"} | set(re.findall(r"`make ([a-z]+)`", README))
    assert {"demo", "test", "notebooks", "lint"} <= named <= targets


def test_every_notebook_is_listed() -> None:
    assert all(f"`{entry.name}`" in README for entry in list_entries())


def test_the_exit_codes_of_the_readme_are_the_ones_there_are() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == {
        int(c) for c in ExitCode
    }


def test_the_profile_of_the_readme_is_one(tmp_path: Path) -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "balancebook.toml").write_text(text)
    (tmp_path / "assets.toml").write_text((ROOT / "lib/balancebook/demo/assets.toml").read_text())
    (tmp_path / tomllib.loads(text)["profiles"]["production"]["view_definition"]).touch()
    (tmp_path / "cluster-ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    profile = load_profile(env={}, cwd=tmp_path)
    assert (profile.name, profile.local_dc, profile.limits.max_rows) == ("production", "dc1", 1_000_000)


def test_the_python_of_the_readme_runs_as_far_as_it_needs_no_database() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "python"]
    compile(text, "README.md", "exec")
    assert "notebook.open()" in text
