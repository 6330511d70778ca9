"""How many entries does a ledger's audit follow in a second of the client's CPU, and what does it cost over reading?

    python benchmarks/audit.py [--rows 1000000] [--rounds 5]

It starts a Cassandra of its own, loads a demo exchange of that size, and measures in interleaved rounds, in an order
drawn anew for each: reading the columns of entries and trades (twice, for the noise floor: A/A), and the whole audit.
The fixed part, which no rate holds, is told by itself: imports and opening, and what the first audit takes longer than
a warm one (loading the kernels).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arguments import at_least, port
from exchange import commit
from reconcile import Cost, apart, count_rows, here, interleaved, ratios, spread
from server import own_server

from balancebook.demo.generate import Size
from balancebook.demo.load import ensure_loaded
from balancebook.demo.schema import LEDGER
from balancebook.ledger.audit import Asking, audit
from balancebook.ledger.source import Source, open_source
from balancebook.settings import Profile, load_profile
from balancebook.store.ranges import RANGES, tasks_by_turns
from balancebook.store.raw_scan import raw_scan
from balancebook.store.reader import open_reader

# Everything is imported here.
LOADED = time.process_time()


@dataclass(frozen=True)
class Ledger:
    """What is audited, and how much of it there is."""

    source: Source
    entries: int
    trades: int


def only_read(ledger: Ledger) -> None:
    """Read the columns that the audit reads, and do nothing with them."""

    source, rows = ledger.source, 0
    tables = [(source.base, source.roles.columns)]
    tables += [(source.trades.table, source.trades.columns)] if source.trades else []
    for table, columns in tables:
        scan = raw_scan(source.reader, [table], columns, count_rows, tasks_by_turns(RANGES, 1))
        rows += sum(part.gathered for part in scan)
    assert rows == ledger.entries + ledger.trades


def whole(ledger: Ledger) -> None:
    """Audit it; there is nothing wrong with it."""
    report = audit(ledger.source, Asking(1.0))
    assert (report.breaks.count, report.reasons) == (0, ())
    assert (report.entries, report.trades) == (ledger.entries, ledger.trades)


def measure(ledger: Ledger, rounds: int) -> None:
    """The table, and what is fixed."""
    first = here(lambda: whole(ledger))
    ways: dict[str, Callable[[], Cost]] = {
        "only reading": lambda: here(lambda: only_read(ledger)),
        "only reading, again (A/A)": lambda: here(lambda: only_read(ledger)),
        "audit, warm": lambda: here(lambda: whole(ledger)),
    }
    found = interleaved(ways, rounds)
    reading = found["only reading"]
    print(f"\n{'':28} {'wall s':>16} {'ratio':>18} {'CPU s':>7} {'ratio':>18} {'entries/CPU s':>14}")
    for name, costs in found.items():
        walls, cpus = [cost.wall for cost in costs], [cost.cpu for cost in costs]
        print(
            f"{name:28} {spread(walls):>16} {spread(ratios(walls, [c.wall for c in reading])):>18} "
            f"{statistics.median(cpus):7.2f} {spread(ratios(cpus, [c.cpu for c in reading])):>18} "
            f"{ledger.entries / statistics.median(cpus):14,.0f}"
        )
    warm = statistics.median(cost.cpu for cost in found["audit, warm"])
    print(
        f"\nfixed: {LOADED:.2f} s of CPU for imports, and {first.cpu - warm:.2f} s more for the first audit"
    )


def memory(port: int) -> None:
    """Peak memory of a process that does nothing but audit, once."""
    cost, _ = apart([sys.executable, __file__, "--port", str(port)], dict(os.environ))
    print(f"peak memory of an audit: {cost.peak:.0f} MB")


def profile_at(port: int, state: str) -> Profile:
    """The demo's profile, with its database there."""
    profile = load_profile("embedded", env={"BALANCEBOOK_STATE": state})
    return profile.model_copy(update={"port": port})


def audit_once(port: int) -> None:
    """Audit the demo exchange of a database that runs."""
    profile = profile_at(port, ".balancebook")
    with open_reader(profile) as reader:
        report = audit(open_source(reader, LEDGER, profile), Asking(1.0))
    assert (report.breaks.count, report.reasons) == (0, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(1000), default=1_000_000)
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--port", type=port, help="of a running demo exchange: only audit it, once")
    options = parser.parse_args()
    if options.port:
        audit_once(options.port)
        return
    folder = Path(tempfile.mkdtemp(prefix="balancebook-bench-"))
    try:
        with own_server(folder, heap_mb=2048) as node:
            profile = profile_at(node.config.cql_port, str(folder))
            size = Size(rows=options.rows, users=max(2, options.rows // 100))
            loaded = ensure_loaded(profile, size=size, progress=lambda line: print(line, file=sys.stderr))
            with open_reader(profile) as reader:
                source = open_source(reader, LEDGER, profile)
                print(f"{commit()}, {loaded.rows:,} entries and {loaded.trades:,} trades")
                measure(Ledger(source, loaded.rows, loaded.trades), options.rounds)
            memory(node.config.cql_port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
