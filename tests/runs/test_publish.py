"""Pages: tables survive, scripts do not, nothing is fetched from anywhere, everything of others is escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from balancebook.errors import ExitCode
from balancebook.record import CheckRecord, Record, RunError, Target
from balancebook.runs.publish import render_run, write_index
from balancebook.verdict import Verdict
from runs.notebooks import code_cell

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'
TABLE = (
    '<div><style scoped>.dataframe td {color: red}</style><table border="1" class="dataframe"><thead>'
    "<tr><th>asset</th></tr></thead><tbody><tr><td>9223372036854775807</td></tr></tbody></table></div>"
)


def make_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "run_id": "20260102T030405.000000Z-readiness-00000000",
        "notebook": "readiness",
        "notebook_sha256": "0" * 64,
        "parameters": {"user_id": 1001},
        "profile": "embedded",
        "target": Target(cluster="c1", keyspace="trading", view="balances", embedded=True),
        "status": "completed",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:04:07Z",
        "verdict": Verdict.PASS,
        "exit_code": ExitCode.PASS,
        "results": [
            CheckRecord(code="V001", name="view_exists", verdict=Verdict.PASS, message="It is there.")
        ],
        "files": {"record": "record.json", "page": "index.html", "notebook": "notebook.ipynb"},
    }
    return Record(**(fields | changes))


def page(*data: dict[str, Any], markdown: str = "# Heading\n\n- item", **changes: Any) -> str:
    outputs = [{"output_type": "display_data", "data": item, "metadata": {}} for item in data]
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": markdown},
        {**code_cell("x = '<b>'", outputs=outputs), "id": "b"},
    ]
    nb = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    return render_run(make_record(**changes), nb)


def test_tables_and_headings_survive_without_their_style_sheet() -> None:
    html = page({"text/html": TABLE, "text/plain": "asset"})
    for part in (
        "<th>asset</th>",
        "<td>9223372036854775807</td>",
        "<thead>",
        "Heading</h1>",
        "<li>item</li>",
    ):
        assert part in html
    assert "color: red" not in html
    assert "&lt;t" not in html


@pytest.mark.parametrize(
    "hostile",
    [
        HOSTILE,
        "<script src=//x></script>",
        "<scr<script></script>ipt>alert(1)</script>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" java&#115;cript:alert(1)">x</a>',
        '<img src="http://example.com/x.png">',
        '<img src="data:image/svg+xml;base64,AAAA">',
        "<svg onload=alert(1)>",
        '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
        '<p style="background:url(http://example.com)" onclick="alert(1)">x</p>',
        "<style>@import url(http://example.com)</style>",
        "<form action=//x><input></form><meta http-equiv=refresh content=0><base href=//x><link href=//x>",
        "<!--<script>--><math><mtext><style><img src=x onerror=alert(1)>",
    ],
)
def test_what_cells_show_cannot_act(hostile: str) -> None:
    html = page(
        {"text/html": hostile},
        {"text/markdown": hostile},
        {"application/javascript": "alert(1)", "text/plain": "plain"},
        {"image/svg+xml": "<svg onload=alert(1)>"},
        markdown=hostile,
    )
    tags = re.findall(r"<[^>]*>", html)
    risky = re.compile(
        r"<\s*(script|iframe|svg|math|form|base|link|object|embed)|\son\w+\s*=|(href|src)\s*=\s*[\"']?\s*(?!data:image/png|#)\S",
        re.I,
    )
    assert [tag for tag in tags if risky.search(tag)] == []
    assert html.count("<style>") == 1
    assert html.count("<meta") == 3


def test_the_header_says_verdict_target_parameters_and_escapes_them() -> None:
    failed = CheckRecord(
        code="G003", name="gateway_equals_base", verdict=Verdict.FAIL, message=f"USDT is lost {HOSTILE}"
    )
    html = page(
        verdict=Verdict.FAIL,
        exit_code=ExitCode.FAIL,
        results=[failed],
        parameters={"user_id": 1001, "note": HOSTILE, "big": 2**63 - 1},
        profile=HOSTILE,
        target=Target(cluster=HOSTILE, keyspace="trading", view="balances", embedded=False),
    )
    assert '<div class="verdict fail">fail</div>' in html
    assert "G003 gateway_equals_base: USDT is lost &lt;script&gt;" in html
    assert "9223372036854775807" in html
    assert 'class="banner"' in html
    assert "<script" not in html


def test_only_other_targets_have_a_banner() -> None:
    assert 'class="banner"' not in page()


def test_why_a_run_broke_is_one_line_in_the_header() -> None:
    error = RunError(code="cell_raised", message="Cell 6 raised ZeroDivisionError.", remedy="See it.")
    html = page(status="broken", exit_code=ExitCode.BROKEN, verdict=Verdict.UNKNOWN, error=error)
    assert '<p class="why">Cell 6 raised ZeroDivisionError. See it.</p>' in html


def test_nothing_is_fetched() -> None:
    html = page({"text/html": TABLE})
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "")


def test_the_index_is_newest_first_and_survives_a_spoilt_record(tmp_path: Path) -> None:
    for name in ("20260101T000000.000000Z-a-1", "20260103T000000.000000Z-b-2"):
        (tmp_path / name).mkdir()
        make_record(run_id=name, notebook=f"{name[-3]}<b>").save(tmp_path / name)
    (tmp_path / "20260102T000000.000000Z-c-3").mkdir()
    (tmp_path / ".20260104T000000.000000Z-d-4").mkdir()
    html = write_index(tmp_path).read_text()
    assert re.findall(r'<a href="([^"]*)/index.html">', html) == [
        "20260103T000000.000000Z-b-2",
        "20260101T000000.000000Z-a-1",
    ]
    assert "b&lt;b&gt;" in html
    assert '20260102T000000.000000Z-c-3</td><td class="verdict unknown">unknown' in html
    assert "Z-d-4" not in html


def test_the_index_tells_broken_runs_from_unknown_verdicts(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    make_record(status="timed_out", exit_code=ExitCode.BROKEN, verdict=Verdict.UNKNOWN).save(tmp_path / "r")
    assert "unknown (timed_out)</td>" in write_index(tmp_path).read_text()


def test_an_empty_index(tmp_path: Path) -> None:
    assert "No run has been kept" in write_index(tmp_path).read_text()
