"""Fetching the locked jars: whole or not at all, once, verified, from a mirror, a folder or Maven.

A real HTTP server on this machine is the mirror; the lock names two small jars in place of the real ones.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from balancebook.demo import jars
from balancebook.demo.jars import JarsError, JarSet, ensure_jars

CONTENT = {
    "org.example:base:1.0": b"base" * 20_000,
    "org.example:native:1.0:linux": b"native" * 500,
    "org.jolokia:jolokia-agent-jvm:2.1.0:javaagent": b"agent" * 700,
}
NAMES = {"base-1.0.jar", "native-1.0-linux.jar", "jolokia-agent-jvm-2.1.0-javaagent.jar"}


class Mirror(ThreadingHTTPServer):
    """A Maven repository that counts what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.folder = folder
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        if self.path.endswith(".jar"):
            self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def path_of(coordinate: str) -> str:
    group, artifact, version, *classifier = coordinate.split(":")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{'-'.join([artifact, version, *classifier])}.jar"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "jars.lock"
    lines = [f"{hashlib.sha256(body).hexdigest()} {len(body)} {name}" for name, body in CONTENT.items()]
    file.write_text("# a comment\n" + "\n".join(lines) + "\n")
    return file


@pytest.fixture(autouse=True)
def _locked(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_LOCK_FILE", lock)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    for coordinate, body in CONTENT.items():
        file = tmp_path / "repository" / path_of(coordinate)
        file.parent.mkdir(parents=True)
        file.write_bytes(body)
    with Mirror(tmp_path / "repository") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def env(tmp_path: Path, mirror: Mirror) -> dict[str, str]:
    return {
        "BALANCEBOOK_CACHE": str(tmp_path / "cache"),
        "BALANCEBOOK_MAVEN_MIRROR": mirror.url,
        "PATH": "/nowhere",
    }


def names(found: JarSet) -> set[str]:
    return {path.name for path in (*found.class_path, found.agent)}


def fetch(env: dict[str, str]) -> JarSet:
    return ensure_jars(env=env)


def test_the_real_lock_holds_cassandra_and_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    real = jars.locked_jars()
    assert {"cassandra-all-5.0.6.jar", "jolokia-agent-jvm-2.1.0-javaagent.jar"} <= {
        jar.file_name for jar in real
    }
    assert len({jar.file_name for jar in real}) == len(real) == 101


def test_the_set_is_fetched_once_and_the_agent_is_off_the_class_path(
    env: dict[str, str], mirror: Mirror
) -> None:
    told: list[str] = []
    found = ensure_jars(told.append, env)
    assert names(found) == NAMES
    assert found.agent not in found.class_path
    assert all(path.is_file() for path in (*found.class_path, found.agent))
    assert len(mirror.asked) == 3
    assert told == ["fetching Apache Cassandra: 3 jars, 0 MB (once)"]
    assert ensure_jars(told.append, env) == found
    assert (len(mirror.asked), len(told)) == (3, 1)


def test_a_complete_cache_needs_no_jgo_and_no_mirror(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fetch(env)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    assert fetch({**env, "BALANCEBOOK_MAVEN_MIRROR": "http://127.0.0.1:1"}) == found


def test_an_interrupted_fetch_is_finished_and_only_what_is_missing_is_fetched(
    env: dict[str, str], mirror: Mirror
) -> None:
    agent = mirror.folder / path_of("org.jolokia:jolokia-agent-jvm:2.1.0:javaagent")
    agent.rename(agent.with_suffix(".away"))
    with pytest.raises(JarsError, match="cannot be fetched"):
        fetch(env)
    agent.with_suffix(".away").rename(agent)
    mirror.asked.clear()
    assert names(fetch(env)) == NAMES
    assert [Path(asked).name for asked in mirror.asked if asked.endswith(".jar")] == [agent.name]


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_damaged_cache_is_mended(env: dict[str, str], damage: str) -> None:
    jar = fetch(env).class_path[0]
    body = jar.read_bytes()
    jar.unlink()
    if damage == "cut":
        jar.write_bytes(body[:100])
    fetch(env)
    assert jar.read_bytes() == body


def test_other_content_than_is_locked_is_refused_and_not_kept(
    env: dict[str, str], mirror: Mirror, tmp_path: Path
) -> None:
    (mirror.folder / path_of("org.example:base:1.0")).write_bytes(b"evil" * 20_000)
    for _ in range(2):
        with pytest.raises(JarsError, match=r"another content for base-1\.0\.jar"):
            fetch(env)
    assert not list((tmp_path / "cache").rglob("base-1.0.jar"))


def test_two_processes_at_once_fetch_each_jar_once(env: dict[str, str], mirror: Mirror, lock: Path) -> None:
    code = (
        "from pathlib import Path; from balancebook.demo import jars; "
        f"jars._LOCK_FILE = Path({str(lock)!r}); print(len(jars.ensure_jars().class_path))"
    )
    calls = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | env, stdout=subprocess.PIPE)  # noqa: S603
        for _ in range(2)
    ]
    assert [call.communicate(timeout=60)[0].strip() for call in calls] == [b"2", b"2"]
    assert len(mirror.asked) == 3


@pytest.mark.parametrize(
    ("mirror_url", "said"),
    [
        ("http://user:secret@127.0.0.1:1/maven2", "cannot be fetched"),
        ("ftp://user:secret@127.0.0.1/maven2", "is no URL"),
    ],
)
def test_a_mirror_that_does_not_work_is_told_without_its_password(
    env: dict[str, str], mirror_url: str, said: str
) -> None:
    with pytest.raises(JarsError, match=said) as told:
        fetch({**env, "BALANCEBOOK_MAVEN_MIRROR": mirror_url})
    assert "BALANCEBOOK_MAVEN_MIRROR" in str(told.value)
    assert "secret" not in str(told.value)


def test_a_given_folder_is_used_as_it_is(env: dict[str, str], tmp_path: Path) -> None:
    folder = fetch(env).agent.parent
    given = {"BALANCEBOOK_JARS": str(folder), "BALANCEBOOK_CACHE": str(tmp_path / "other")}
    assert {path.parent for path in fetch(given).class_path} == {folder}
    assert not (tmp_path / "other").exists()


def test_a_given_folder_that_lacks_or_alters_a_jar_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    folder = fetch(env).agent.parent
    (folder / "base-1.0.jar").write_bytes(b"evil" * 20_000)
    (folder / "native-1.0-linux.jar").unlink()
    with pytest.raises(JarsError, match=r"base-1\.0\.jar, native-1\.0-linux\.jar\. It must hold the 3 jars"):
        fetch({"BALANCEBOOK_JARS": str(folder)})
    with pytest.raises(JarsError, match="is no folder"):
        fetch({"BALANCEBOOK_JARS": str(tmp_path / "nowhere")})


def maven(folder: Path, script: str) -> str:
    """A folder for PATH with a program that stands where mvn stands: the real one needs its own repository."""
    program = folder / "mvn"
    folder.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_maven_is_the_fallback_and_its_jars_are_verified_too(
    env: dict[str, str], mirror: Mirror, tmp_path: Path
) -> None:
    copy = (
        'grep -q "<artifactId>native</artifactId><version>1.0</version><classifier>linux<" pom.xml || exit 3\n'
        f"mkdir mvn && find {mirror.folder} -name '*.jar' -exec cp {{}} mvn/ ';'"
    )
    broken = {**env, "BALANCEBOOK_MAVEN_MIRROR": "http://127.0.0.1:1"}
    assert names(fetch({**broken, "PATH": maven(tmp_path / "bin", copy)})) == NAMES


def test_when_maven_fails_too_both_reasons_are_told(env: dict[str, str], tmp_path: Path) -> None:
    path = maven(tmp_path / "bin", "echo '[ERROR] no such mirror'; exit 1")
    with pytest.raises(JarsError, match=r"Neither jgo \(.*\) nor mvn \(\[ERROR\] no such mirror\)"):
        fetch({**env, "BALANCEBOOK_MAVEN_MIRROR": "http://127.0.0.1:1", "PATH": path})


def test_without_jgo_and_maven_the_remedy_is_told(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(JarsError, match=r"jgo is not installed.*BALANCEBOOK_JARS"):
        fetch(env)
