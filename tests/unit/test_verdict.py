from __future__ import annotations

import pytest

from balancebook.verdict import Result, Verdict, merge


@pytest.mark.parametrize(
    ("verdicts", "merged"),
    [
        (["pass"], "pass"),
        (["pass", "unknown"], "unknown"),
        (["unknown", "fail", "pass"], "fail"),
        (["fail", "pass"], "fail"),
    ],
)
def test_the_worst_verdict_decides(verdicts: list[str], merged: str) -> None:
    assert merge(Verdict(verdict) for verdict in verdicts) == merged


def test_nothing_checked_is_no_pass() -> None:
    with pytest.raises(ValueError, match="no verdicts"):
        merge([])


def test_an_unheard_of_verdict_raises() -> None:
    with pytest.raises(ValueError, match="maybe"):
        merge(["maybe"])  # type: ignore[list-item]


@pytest.mark.parametrize("code", ["V1", "v001", "V0011", "", "V001\n"])
def test_a_result_needs_a_check_code(code: str) -> None:
    with pytest.raises(ValueError, match="check code"):
        Result(code=code, name="x", verdict=Verdict.PASS, message="")
