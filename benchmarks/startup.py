"""How long from command to verdict? `balancebook run readiness` against bare papermill on the same notebook.

    python benchmarks/startup.py [--rounds 7]

Both run the same cells on the same embedded database, which is started for them with its demo data and ended with them,
in alternation, in a new random order each round. Printed: the ratio of the medians with the range of the rounds' own
ratios, and where our time goes. The target is 1.5: what `run` adds (opening the database first, the record, the HTML
page) costs that at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from arguments import at_least

from balancebook.demo import services
from balancebook.demo.processes import port_is_free

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "readiness.ipynb"
BIN = Path(sys.executable).parent
TARGET = 1.5


def timed(command: list[str]) -> tuple[float, float]:
    """(seconds since the epoch at the start, seconds taken). Raises CalledProcessError unless it passes."""
    started = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return started, time.time() - started


def ours(folder: Path) -> dict[str, float]:
    """The seconds of one run, and of its parts, by its own record."""
    out = folder / str(time.time_ns())
    started, total = timed([str(BIN / "balancebook"), "run", str(NOTEBOOK), "--out", str(out)])
    record = json.loads(next(out.glob("*/record.json")).read_text())
    began, ended = (datetime.fromisoformat(record[key]).timestamp() for key in ("started_at", "ended_at"))
    checks = sum(result["seconds"] for result in record["results"])
    return {
        "total": total,
        "command start, database opened": began - started,
        "kernel start, imports, cells without checks": ended - began - checks,
        "checks": checks,
        "page and record written, exit": started + total - ended,
    }


def papermill(folder: Path) -> dict[str, float]:
    """The seconds of bare papermill on the same notebook."""
    _, total = timed([str(BIN / "papermill"), str(NOTEBOOK), str(folder / "bare.ipynb")])
    return {"total": total}


def main() -> int:
    """Prints the comparison; 0 if the median ratio is within the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least(1), default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="balancebook-bench-") as folder:
        os.environ |= own_place(Path(folder))
        try:
            services.up(progress=lambda line: print(line, file=sys.stderr))
            return measure(rounds)
        finally:
            services.down()


def own_place(folder: Path) -> dict[str, str]:
    """The environment of an embedded exchange of its own: its state, and four free ports."""
    # Below the range from which systems give ports to clients, so that none is taken before the server listens.
    free = (port for port in random.sample(range(20_000, 32_000), 1000) if port_is_free("127.0.0.1", port))
    names = ("PORT", "STORAGE_PORT", "ADMIN_PORT", "GATEWAY_PORT")
    ports = {f"BALANCEBOOK_{name}": str(next(free)) for name in names}
    return ports | {"BALANCEBOOK_STATE": str(folder / "state"), "BALANCEBOOK_PROFILE": "embedded"}


def measure(rounds: int) -> int:
    """Runs both in alternation, and prints the comparison."""
    arms = {"balancebook run": ours, "papermill": papermill}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name in random.sample(list(arms), len(arms)):
                seconds = arms[name](Path(folder))
                if number:  # the first round warms the file caches
                    taken[name].append(seconds)
    return report(taken)


def report(taken: dict[str, list[dict[str, float]]]) -> int:
    """Prints medians, ratio and parts."""
    for name, runs in taken.items():
        totals = [run["total"] for run in runs]
        print(f"{name:16} median {statistics.median(totals):5.2f} s   {min(totals):.2f} to {max(totals):.2f}")
    both = list(zip(taken["balancebook run"], taken["papermill"], strict=True))
    ratios = [one["total"] / other["total"] for one, other in both]
    ratio = statistics.median(ratios)
    print(f"{'ratio':16} median {ratio:5.2f}     {min(ratios):.2f} to {max(ratios):.2f}   (target {TARGET})")
    for part in taken["balancebook run"][0]:
        print(f"  {statistics.median(run[part] for run in taken['balancebook run']):5.2f} s  {part}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
