"""What folding costs, without a server: nanoseconds of CPU a row, one core, for several layouts and sizes.

    python benchmarks/sketch.py [--rows 500000] [--rounds 5]

Time is the thread's own CPU time, so that other load on the machine counts only through the caches; the median of the
rounds stands beside the least. Rows are those of the demo's ledger, in pages of 5,000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
from arguments import at_least

from balancebook.sketch.layout import Page, RowLayout
from balancebook.sketch.sketch import Sketch

_WIDTHS = (8, 4, 8, 8, 8, 8)
PAGE, START = 5000, 24
LAYOUTS = {
    "key kept": RowLayout(_WIDTHS, 3, (0, 1), (0,)),
    "with a cut-off": RowLayout(_WIDTHS, 3, (0, 1), (0,), cutoff=(5, 2**62, 2**63 - 1)),
    "a column of no fixed width": RowLayout((*_WIDTHS[:-1], None), 3, (0, 1), (0,)),
    "tokens kept": RowLayout(_WIDTHS, 3, (0, 1), (0,), by_token=True),
}


def pages(rows: int) -> list[Page]:
    """Pages as the server sends them."""
    fields = [
        (f"{part}{column}", ">i4" if part == "length" else f">i{width}")
        for column, width in enumerate(_WIDTHS)
        for part in ("length", "value")
    ]
    table = np.zeros(rows, np.dtype(fields))
    chance = np.random.default_rng(1)
    numbers = np.arange(rows)
    values = [numbers // 40, numbers // 10 % 4, numbers, *(chance.integers(0, 2**60, rows) for _ in range(3))]
    for column, (width, value) in enumerate(zip(_WIDTHS, values, strict=True)):
        table[f"length{column}"], table[f"value{column}"] = width, value
    return [
        np.frombuffer(bytes(START) + table[at : at + PAGE].tobytes(), np.uint8) for at in range(0, rows, PAGE)
    ]


def seconds(sketch: Sketch, filled: list[Page]) -> float:
    """CPU seconds of one round."""
    begun = time.thread_time()
    for page in filled:
        sketch.fold(page, START, PAGE)
    return time.thread_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(PAGE), default=500_000)
    parser.add_argument("--rounds", type=at_least(1), default=5)
    options = parser.parse_args()
    filled = pages(options.rows // PAGE * PAGE)
    rows = len(filled) * PAGE
    print(f"{rows} rows, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'layout':28} {'cells':>8} {'MB':>6} {'least':>7} {'median':>7} ns a row")
    for name, layout in LAYOUTS.items():
        for cells in (3 * 1024, 3 * 4096, 3 * 65536):
            sketch = Sketch(layout, cells=cells, seed=1)
            seconds(sketch, filled[:1])
            rounds = [seconds(sketch, filled) / rows * 1e9 for _ in range(options.rounds)]
            print(
                f"{name:28} {cells:8} {sketch.nbytes / 2**20:6.1f} {min(rounds):7.1f} {statistics.median(rounds):7.1f}"
            )


if __name__ == "__main__":
    main()
