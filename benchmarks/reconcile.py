"""What does comparing cost over only reading? A full reconcile against reading the same columns of both sides.

    python benchmarks/reconcile.py [--rows 2000000] [--rounds 7] [--only speed,memory,writers,differences]

It starts a Cassandra of its own, fills base and view, and measures in interleaved rounds, in an order drawn anew for
each: reading (twice, for the noise floor: A/A), reconciling in the same warm process, and the whole command in a
process of its own. Printed are medians, the spread of the rounds, and the ratio to reading in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arguments import at_least, some_of
from exchange import KEYSPACE, TARGET, Exchange, commit, exchange
from server import key_of, load

from balancebook.demo.faults import Injector
from balancebook.demo.schema import LEDGER, VIEW, create_schema
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.options import Cutoff, Options
from balancebook.reconcile.sides import base_side, view_side
from balancebook.store.ranges import RANGES, tasks_by_turns
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cost:
    """Seconds of wall, seconds of the client's CPU, and its largest memory in MB (0: not measured)."""

    wall: float
    cpu: float
    peak: float = 0.0


def here(work: Callable[[], object]) -> Cost:
    """What it costs in this process."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.monotonic() - wall, time.process_time() - cpu)


# A child's peak memory begins with that of the process which starts it: so a small one does.
_LAUNCHER = """
import os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:], stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
os.write(int(sys.argv[1]), f"{code} {used.ru_utime + used.ru_stime} {used.ru_maxrss / 1024}".encode())
"""


def apart(arguments: list[str], env: dict[str, str], expected: int = 0) -> tuple[Cost, str]:
    """What a process costs, and its stdout. Raises RuntimeError for another exit code than expected."""
    told, tell = os.pipe()
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, str(tell), *arguments]
    began = time.monotonic()
    done = subprocess.run(launcher, env=env, stdout=subprocess.PIPE, pass_fds=[tell], text=True, check=True)
    wall = time.monotonic() - began
    code, cpu, peak = os.read(told, 100).split()
    os.close(told)
    os.close(tell)
    if int(code) != expected:
        raise RuntimeError(f"{arguments} ended with {int(code)}: {done.stdout[:500]}")
    return Cost(wall, float(cpu), float(peak)), done.stdout


def only_read(bench: Exchange, *, emptied: bool = False) -> None:
    """Read the columns that are compared, of both sides, and do nothing with them. `emptied`: the view has no row."""
    view = bench.view
    sides = base_side(bench.reader, view), view_side(view)
    columns = (*sides[1].key, *sides[1].values)

    tables = [side.table for side in sides]
    scan = raw_scan(bench.reader, tables, columns, count_rows, tasks_by_turns(RANGES, 2))
    assert sum(part.gathered for part in scan) == (1 if emptied else 2) * bench.rows


def compare(bench: Exchange) -> None:
    """Reconcile in this process."""
    cutoff = Cutoff("created_at", int(time.time() * 1000))
    report = reconcile(bench.reader, bench.view, Options(grace_s=1, cutoff=cutoff))
    assert report.verdict.value == "pass", report
    assert report.rows_base == report.rows_view == bench.rows


def command(bench: Exchange, expected: int = 0, *more: str) -> tuple[Cost, dict[str, object]]:
    """The whole command, as a person runs it."""
    env = dict(os.environ) | {"BALANCEBOOK_CONFIG": str(bench.config)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is cached, as the kernels are
    arguments = [str(BIN / "balancebook"), "reconcile", TARGET, "--json", "--no-pace", *more]
    cost, out = apart(arguments, env, expected)
    return cost, json.loads(out)


def interleaved(ways: dict[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """What each way costs in every round, in an order drawn anew for each; once before, for nothing."""
    for way in ways.values():
        way()
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in random.sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    return found


def count_rows(_table: int, pages: Iterator[RawPage]) -> int:
    """What a scan gathers of a range that only reads it."""
    return sum(page.rows for page in pages)


def speed(bench: Exchange, rounds: int) -> None:
    """The table of ratios."""
    ways: dict[str, Callable[[], Cost]] = {
        "only reading": lambda: here(lambda: only_read(bench)),
        "only reading, again (A/A)": lambda: here(lambda: only_read(bench)),
        "reconcile, warm": lambda: here(lambda: compare(bench)),
        "the whole command, cold": lambda: command(bench)[0],
    }
    found = interleaved(ways, rounds)
    print(f"\n{'':28} {'wall s':>16} {'ratio':>18} {'CPU s':>7} {'ratio':>18} {'peak MB':>8}")
    reading = found["only reading"]
    for name, costs in found.items():
        walls, cpus = [cost.wall for cost in costs], [cost.cpu for cost in costs]
        peak = max(cost.peak for cost in costs)
        print(
            f"{name:28} {spread(walls):>16} {spread(ratios(walls, [c.wall for c in reading])):>18} "
            f"{statistics.median(cpus):7.2f} {spread(ratios(cpus, [c.cpu for c in reading])):>18} "
            f"{peak or '':>8.4}"
        )


def spread(values: list[float]) -> str:
    """Median [least-most]."""
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def ratios(values: list[float], others: list[float]) -> list[float]:
    """Round by round."""
    return [value / other for value, other in zip(values, others, strict=True)]


def memory(bench: Exchange) -> None:
    """Peak memory: of the command on this table, and of 20 million generated rows through the same sketches."""
    cost, _ = command(bench)
    print(f"\npeak memory, {bench.rows:,} rows a side: {cost.peak:.0f} MB")
    for rows in (200_000, 2_000_000, 20_000_000):
        cost, _ = apart([sys.executable, str(HERE / "pipeline.py"), "--rows", str(rows)], dict(os.environ))
        print(f"peak memory, {rows:,} generated rows a side: {cost.peak:.0f} MB, {cost.cpu:.1f} s CPU")


def differences(bench: Exchange, rounds: int) -> None:
    """What a comparison costs by how much differs, beside reading both sides twice and beside pandas. It leaves the
    tables different: in the end every row, then with an emptied view."""
    print(
        f"\n{'rows that differ':>24} {'wall s':>16} {'x reading twice':>18} {'CPU s':>7} {'peak MB':>8} "
        f"{'pandas s':>16} {'x pandas':>18}"
    )
    with bench.node.admin() as admin:
        inject = Injector(bench.session.execute, admin, KEYSPACE)
        done = 0
        for wanted in (0, 10, 1000, 100_000):
            more = min(wanted, bench.rows // 2)
            if more > done:
                inject.mismatch(*(key_of(2 * number) | {"avail": -1} for number in range(done, more)))
            done = more
            _difference_row(bench, rounds, done, "MISMATCH")
        load(bench.session, _scratch(bench), bench.rows, more=1)
        admin.flush("scratch", LEDGER)
        admin.import_sstables(KEYSPACE, LEDGER, admin.data_paths("scratch", LEDGER)[0])
        _difference_row(bench, rounds, bench.rows, "MISMATCH")
        admin.truncate(KEYSPACE, VIEW)
        _difference_row(bench, rounds, bench.rows, "LOST")


def _scratch(bench: Exchange) -> str:
    """A ledger of the same layout without a view, which could be loaded past it."""
    create_schema(bench.session.execute, "scratch", indexes=False)
    bench.session.execute(f"DROP MATERIALIZED VIEW scratch.{VIEW}")
    # Else files may be merged away while they are copied.
    bench.session.execute(
        f"ALTER TABLE scratch.{LEDGER} WITH compaction = "
        "{'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}"
    )
    return f"scratch.{LEDGER}"


def _difference_row(bench: Exchange, rounds: int, rows: int, kind: str) -> None:
    """One line: reading, comparing and pandas in interleaved rounds."""
    profile = bench.profile
    peer = [
        sys.executable,
        str(HERE / "peer_pandas.py"),
        profile.contact_points[0],
        str(profile.port),
        KEYSPACE,
    ]

    def ours() -> Cost:
        cost, document = command(bench, 10 if rows else 0)
        counts = document["counts"]
        assert isinstance(counts, dict)
        assert counts[kind] == rows, document["message"]
        return cost

    ways: dict[str, Callable[[], Cost]] = {
        "read": lambda: here(lambda: only_read(bench, emptied=kind == "LOST")),
        "ours": ours,
    }
    # It fails on an empty view.
    if kind != "LOST":
        ways["pandas"] = lambda: apart(peer, dict(os.environ))[0]
    found = interleaved(ways, rounds)
    walls = {name: [cost.wall for cost in costs] for name, costs in found.items()}
    twice = [2 * wall for wall in walls["read"]]
    line = (
        f"{rows:14,} {kind[:9]:>9} {spread(walls['ours']):>16} {spread(ratios(walls['ours'], twice)):>18} "
        f"{statistics.median(cost.cpu for cost in found['ours']):7.1f} {max(cost.peak for cost in found['ours']):8.0f}"
    )
    if "pandas" in walls:
        line += f" {spread(walls['pandas']):>16} {spread(ratios(walls['ours'], walls['pandas'])):>18}"
    print(line, flush=True)


def writers(bench: Exchange) -> None:
    """What a comparison costs beside writers, with and without a cut-off."""
    print(f"\n{'writes/s asked':>15} {'done':>7} {'cut-off':>8} {'wall s':>8} {'CPU s':>7}  counts")
    for rate in (0, 200, 1000, 3000):
        for cutoff in ("auto", "none"):
            process = subprocess.Popen(
                [
                    sys.executable,
                    str(HERE / "writer.py"),
                    "--port",
                    str(bench.profile.port),
                    "--rate",
                    str(rate),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                time.sleep(3)
                cost, document = command(bench, 0, "--cutoff", cutoff)
            finally:
                process.terminate()
            out, _ = process.communicate()
            counts = {kind: number for kind, number in dict(document["counts"]).items() if number}  # type: ignore[call-overload]
            print(
                f"{rate:15} {out.strip() or 0:>7} {cutoff:>8} {cost.wall:8.1f} {cost.cpu:7.1f}  {counts}",
                flush=True,
            )


# In this order: the last one leaves the tables different.
PARTS: dict[str, Callable[[Exchange, int], None]] = {
    "speed": speed,
    "memory": lambda bench, _: memory(bench),
    "writers": lambda bench, _: writers(bench),
    "differences": differences,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(1000), default=2_000_000)
    parser.add_argument("--rounds", type=at_least(1), default=7)
    parser.add_argument("--only", type=some_of(PARTS), default=list(PARTS), help=",".join(PARTS))
    options = parser.parse_args()
    with exchange(options.rows) as bench:
        print(
            f"{commit()}, {options.rows:,} rows a side, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        for name in options.only:
            PARTS[name](bench, options.rounds)


if __name__ == "__main__":
    main()
