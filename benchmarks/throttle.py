"""What does throttling cost, and what do balance queries take beside a throttled scan?

    python benchmarks/throttle.py [--rows 500000] [--rounds 5] [--limit-ms 10] [--floor 5000] [--load 8]

It starts a Cassandra of its own, fills base and view, and scans both in interleaved rounds, in an order drawn anew for
each: without a throttle; throttled by a limit that the server keeps (calm); throttled by `--limit-ms`; and so beside a
load of `--load` threads that query balances without a pause. A process of its own queries balances beside each scan,
and without one, for the baselines. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from arguments import above_zero, at_least
from exchange import KEYSPACE, Exchange, commit, exchange

from balancebook.demo.schema import LEDGER
from balancebook.latency import percentile
from balancebook.store.canary import draw_canary
from balancebook.store.pace import FREE_ROWS, Pace, PaceReport
from balancebook.store.ranges import RANGES, tasks_by_turns
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan
from balancebook.store.schema import read_table

HERE = Path(__file__).parent
# No scan makes a small read take so long on a server that has nothing else to do.
CALM_LIMIT_MS = 1000.0
BASELINE_S = 6.0
CALM_RATIO, TOLERANCE = 1.3, 1.5
ROWS_A_USER = 200


@dataclass
class Found:
    """Of each round: seconds, rows/s, and the nanoseconds of all balance queries; the throttle's last report."""

    walls: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    last: PaceReport | None = None

    @property
    def p99_ms(self) -> float:
        return percentile(self.times, 99) / 1e6


class Bench:
    """Scans and queries of one exchange."""

    def __init__(self, bench: Exchange, options: argparse.Namespace) -> None:
        self._bench, self._options = bench, options
        base = read_table(bench.reader, KEYSPACE, LEDGER)
        assert base is not None
        self._tables = base, bench.view
        self._columns = [column.name for column in bench.view.columns]

    @contextmanager
    def probe(self, times: list[int], *more: str) -> Iterator[None]:
        """Balance queries in a process of their own during the block; their nanoseconds are added."""
        accounts = max(1, self._bench.rows // ROWS_A_USER)
        arguments = ["--port", str(self._bench.profile.port), "--accounts", str(accounts), *more]
        process = subprocess.Popen(
            [sys.executable, str(HERE / "probe.py"), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        try:
            process.stdout.readline()
            yield
        finally:
            process.terminate()
            out = process.stdout.read()
            process.wait()
        times += json.loads(out)

    def load(self) -> AbstractContextManager[None]:
        """Others, who query balances as fast as they can, during the block."""
        return self.probe([], "--threads", str(self._options.load), "--every-ms", "0")

    def quiet(self, found: Found) -> None:
        """Only the balance queries."""
        with self.probe(found.times):
            time.sleep(BASELINE_S)

    def scan(self, found: Found, limit_ms: float | None) -> None:
        """One scan of both sides, throttled by that limit, if any."""
        with self.probe(found.times):
            began = time.monotonic()
            pace = self._pace(limit_ms) if limit_ms else None
            with pace or nullcontext():
                parts = raw_scan(
                    self._bench.reader,
                    self._tables,
                    self._columns,
                    count_rows,
                    tasks_by_turns(RANGES, 2),
                    pace=pace,
                )
                rows = sum(part.gathered for part in parts)
            found.walls.append(time.monotonic() - began)
        assert rows == 2 * self._bench.rows, parts.report
        found.rates.append(rows / found.walls[-1])
        found.last = pace.report() if pace else None

    def _pace(self, limit_ms: float) -> Pace:
        canary = draw_canary(self._bench.reader, self._tables[1])
        return Pace(canary=canary, limit_ms=limit_ms, floor=self._options.floor, free_rows=FREE_ROWS)


def count_rows(_table: int, pages: Iterator[RawPage]) -> int:
    """What a scan gathers of a range that only reads it."""
    return sum(page.rows for page in pages)


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Found]:
    """All ways in every round, in an order drawn anew for each; one round before, for nothing."""
    names = ("no scan", "unthrottled", "calm", "limited", "load, no scan", "load, limited")
    found = {name: Found() for name in names}

    def loaded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with bench.load():
                work()

        return run

    ways: dict[str, Callable[[], None]] = {
        "no scan": lambda: bench.quiet(found["no scan"]),
        "unthrottled": lambda: bench.scan(found["unthrottled"], None),
        "calm": lambda: bench.scan(found["calm"], CALM_LIMIT_MS),
        "limited": lambda: bench.scan(found["limited"], options.limit_ms),
        "load, no scan": loaded(lambda: bench.quiet(found["load, no scan"])),
        "load, limited": loaded(lambda: bench.scan(found["load, limited"], options.limit_ms)),
    }
    bench.scan(Found(), None)
    for number in range(options.rounds):
        for name in random.sample(list(ways), len(ways)):
            ways[name]()
            walls = found[name].walls
            took = f": {walls[-1]:.1f} s, {found[name].rates[-1]:,.0f} rows/s" if walls else ""
            print(f"round {number + 1}: {name}{took}", file=sys.stderr, flush=True)
    return found


def show(found: dict[str, Found]) -> None:
    """The table."""
    plain = found["unthrottled"].walls
    print(
        f"\n{'':15} {'wall s':>17} {'ratio':>17} {'least rows/s':>12} {'p99 ms':>7} {'queries':>7}  throttle"
    )
    for name, each in found.items():
        wall = ratio = rate = ""
        if each.walls:
            wall, rate = spread(each.walls), f"{min(each.rates):,.0f}"
            ratio = spread([one / other for one, other in zip(each.walls, plain, strict=True)])
        said = ""
        if each.last:
            last = each.last
            said = f"{last.pauses} pauses, {last.paused_s:.1f} s; {last.reason}"
        print(f"{name:15} {wall:>17} {ratio:>17} {rate:>12} {each.p99_ms:7.1f} {len(each.times):7}  {said}")


def spread(values: list[float]) -> str:
    """Median [least-most]."""
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def targets(found: dict[str, Found], options: argparse.Namespace) -> list[tuple[str, bool]]:
    """Each target in words, and whether it is met."""
    plain, calm = found["unthrottled"].walls, found["calm"].walls
    ratio = statistics.median(one / other for one, other in zip(calm, plain, strict=True))
    told = [(f"calm: {ratio:.2f} x unthrottled, at most {CALM_RATIO}", ratio <= CALM_RATIO)]
    alone = found["load, no scan"].p99_ms
    beyond = alone > options.limit_ms
    told.append((f"the load alone exceeds the limit: {alone:.1f} of {options.limit_ms:g} ms", beyond))
    slowest = min(found["load, limited"].rates)
    told.append(
        (f"beside the load: {slowest:,.0f} rows/s, at least {options.floor:,}", slowest >= options.floor)
    )
    for name, baseline in (("limited", "no scan"), ("load, limited", "load, no scan")):
        p99_ms = found[name].p99_ms
        most = max(options.limit_ms, TOLERANCE * found[baseline].p99_ms)
        told.append((f"{name}: balance queries' p99 {p99_ms:.1f} ms, at most {most:.1f}", p99_ms <= most))
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(50), default=500_000, help="a side")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--limit-ms", type=above_zero, default=10.0, help="of the canary's p99")
    parser.add_argument("--floor", type=at_least(1), default=5_000, help="rows/s")
    parser.add_argument("--load", type=at_least(1), default=8, help="threads that query balances")
    options = parser.parse_args()
    # Ended from outside, it ends its server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with exchange(options.rows) as made:
        load, cores = os.getloadavg()[0], os.cpu_count()
        print(
            f"{commit()}, {made.rows:,} rows a side, load {load:.1f} on {cores} cores, {options.rounds} rounds"
        )
        found = measure(Bench(made, options), options)
    show(found)
    told = targets(found, options)
    for words, met in told:
        print(f"{'met   ' if met else 'MISSED'} {words}")
    return 0 if all(met for _, met in told) else 1


if __name__ == "__main__":
    sys.exit(main())
