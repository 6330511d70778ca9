"""Generated rows, straight into the sketches of a comparison: what its memory does when there is no server to wait for.

python benchmarks/pipeline.py [--rows 20000000]
"""

from __future__ import annotations

import argparse

import numpy as np
from arguments import at_least
from sketch import LAYOUTS, PAGE, START, pages

from balancebook.reconcile.options import Options
from balancebook.sketch.sketch import Sketch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=at_least(100_000), default=20_000_000)
    rows = parser.parse_args().rows
    layout = LAYOUTS["with a cut-off"]
    total = Sketch(layout, cells=Options(grace_s=0).cells, seed=1)
    some = pages(100_000)
    for _ in range(rows // 100_000):
        for side in (total.merge, total.subtract):
            # As in a scan: each range has a sketch of its own, which is then added.
            part = total.like()
            for page in some:
                part.fold(np.frombuffer(page.tobytes(), np.uint8), START, PAGE)
            side(part)
    items = total.peel()
    assert items.complete
    assert not len(items)


if __name__ == "__main__":
    main()
