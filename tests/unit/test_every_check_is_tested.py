"""A check is worth what it can catch: each has a test in which it fails, one in which it passes, one for unknown.

The tests say so by the marker `check(code, verdict)`; that they saw it is held where they run, by the fixture `ask`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from balancebook.checks import CHECKS
from balancebook.verdict import Verdict

FOLDER = Path(__file__).parents[1] / "database"

Claim = tuple[str, str]


def claims(source: str) -> Iterator[Claim]:
    """(code, verdict) of each marker on a test that takes the fixture by which it is held."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and _asks(node):
            yield from _marks(node.decorator_list)


def _asks(test: ast.FunctionDef) -> bool:
    return any(argument.arg == "ask" for argument in test.args.args)


def _marks(decorators: Iterable[ast.expr]) -> Iterator[Claim]:
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.check":
            code, verdict = (ast.literal_eval(argument) for argument in decorator.args)
            yield code, verdict


@pytest.fixture(scope="module")
def claimed() -> set[Claim]:
    return {claim for path in FOLDER.glob("test_checks_*.py") for claim in claims(path.read_text())}


@pytest.mark.parametrize("code", sorted(CHECKS))
def test_it_is_seen_to_fail_to_pass_and_to_be_unknown(code: str, claimed: set[Claim]) -> None:
    missing = [verdict.value for verdict in Verdict if (code, verdict.value) not in claimed]
    assert not missing, f"no test on a real database or gateway in which {code} is {', '.join(missing)}"


def test_every_marker_names_a_check_and_a_verdict(claimed: set[Claim]) -> None:
    possible = {(code, verdict.value) for code in CHECKS for verdict in Verdict}
    assert claimed <= possible


@pytest.mark.parametrize("code", sorted(CHECKS))
def test_it_says_what_it_asks(code: str) -> None:
    question = CHECKS[code].question
    assert question.splitlines()[0].endswith("?")
    assert len(question.splitlines()) > 2, "and why"


def test_only_tests_that_hold_their_claims_count() -> None:
    marked = '@pytest.mark.check("V001", "fail")\n'
    assert list(claims(f"{marked}def test_a(ask): ...")) == [("V001", "fail")]
    assert list(claims(f"{marked}def test_a(): ...")) == []
    assert list(claims(f"{marked}def helper(ask): ...")) == []
    assert list(claims(f"# {marked}def test_a(ask): ...")) == []
