"""Against what else one could compare a view with its base: wall and client CPU seconds of whole processes.

    python benchmarks/peers.py [--rows 2000000] [--rounds 5] [--heap-mb 4096]
    python benchmarks/peers.py --port PORT --keyspace KEYSPACE [--host HOST] [--rounds 5]

The first starts an embedded database, loads the rows, and stops it in the end; the second takes one that runs and holds
the demo's two tables. All ways read the same six columns of the same two tables, in rounds whose order is drawn anew;
the first round warms caches and kernels and is not counted. A way whose answer is not that all rows are equal ends the
benchmark, and so does one that misses the three rows that are broken in the end (in our own database only).
CPU is user and system, of the client's processes and of the server (our own only). Ratios are those of the same round.
In the end the bound is told: where server and client share the machine, no way that reads every row can take less wall
than the server's CPU spread over all cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from arguments import at_least, port
from platformdirs import user_cache_dir
from server import Patient, key_of, load, own_server

import balancebook.demo
from balancebook.demo.faults import Injector
from balancebook.demo.java import JavaError, find_java
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.settings import load_profile
from balancebook.store.connect import connect

HERE, BIN = Path(__file__).parent, Path(sys.executable).parent
OURS, PANDAS, DSBULK = "balancebook reconcile", "pandas merge", "DSBulk + DuckDB"
_COLUMNS = "user_id, asset_id, seq, avail, frozen, created_at"
_DSBULK_MAIN = "com.datastax.oss.dsbulk.runner.DataStaxBulkLoader"
# What a shell may set for the machine; every other variable could point the command elsewhere.
_OF_THE_MACHINE = ("CACHE", "JARS", "JAVA_HOME", "MAVEN_MIRROR")
# A profile needs a gateway; nothing here asks it.
_PROFILE = """
default_profile = "peers"
[profiles.peers]
contact_points = ["{host}"]
port = {port}
local_dc = "datacenter1"
keyspace = "{keyspace}"
registry = "assets.toml"
grace_s = 1.0
[profiles.peers.gateway]
url = "http://127.0.0.1:9"
[profiles.peers.limits]
request_timeout_s = 60.0
max_rows = 1_000_000_000
"""


class Answer(NamedTuple):
    """What a way said: rows of both sides, and differences by kind."""

    base: int
    view: int
    lost: int
    orphan: int
    mismatch: int


class Cost(NamedTuple):
    """Seconds of one comparison: by the clock, of CPU in the client's processes and in the server (0.0: not known)."""

    wall: float
    cpu: float
    server: float


@dataclass(frozen=True)
class Place:
    """Where the two tables are, and a folder for what is written on the way (profile, CSV files).

    server: its process, if it is ours.
    """

    host: str
    port: int
    keyspace: str
    folder: Path
    server: psutil.Process | None = None

    def __post_init__(self) -> None:
        shutil.copy(Path(balancebook.demo.__file__).with_name("assets.toml"), self.folder)
        text = _PROFILE.format(host=self.host, port=self.port, keyspace=self.keyspace)
        (self.folder / "balancebook.toml").write_text(text)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command that reads there, whatever the shell says of other targets.

        Bytecode is cached as it is where people install things, be it ours or of others.
        """
        kept = {f"BALANCEBOOK_{name}" for name in _OF_THE_MACHINE}
        env = {k: v for k, v in os.environ.items() if not k.startswith("BALANCEBOOK_") or k in kept}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        return env | {"BALANCEBOOK_CONFIG": str(self.folder / "balancebook.toml")}

    def server_cpu(self) -> float:
        """Seconds of CPU that the server has taken until now."""
        times = self.server.cpu_times() if self.server else None
        return times.user + times.system if times else 0.0

    def run(self, *command: object, codes: tuple[int, ...] = (0,)) -> str:
        """What a command prints. Ends the benchmark if it ends with another code."""
        argv = [str(word) for word in command]
        done = subprocess.run(
            argv, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            sys.exit(
                f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout


Way = Callable[[Place], Answer]


def balancebook_reconcile(place: Place) -> Answer:
    """The command, which exits with 10 if it found differences."""
    target = f"{place.keyspace}.{VIEW}"
    said = json.loads(
        place.run(BIN / "balancebook", "reconcile", target, "--no-pace", "--json", codes=(0, 10))
    )
    counts = {kind: count for kind, count in said["counts"].items() if count}
    found = [counts.pop(kind, 0) for kind in ("LOST", "ORPHAN", "MISMATCH")]
    if counts or said["verdict"] != ("fail" if any(found) else "pass"):
        sys.exit(f"{OURS} does not say what is equal and what is not: {said['message']}")
    return Answer(said["rows"]["base"], said["rows"]["view"], *found)


def pandas_merge(place: Place) -> Answer:
    """A program of its own, so that what it costs to start and to import counts as it does for the command."""
    script = HERE / "peer_pandas.py"
    return Answer(**json.loads(place.run(sys.executable, script, place.host, place.port, place.keyspace)))


def dsbulk(jars: Path) -> Way:
    """Unload the one table, then the other, and join the files."""
    java = find_java().executable

    def unload(place: Place, table: str, folder: Path) -> None:
        query = f"SELECT {_COLUMNS} FROM {place.keyspace}.{table}"
        where = ("-h", place.host, "-port", place.port, "-query", query, "-url", folder)
        how = ("-header", "false", "-maxConcurrentFiles", 2, "--log.directory", folder.with_suffix(".log"))
        place.run(java, "-cp", f"{jars}/*", _DSBULK_MAIN, "unload", *where, *how)

    def compare(place: Place) -> Answer:
        with tempfile.TemporaryDirectory(dir=place.folder) as out:
            base, view = Path(out, "base"), Path(out, "view")
            unload(place, LEDGER, base)
            unload(place, VIEW, view)
            return Answer(**json.loads(place.run(sys.executable, HERE / "peer_duckdb.py", base, view)))

    return compare


def dsbulk_jars() -> Path:
    """The folder of DSBulk's jars, fetched by Maven once. Raises LookupError with what is missing."""
    cache = Path(os.environ.get("BALANCEBOOK_CACHE") or user_cache_dir("balancebook")).expanduser()
    jars = cache / "dsbulk-1.10.0"
    if jars.is_dir():
        return jars
    mvn = shutil.which("mvn")
    if mvn is None:
        raise LookupError("mvn is missing")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        shutil.copy(HERE / "dsbulk-pom.xml", Path(scratch, "pom.xml"))
        command = [mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
            raise LookupError(f"mvn could not fetch DSBulk: {said[0]}")
        Path(scratch, "jars").rename(jars)
    return jars


def ways() -> tuple[dict[str, Way], dict[str, str]]:
    """The ways that can be measured here, and why others cannot."""
    found: dict[str, Way] = {OURS: balancebook_reconcile, PANDAS: pandas_merge}
    if importlib.util.find_spec("duckdb") is None:
        return found, {DSBULK: "pip install duckdb"}
    try:
        return found | {DSBULK: dsbulk(dsbulk_jars())}, {}
    except (LookupError, JavaError) as error:
        return found, {DSBULK: str(error)}


def measured(place: Place, arms: dict[str, Way], rounds: int) -> tuple[int, dict[str, list[Cost]]]:
    """The number of rows on each side, and what each way took in each round but the first."""
    costs: dict[str, list[Cost]] = {name: [] for name in arms}
    answers: dict[Answer, str] = {}
    for number in range(rounds + 1):
        for name in random.sample(list(arms), len(arms)):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            server = place.server_cpu()
            answers.setdefault(arms[name](place), name)
            wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                costs[name].append(Cost(wall, cpu, place.server_cpu() - server))
    rows = next(iter(answers)).base
    if list(answers) != [Answer(rows, rows, 0, 0, 0)]:
        sys.exit(f"The two tables are to be equal, and each way is to say so: {answers}")
    return rows, costs


def require_found(place: Place, arms: dict[str, Way], expected: Answer) -> None:
    """Ends the benchmark if a way does not see exactly the differences that are there."""
    for name, way in arms.items():
        if (answer := way(place)) != expected:
            sys.exit(f"{name} says {answer}, and not {expected}: its seconds are worth nothing.")
    print(f"each way finds the injected differences: {expected}")


def report(rows: int, costs: dict[str, list[Cost]], missing: dict[str, str]) -> None:
    """Prints medians, spread, and the ratios to ours."""
    print(f"{rows} rows a side, {len(costs[OURS])} rounds; median (least to most)")
    heads = ("wall s", "client CPU s", "server CPU s", "x wall", "x CPU")
    print(f"{'':22} " + " ".join(f"{head:>24}" for head in heads))
    for name, runs in costs.items():
        ratios = [
            (run.wall / our.wall, run.cpu / our.cpu) for run, our in zip(runs, costs[OURS], strict=True)
        ]
        spread = [_spread(values) for values in (*zip(*runs, strict=True), *zip(*ratios, strict=True))]
        print(f"{name:22} " + " ".join(f"{text:>24}" for text in spread))
    least = statistics.median(run.server for run in costs[OURS]) / (os.cpu_count() or 1)
    for name, runs in costs.items():
        if least and name != OURS:
            most = statistics.median(run.wall for run in runs) / least
            print(f"reading alone keeps the cores busy for {least:.2f} s: at most {most:.1f} x {name}")
    for name, why in missing.items():
        print(f"{name:22} not measured: {why}")


def _spread(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def on_own_server(folder: Path, options: argparse.Namespace) -> None:
    """Load, measure, break three rows, and look whether each way sees them; only then are the figures told."""
    arms, missing = ways()
    with own_server(folder, options.heap_mb) as node:
        server = node.mark.process() if node.mark else None
        place = Place(node.config.address, node.config.cql_port, options.keyspace, folder, server)
        session = connect(load_profile(env=place.env), retry_policy=Patient())
        with session.cluster, node.admin() as admin:
            create_schema(session.execute, place.keyspace, indexes=False)
            load(session, f"{place.keyspace}.{LEDGER}", options.rows)
            for table in (LEDGER, VIEW):
                admin.flush(place.keyspace, table)
            rows, costs = measured(place, arms, options.rounds)
            inject = Injector(session.execute, admin, place.keyspace)
            inject.lost(key_of(1))
            inject.orphan(key_of(1) | {"seq": 1_000_000, "avail": 1, "frozen": 0, "created_at": 1})
            inject.mismatch(key_of(2) | {"avail": -1})
            require_found(place, arms, Answer(rows, rows, 1, 1, 1))
    report(rows, costs, missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(1), default=2_000_000, help="to load, a side")
    parser.add_argument("--heap-mb", type=at_least(512), default=4096, help="of the database that is started")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, help="of a database that runs; without it one is started")
    parser.add_argument("--keyspace", default="peers")
    options = parser.parse_args()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that the database ends with a benchmark that is ended
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        if options.port is None:
            on_own_server(Path(folder), options)
            return
        arms, missing = ways()
        place = Place(options.host, options.port, options.keyspace, Path(folder))
        rows, costs = measured(place, arms, options.rounds)
        print("no difference was injected: the database is not ours")
    report(rows, costs, missing)


if __name__ == "__main__":
    main()
