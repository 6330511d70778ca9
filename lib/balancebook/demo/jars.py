"""The jars of the embedded database: fetched once into the user's cache, each held against its locked sha256."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from platformdirs import user_cache_dir

from balancebook.demo.processes import locked, make_folder
from balancebook.errors import UsageError

Progress = Callable[[str], None]

_LOCK_FILE = Path(__file__).with_name("jars.lock")
_AGENT = "org.jolokia:jolokia-agent-jvm"
_COMPLETE = "complete"
_TIMEOUT_S = 60
_AT_ONCE = 8
_REMEDY = "Set BALANCEBOOK_MAVEN_MIRROR to a repository, or BALANCEBOOK_JARS to a folder of the jars."


class JarsError(UsageError):
    """The jars of the embedded database cannot be had."""

    code = "jars"


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: its sha256, size in bytes and Maven coordinate."""

    sha256: str
    size: int
    group: str
    artifact: str
    version: str
    classifier: str

    @property
    def file_name(self) -> str:
        """The name that Maven gives the file."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"

    def is_at(self, path: Path) -> bool:
        """Whether the file is there with the locked content."""
        try:
            return path.stat().st_size == self.size and _sha256(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class JarSet:
    """A complete set: the class path of Cassandra, sorted, and the Jolokia agent."""

    class_path: tuple[Path, ...]
    agent: Path


def locked_jars() -> tuple[Jar, ...]:
    """The jars that the lock file names."""
    lines = (line.split() for line in _LOCK_FILE.read_text().splitlines() if not line.startswith("#"))
    return tuple(
        Jar(sha256, int(size), *[*coordinate.split(":"), ""][:4]) for sha256, size, coordinate in lines
    )


def ensure_jars(progress: Progress = lambda _: None, env: Mapping[str, str] = os.environ) -> JarSet:
    """The complete set, from BALANCEBOOK_JARS, else from the cache, else fetched into the cache by jgo or mvn.

    A complete cache costs one look at each file's size. Raises JarsError naming what is missing or wrong.
    """
    jars = locked_jars()
    if folder := env.get("BALANCEBOOK_JARS"):
        return _given(Path(folder).expanduser().absolute(), jars)
    cache = _cache(env)
    if not _is_complete(cache, jars):
        waiting = lambda: progress("waiting for another process that is fetching the jars")  # noqa: E731
        with locked(cache.with_name(f"{cache.name}.lock"), timeout_s=900, waiting=waiting):
            if not _is_complete(cache, jars):
                _fill(cache, jars, progress, env)
    return _jar_set(cache, jars)


def _cache(env: Mapping[str, str]) -> Path:
    named = env.get("BALANCEBOOK_CACHE")
    root = Path(named).expanduser().absolute() if named else Path(user_cache_dir("balancebook"))
    return root / f"jars-{_sha256(_LOCK_FILE)[:12]}"


def _jar_set(folder: Path, jars: Iterable[Jar]) -> JarSet:
    """The agent stays off the class path: it carries classes of its own that Cassandra should not see."""
    paths = {jar: folder / jar.file_name for jar in jars}
    agent = next(path for jar, path in paths.items() if f"{jar.group}:{jar.artifact}" == _AGENT)
    return JarSet(tuple(sorted(path for path in paths.values() if path != agent)), agent)


def _given(folder: Path, jars: tuple[Jar, ...]) -> JarSet:
    if not folder.is_dir():
        raise JarsError(f"BALANCEBOOK_JARS names {folder}, which is no folder.", "Correct or unset it.")
    wrong = [jar.file_name for jar in jars if not jar.is_at(folder / jar.file_name)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise JarsError(
            f"{folder} (BALANCEBOOK_JARS) lacks, or has with another content, {', '.join(wrong[:3])}{more}.",
            f"It must hold the {len(jars)} jars of {_LOCK_FILE}.",
        )
    return _jar_set(folder, jars)


def _is_complete(cache: Path, jars: Iterable[Jar]) -> bool:
    """Contents were verified before the marker was written; sizes tell if a file was cut or removed since."""
    try:
        return (cache / _COMPLETE).exists() and all(
            (cache / jar.file_name).stat().st_size == jar.size for jar in jars
        )
    except FileNotFoundError:
        return False


def _fill(cache: Path, jars: tuple[Jar, ...], progress: Progress, env: Mapping[str, str]) -> None:
    """Fetch what the cache lacks, verify it, and only then mark the cache complete."""
    make_folder(cache)
    (cache / _COMPLETE).unlink(missing_ok=True)
    missing = [jar for jar in jars if not jar.is_at(cache / jar.file_name)]
    megabytes = sum(jar.size for jar in missing) / 1e6
    progress(f"fetching Apache Cassandra: {len(missing)} jars, {megabytes:.0f} MB (once)")
    # Beside the cache, so that finished files move into it by a rename; whatever is left of it is worth nothing.
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as scratch:
        _fetch(missing, cache, Path(scratch), env)
    (cache / _COMPLETE).touch()


def _fetch(missing: list[Jar], cache: Path, scratch: Path, env: Mapping[str, str]) -> None:
    try:
        _fetch_by_jgo(missing, cache, scratch, env)
    except (ImportError, RuntimeError, AssertionError, OSError) as error:
        mvn = shutil.which("mvn", path=env.get("PATH", os.defpath))
        why = "the package jgo is not installed" if isinstance(error, ImportError) else _one_line(error)
        if not mvn:
            raise JarsError(f"The jars of Apache Cassandra cannot be fetched: {why}.", _REMEDY) from error
        if said := _mvn_failure(mvn, missing, scratch):
            raise JarsError(f"Neither jgo ({why}) nor mvn ({said}) could fetch the jars.", _REMEDY) from error
        for jar in missing:
            _take(jar, scratch / "mvn" / jar.file_name, cache)


def _fetch_by_jgo(missing: list[Jar], cache: Path, scratch: Path, env: Mapping[str, str]) -> None:
    """Each locked artifact by its coordinate: no dependency is resolved, so nothing but these can come in.

    A repository folder of its own: jgo trusts whatever lies in the shared one, even files cut by an interruption.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415 (slow to import, and needed only for a download)

    mirror = env.get("BALANCEBOOK_MAVEN_MIRROR")
    if mirror and not mirror.startswith(("https://", "http://")):
        raise JarsError(f"BALANCEBOOK_MAVEN_MIRROR is no URL: {_no_password(mirror)}.", "Write https://...")
    repositories = {"central": mirror.rstrip("/")} if mirror else None
    context = MavenContext(repo_cache=scratch, local_repos=[], remote_repos=repositories, timeout=_TIMEOUT_S)

    def fetch(jar: Jar) -> None:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        _take(jar, Path(component.artifact(jar.classifier, "jar").resolve()), cache)

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        list(pool.map(fetch, missing))
    finally:
        pool.shutdown(cancel_futures=True)


def _mvn_failure(mvn: str, missing: list[Jar], scratch: Path) -> str | None:
    """Copy the jars to scratch/mvn by Maven, for a company whose mirror stands in Maven's own settings.

    None when it went well, else what Maven said.
    """
    (scratch / "pom.xml").write_text(_pom(missing))
    options = ["-DexcludeTransitive=true", f"-DoutputDirectory={scratch / 'mvn'}"]
    done = subprocess.run(  # noqa: S603 (the user's own mvn)
        [mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies", *options],
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
    )
    return _one_line(done.stdout + done.stderr) if done.returncode else None


def _pom(jars: Iterable[Jar]) -> str:
    def dependency(jar: Jar) -> str:
        parts = {"groupId": jar.group, "artifactId": jar.artifact, "version": jar.version}
        parts |= {"classifier": jar.classifier} if jar.classifier else {}
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in parts.items())
        # Every jar is named, so nothing is left to resolve: some descriptors further down lie in dead repositories.
        none = "<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>"
        return f"<dependency>{inner}<exclusions>{none}</exclusions></dependency>"

    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>balancebook</groupId><artifactId>jars</artifactId><version>1</version>"
        f"<dependencies>{''.join(map(dependency, jars))}</dependencies></project>"
    )


def _take(jar: Jar, fetched: Path, cache: Path) -> None:
    if not jar.is_at(fetched):
        raise JarsError(
            f"The repository gave another content for {jar.file_name} than is locked.",
            "Check the mirror (BALANCEBOOK_MAVEN_MIRROR).",
        )
    fetched.replace(cache / jar.file_name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _one_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return _no_password(lines[0] if lines else type(error).__name__)


def _no_password(text: str) -> str:
    """A mirror's URL may carry credentials; they reach no message."""
    return re.sub(r"//[^/@\s]*@", "//", text)
