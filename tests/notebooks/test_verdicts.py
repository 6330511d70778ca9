"""Every notebook, through the command line, says of the demo exchange what the README of the tests says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import balancebook.demo
from balancebook.bundle import MIME
from balancebook.runs.catalogue import Entry, list_entries
from balancebook.settings import Profile
from scripted_gateway import entries, entry, serving

ROW = re.compile(r"^\| (\w+) \| ([A-Z]\d{3}) \| (\w+) \| (\w+) \|$", re.MULTILINE)
ROWS = ROW.findall((Path(__file__).parents[1] / "README.md").read_text())
DEMO = Path(balancebook.demo.__file__).parent
MODES = ("fixed", "seed")
Exchange = Callable[[str], AbstractContextManager[dict[str, str]]]


def expected(notebook: str, mode: str) -> dict[str, str]:
    return {code: verdicts[MODES.index(mode)] for name, code, *verdicts in ROWS if name == notebook}


def run(env: dict[str, str], out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "balancebook.cli", "run", *arguments, "--out", str(out), "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    return done.returncode, json.loads(done.stdout)


def test_the_table_lists_exactly_the_declared_checks() -> None:
    declared = {(entry.name, code) for entry in list_entries() for code in (*entry.required, *entry.optional)}
    assert {(name, code) for name, code, *_ in ROWS} == declared
    assert len(ROWS) == len(declared)


@pytest.mark.parametrize("entry", list_entries(), ids=lambda entry: entry.name)
def test_every_notebook_says_what_is_expected_of_a_right_gateway(entry: Entry) -> None:
    """By its stored outputs, which are what comes out: test_stored_outputs runs each."""
    cells = json.loads(entry.path.read_text())["cells"]
    results = [
        json.loads("".join(output["data"][MIME]))
        if isinstance(output["data"][MIME], list)
        else output["data"][MIME]
        for cell in cells
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]
    assert {result["code"]: result["verdict"] for result in results} == expected(entry.name, "fixed")


def test_who_asks_the_gateway_says_what_is_expected_of_the_seed_gateway(
    exchange: Exchange, tmp_path: Path
) -> None:
    """The others cannot tell one gateway from the other."""
    asking = [e for e in list_entries() if any(code[0] == "G" for code in (*e.required, *e.optional))]
    others = {entry.name for entry in list_entries()} - {entry.name for entry in asking}
    assert all(expected(name, "seed") == expected(name, "fixed") for name in others)
    records = {}
    with exchange("seed") as env:
        for entry in asking:
            code, record = run(env, tmp_path, entry.name)
            verdicts = {result["code"]: result["verdict"] for result in record["results"]}
            assert verdicts == expected(entry.name, "seed"), entry.name
            assert code == record["exit_code"] == (10 if "fail" in verdicts.values() else 0)
            records[entry.name] = record
    # And readiness names what was lost.
    lost = next(result for result in records["readiness"]["results"] if result["code"] == "G003")
    assert [(sample["asset"], sample["problem"]) for sample in lost["samples"]] == [
        ("USDT", "lost"),
        ("ETH", "lost"),
    ]
    assert [sample["base"] for sample in lost["samples"]] == ["10100000 (held 0)", "100000 (held 0)"]
    assert "one row per partition" in lost["message"]


def test_a_profile_that_pins_no_definition_is_not_asked_for_one(
    exchange: Exchange, trading: Profile, tmp_path: Path
) -> None:
    (tmp_path / "assets.toml").write_text((DEMO / "assets.toml").read_text())
    (tmp_path / "balancebook.toml").write_text(
        f'[profiles.mine]\ncontact_points = ["127.0.0.1"]\nport = {trading.port}\nlocal_dc = "datacenter1"\n'
        'registry = "assets.toml"\n[profiles.mine.gateway]\nurl = "http://127.0.0.1:1"\n'
        # Not held back by how busy this machine is: that is not what is asked.
        "[profiles.mine.limits]\nbalance_p99_ms = 10000\n"
    )
    with exchange("fixed") as env:
        found = env | {
            "BALANCEBOOK_CONFIG": str(tmp_path / "balancebook.toml"),
            "BALANCEBOOK_PROFILE": "mine",
        }
        code, record = run(found, tmp_path, "mv_checks")
    assert (code, record["optional_missing"]) == (0, ["V002"])
    assert "Target: 127.0.0.1" in next(tmp_path.glob("*/index.html")).read_text()


def test_a_user_who_does_not_exist_is_one_unknown_and_a_gateway_that_answers_for_anyone_fails(
    exchange: Exchange, tmp_path: Path
) -> None:
    given = ("-p", "user_id=424242")
    with exchange("fixed") as env:
        code, record = run(env, tmp_path, "wrong_balance", *given)
        verdicts = {each["code"]: each["verdict"] for each in record["results"]}
        assert (code, [each for each in verdicts if verdicts[each] != "pass"]) == (11, ["Q001"])
        assert "The base has no entry of user 424242" in str(record["results"])
        with serving(entries(entry())) as url:
            code, record = run(env, tmp_path, "wrong_balance", *given, "-p", f"gateway_url={url}")
            liar = {each["code"]: each["verdict"] for each in record["results"]}
            assert (code, liar["G004"]) == (10, "fail")
            # For a user who exists too.
            code, record = run(env, tmp_path, "wrong_balance", "-p", f"gateway_url={url}")
            assert {each["code"]: each["verdict"] for each in record["results"]}["G004"] == "fail"


def test_bare_papermill_fails_for_a_failed_check(exchange: Exchange, tmp_path: Path) -> None:
    notebook = next(entry.path for entry in list_entries() if entry.name == "wrong_balance")
    with exchange("seed") as env:
        command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / "seed.ipynb")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 1, done.stderr[-2000:]
    assert "VerdictNotPass" in done.stderr
