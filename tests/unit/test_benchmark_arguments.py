"""Benchmarks refuse what cannot be measured, before they start anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _refused(name: str, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, BENCHMARKS / name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (
            "reconcile.py",
            ("--only", "ratio"),
            "'ratio' is not one of speed, memory, writers, differences",
        ),
        ("reconcile.py", ("--only", "speed,"), "'' is not one of "),
        ("reconcile.py", ("--only", "speed,speed"), "names one twice"),
        ("reconcile.py", ("--rounds", "0"), "'0' is not a whole number of 1 or more"),
        ("reconcile.py", ("--rows", "-5"), "'-5' is not a whole number of 1000 or more"),
        ("startup.py", ("--rounds", "0"), "'0' is not a whole number of 1 or more"),
        ("startup.py", ("--rounds", "many"), "'many' is not a whole number"),
        ("audit.py", ("--port", "70000"), "'70000' is not a whole number from 1 to 65535"),
        ("audit.py", ("--rounds", "1.5"), "'1.5' is not a whole number"),
        ("peers.py", ("--rows", "0"), "'0' is not a whole number of 1 or more"),
        ("peers.py", ("--port", "0"), "'0' is not a whole number from 1 to 65535"),
        ("pipeline.py", ("--rows", "10"), "'10' is not a whole number of 100000 or more"),
        ("sketch.py", ("--rows", "4999"), "'4999' is not a whole number of 5000 or more"),
        ("sketch.py", ("--rounds", "0"), "'0' is not a whole number of 1 or more"),
        ("writer.py", ("--port", "x"), "'x' is not a whole number from 1 to 65535"),
    ],
)
def test_an_argument_that_cannot_be_measured(name: str, arguments: tuple[str, ...], said: str) -> None:
    assert said in _refused(name, *arguments)


@pytest.mark.parametrize("name", sorted(path.name for path in BENCHMARKS.glob("[a-z]*.py")))
def test_every_benchmark_knows_its_arguments(name: str) -> None:
    if "argparse" in (text := (BENCHMARKS / name).read_text()) and "__main__" in text:
        assert "unrecognized arguments: --no-such" in _refused(name, "--no-such", *_required(name))


def _required(name: str) -> tuple[str, ...]:
    needed = {"writer.py": ("--port", "1"), "probe.py": ("--port", "1", "--accounts", "1")}
    return needed.get(name, ())
