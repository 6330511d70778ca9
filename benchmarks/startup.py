"""How long from command to verdict? `balancebook run readiness` against bare papermill on the same notebook.

    python benchmarks/startup.py [--rounds 7]

Both run the same cells on the same embedded database (start it first: `balancebook up`), in alternation, the order
drawn anew in each round. Printed: the ratio of the medians with the range of the rounds' own ratios, and where our time
goes. The target is 1.5: what `run` adds (opening the database first, the record, the HTML page) costs that at most.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

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
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
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
