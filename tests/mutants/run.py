"""`make mutants`: changes judging code at random, one place at a time, and counts the changes that a test notices.

A mutant is killed if a unit test that runs its line fails, or else a case of the confirmation table. What survives must
be named in equivalent.toml with the reason why it changes nothing that anyone could see. The changes are made in copies
of the tree; the tree itself is only read.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData

from mutants.sites import Mutant, draw, mutated

ROOT = Path(__file__).parents[2]
LIB = "lib/balancebook"
TABLE = "tests/database/test_confirmation_cases.py"
# Compiled code is not seen by coverage: its tests.
_OF_COMPILED = [f"tests/unit/test_{name}.py" for name in ("records", "murmur3", "sketch", "scan_rule")]
_COMPILED = tuple(
    f"/sketch/{name}.py" for name in ("kernels", "record_kernels", "rows", "finding", "murmur3")
)
# They judge the tree, or start processes of their own: no test of a judging module.
_NOT_ASKED = ("architecture", "environment", "readme", "notebook_rules", "every_check_is_tested", "demo_java",
              "demo_jars", "demo_processes", "machine_code", "generate")  # fmt: skip
_KILLED_SHARE = 0.95
_TIMEOUT_S = 300.0
# A mutant may turn a loop into an endless one.
_EACH_TEST_S = 120
_MOST_CASES = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """killed_by: "unit", "table" or, if it survived, "". covered: whether any of the tests runs its line."""

    mutant: Mutant
    killed_by: str
    covered: bool


Tests = dict[str, dict[int, list[str]]]
"""By file and line: the tests that run it, the quickest first."""


def main() -> int:
    asked = _arguments()
    modules = tomllib.loads((Path(__file__).parent / "modules.toml").read_text())["judging"]
    mutants = draw(ROOT, [f"{LIB}/{name}" for name in modules], asked.count, asked.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [_copy(Path(folder) / str(number)) for number in range(asked.workers)]
        ignored = [f"--ignore=tests/unit/test_{name}.py" for name in _NOT_ASKED]
        unit = _tests(copies[0], modules, ["tests/unit", *ignored])
        table = _tests(copies[0], modules, [TABLE])
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)
        lock = threading.Lock()

        def tried(mutant: Mutant) -> Outcome:
            copy = free.get()
            try:
                outcome = _tried(copy, mutant, unit, table)
            finally:
                free.put(copy)
            with lock:
                print(f"{outcome.killed_by or 'SURVIVED':8}  {mutant.name}  (line {mutant.line})", flush=True)
            return outcome

        with ThreadPoolExecutor(asked.workers) as pool:
            outcomes = list(pool.map(tried, mutants))
    if asked.to:
        asked.to.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    return _judged(outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120, help="mutants to draw (default 120)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed draws the same mutants (default 1)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="tried at a time")
    parser.add_argument("--to", type=Path, help="also write every outcome to this JSON file")
    return parser.parse_args()


def _copy(to: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


def _pytest(copy: Path, arguments: Sequence[str], timeout_s: float | None = None) -> int:
    plain = ("-p", "no:cacheprovider", "-p", "no:nbval")
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", *plain, *arguments]
    environment = os.environ | {"PYTHONPATH": str(copy / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=copy, env=environment, check=False, timeout=timeout_s,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1
    return ran.returncode


def _tests(copy: Path, modules: Sequence[str], of: Sequence[str]) -> Tests:
    """Runs the tests once, as they are. Raises SystemExit if one fails: then no mutant could be blamed."""
    data_file, report = copy / ".coverage", copy / "junit.xml"
    config = copy / "mutants.coveragerc"
    config.write_text("[run]\ninclude =\n" + "".join(f"    {copy / LIB}/{name}\n" for name in modules))
    arguments = [
        "--cov",
        f"--cov-config={config}",
        "--cov-context=test",
        "--cov-report=",
        f"--junit-xml={report}",
    ]
    if _pytest(copy, [*of, *arguments]):
        raise SystemExit(f"{' '.join(of)} fail without a mutant: run make test first.")
    took = _seconds(report)
    data = CoverageData(str(data_file))
    data.read()
    found: Tests = {}
    for name in data.measured_files():
        lines: dict[int, list[str]] = {}
        for line, contexts in data.contexts_by_lineno(name).items():
            tests = {context.partition("|")[0] for context in contexts if context}
            lines[line] = sorted(tests, key=lambda test: took.get(test.partition("[")[0], 0.0))
        found[str(Path(name).resolve().relative_to(copy.resolve()))] = lines
    data_file.unlink()
    return found


def _seconds(report: Path) -> dict[str, float]:
    """By test, without its parameters: what one run of it takes."""
    found: dict[str, float] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name'].partition('[')[0]}"
        found[name] = max(found.get(name, 0.0), float(case.attrib["time"]))
    return found


def _tried(copy: Path, mutant: Mutant, unit: Tests, table: Tests) -> Outcome:
    of_unit, of_table = _running(unit, mutant), _running(table, mutant)[:_MOST_CASES]
    if mutant.module.endswith(_COMPILED):
        of_unit = _OF_COMPILED
    with _changed(copy / mutant.module, mutant):
        for name, tests in (("unit", of_unit), ("table", of_table)):
            if tests and _pytest(copy, ["-x", f"--timeout={_EACH_TEST_S}", *tests], _TIMEOUT_S):
                return Outcome(mutant, name, covered=True)
    return Outcome(mutant, "", covered=bool(of_unit or of_table))


def _running(tests: Tests, mutant: Mutant) -> list[str]:
    """The tests of its line; of the whole module, where the line is run when the module is imported; of its package,
    where no test runs any other line of the module."""
    lines = tests.get(mutant.module, {})
    return (
        lines.get(mutant.line)
        or _all_of([lines])
        or _all_of(
            each for module, each in tests.items() if Path(module).parent == Path(mutant.module).parent
        )
    )


def _all_of(modules: Iterable[dict[int, list[str]]]) -> list[str]:
    return list(dict.fromkeys(test for lines in modules for some in lines.values() for test in some))


@contextmanager
def _changed(path: Path, mutant: Mutant) -> Iterator[None]:
    source = path.read_text()
    path.write_text(mutated(source, mutant))
    try:
        yield
    finally:
        path.write_text(source)


def _judged(outcomes: Sequence[Outcome]) -> int:
    reviewed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["mutant"]
    reasons = {f"{each['module']}: {each['before']} -> {each['after']}": each["why"] for each in reviewed}
    survived = [each for each in outcomes if not each.killed_by]
    open_ones = [each for each in survived if each.mutant.name not in reasons]
    for name, number in sorted(Counter(each.killed_by or "survived" for each in outcomes).items()):
        print(f"{name:9} {number}")
    for each in open_ones:
        print(f"not reviewed: {each.mutant.name}{'' if each.covered else '  (no test runs its line)'}")
    share = 1 - len(survived) / len(outcomes)
    print(f"killed {share:.1%} of {len(outcomes)}, wanted {_KILLED_SHARE:.0%}; {len(open_ones)} not reviewed")
    return 0 if share >= _KILLED_SHARE and not open_ones else 1


if __name__ == "__main__":
    sys.exit(main())
