"""Measured latencies as a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from balancebook.latency import AGAIN

_QUANTILES = np.linspace(0, 1, 201)


def distributions(measured: pd.DataFrame) -> Figure:
    """One line a strategy: the share of its calls (vertical) that took at most so many milliseconds (horizontal, log).

    `measured` is what latency.measure_interleaved returns. A line to the left is faster; a line that leans has a tail.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    medians = measured.groupby("strategy")["nanoseconds"].median().sort_values()
    for name in medians.index:
        times = measured.loc[measured["strategy"] == name, "nanoseconds"].to_numpy() / 1e6
        style = ":" if name == AGAIN else "-"
        axes.plot(np.quantile(times, _QUANTILES), _QUANTILES * 100, style, label=str(name), linewidth=1.8)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds (log)")
    axes.set_ylabel("% of calls within")
    axes.set_ylim(0, 100)
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(loc="lower right", frameon=False)
    return figure
