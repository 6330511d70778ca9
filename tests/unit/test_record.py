"""Bundles and records: exact, deterministic, written whole or not at all."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from balancebook import bundle
from balancebook.errors import ExitCode
from balancebook.record import CheckRecord, Record, RecordError, Target, load_record
from balancebook.verdict import Result, Verdict

BIG = 2**63 - 1
RESULT = Result(
    code="V005",
    name="view_reconciles",
    verdict=Verdict.FAIL,
    message="2 rows are LOST",
    counts={"LOST": 2, "rows": 2**70},
    samples=({"kind": "LOST", "key": {"user_id": BIG}, "cells": [1, None, "x"]},),
    volatile={"milliseconds": 1500, "write_times": [BIG]},
)


def make_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "run_id": "r",
        "notebook": "readiness",
        "notebook_sha256": "0" * 64,
        "parameters": {"user_id": BIG, "rate": 0.5, "flag": True, "note": "5", "none": None},
        "profile": "embedded",
        "target": Target(keyspace="trading", view="v", embedded=True),
        "status": "completed",
        "started_at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "ended_at": datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1))),
        "verdict": Verdict.FAIL,
        "exit_code": ExitCode.FAIL,
        "results": [CheckRecord.of(RESULT)],
    }
    return Record(**(fields | changes))


def test_a_result_survives_the_way_through_json() -> None:
    compared, volatile = (json.loads(json.dumps(part)) for part in bundle.to_bundle(RESULT))
    assert bundle.from_bundle(compared, volatile) == RESULT
    assert "write_times" not in json.dumps(compared)


@pytest.mark.parametrize("value", [1.0, math.nan, Decimal(1), {1: 2}, b"x", object()])
def test_what_has_no_exact_json_form_stays_out_of_bundles(value: Any) -> None:
    with pytest.raises(TypeError, match="samples"):
        bundle.to_bundle(
            Result(code="V001", name="n", verdict=Verdict.PASS, message="", samples=({"k": value},))
        )


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "passed"},
        {"verdict": None},
        {"code": "VIEW"},
        {"code": 1},
        {"message": None},
        {"counts": {"rows": "5"}},
        {"counts": {"rows": True}},
        {"counts": [1]},
        {"samples": ["x"]},
        {"samples": None},
        {"samples": [{"k": 0.5}]},
    ],
)
def test_malformed_bundles_are_refused(change: dict[str, Any]) -> None:
    compared, volatile = bundle.to_bundle(RESULT)
    with pytest.raises(ValueError, match="malformed"):
        bundle.from_bundle({**compared, **change}, volatile)
    with pytest.raises(ValueError, match="malformed"):
        bundle.from_bundle({key: value for key, value in compared.items() if key not in change}, volatile)


def test_record_document() -> None:
    document = json.loads(make_record().to_json())
    assert list(document) == [
        *("schema_version", "run_id", "notebook", "notebook_sha256", "parameters", "profile", "target"),
        *("status", "started_at", "ended_at", "verdict", "exit_code", "error", "results"),
        *("optional_missing", "versions", "files"),
    ]
    assert document["schema_version"] == 1
    assert document["started_at"] == "2026-01-02T03:04:05.678Z"
    assert document["ended_at"] == "2026-01-02T03:04:05.000Z"
    assert document["exit_code"] == 10
    assert document["parameters"]["user_id"] == BIG
    assert document["results"][0]["counts"]["rows"] == 2**70
    assert document["results"][0]["seconds"] == 1.5
    assert document["results"][0]["volatile"] == {"write_times": [BIG]}


def test_save_and_load(tmp_path: Path) -> None:
    saved = make_record()
    assert saved.save(tmp_path) == tmp_path / "record.json"
    assert load_record(tmp_path) == saved == load_record(tmp_path / "record.json")
    loaded = load_record(tmp_path).parameters
    assert [type(value) for value in loaded.values()] == [int, float, bool, str, type(None)]
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_failed_save_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_record(run_id="old").save(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        make_record(run_id="new").save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert load_record(tmp_path).run_id == "old"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", b"\xff".decode("latin1"), '{"schema_version": 2}', "nan"]
)
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(RecordError, match="is no record"):
        load_record(tmp_path)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        load_record(tmp_path / "nowhere.json")
