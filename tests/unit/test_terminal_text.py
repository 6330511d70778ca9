"""What `list` and `status` show to a person and to a program."""

from __future__ import annotations

import json
from pathlib import Path

from balancebook.demo.services import GatewayStatus, ServerStatus, Status
from balancebook.runs.catalogue import describe, list_entries, read_entry

_PARAMETERS = """\
user_id: int = 1001  # whose balances [0..9223372036854775807]
rate: float | None = None  # at most [0.5..]
mode: str = "scan"  # how {scan|known}
full: bool = False
"""


def _notebook(path: Path) -> Path:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": _PARAMETERS}
    heading = {"cell_type": "markdown", "metadata": {}, "source": "# A question\n\nWhat it asks."}
    checks = {"required": ["V001", "Q001"], "optional": ["V002"]}
    metadata = {"balancebook": {"checks": checks}}
    path.write_text(json.dumps({"nbformat": 4, "metadata": metadata, "cells": [heading, cell]}))
    return path


def test_a_listing_for_people(tmp_path: Path) -> None:
    entry = read_entry(_notebook(tmp_path / "asked.ipynb"), "notebook")
    assert describe([entry, entry]).split("\n\n") == [describe([entry])] * 2
    assert describe([entry]).splitlines() == [
        "asked (notebook): A question",
        "  requires V001 Q001",
        "  optional V002",
        "  -p user_id: int = 1001        whose balances [0..9223372036854775807]",
        "  -p rate: float | None = none  at most [0.5..]",
        '  -p mode: str = "scan"         how {scan|known}',
        "  -p full: bool = false",
    ]
    assert describe([])


def test_a_listing_for_programs(tmp_path: Path) -> None:
    told = json.loads(json.dumps(read_entry(_notebook(tmp_path / "asked.ipynb"), "runbook").to_json()))
    assert (told["name"], told["kind"], told["title"]) == ("asked", "runbook", "A question")
    assert (told["required"], told["optional"]) == (["V001", "Q001"], ["V002"])
    user, rate, mode, full = told["parameters"]
    assert (user["default"], user["range"], user["choices"]) == (1001, [0, 2**63 - 1], None)
    assert (rate["type"], rate["default"], rate["range"]) == ("float | None", None, [0.5, None])
    assert (mode["help"], mode["choices"], mode["range"]) == ("how", ["scan", "known"], None)
    assert (full["type"], full["default"]) == ("bool", False)


def test_what_is_shipped_is_listed() -> None:
    shipped = list_entries()
    listing = describe(shipped)
    assert "readiness (notebook): " in listing
    assert "wrong_balance (runbook): " in listing
    json.dumps([entry.to_json() for entry in shipped])


def test_a_status_in_two_lines() -> None:
    server = ServerStatus("running", 12, "127.0.0.1", 19042, 18778, "/data")
    gateway = GatewayStatus("running", 13, "http://127.0.0.1:3001", "seed", "Healthy")
    assert str(Status(server, gateway)).splitlines() == [
        "database  running at 127.0.0.1:19042 (process 12)",
        "gateway   running at http://127.0.0.1:3001 (process 13), mode seed, says Healthy",
    ]
    assert str(Status(ServerStatus("stopped"), GatewayStatus("stopped"))).splitlines() == [
        "database  stopped",
        "gateway   stopped",
    ]
