"""Balances as pictures. White grounds of their own: they read alike in a light and in a dark notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK = ("#1f77b4", "#d95f02", "#1b7837", "#7b3294", "#666666")
_CROWDED = 2_000


def over_time(history: pd.DataFrame, title: str, origin: str, clock: int) -> Figure:
    """The available and the held balance of one asset as steps over time (UTC), the held one stacked on the other.

    `history`: what account.history returns. The line is the balance after each entry, until the next. If entries are
    dated ahead of the clock (milliseconds since 1970), a dotted line stands where it is.
    """
    figure, axes = _canvas(title, origin)
    times = history["time"].dt.tz_localize(None).to_numpy()
    available, held = (_floats(history[name]) for name in ("available", "held"))
    if len(times):
        width = 1.4 if len(times) < _CROWDED else 0.6
        axes.step(
            times, available + held, where="post", color=_INK[1], linewidth=width, label="available + held"
        )
        axes.step(times, available, where="post", color=_INK[0], linewidth=width, label="available")
        now = np.datetime64(clock, "ms")
        if (times > now).any():
            axes.axvline(now, color=_INK[4], linestyle=":", label="the clock")  # type: ignore[arg-type]
        axes.legend(loc="best", frameon=False)
        axes.xaxis.set_tick_params(rotation=0)
    axes.set_xlabel("time (UTC)")
    axes.set_ylabel("whole units")
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.8f}".rstrip("0").rstrip("."))
    return figure


def concentration(shares: Mapping[str, npt.NDArray[np.float64]], title: str, origin: str) -> Figure:
    """Which share (vertical) of each asset its largest holders have together, by how many they are (horizontal, log).

    A line that is high at the left: few hold most of it.
    """
    figure, axes = _canvas(title, origin)
    for number, (asset, line) in enumerate(shares.items()):
        if len(line):
            ranks = np.arange(1, len(line) + 1)
            style = "o-" if len(line) == 1 else "-"
            axes.plot(ranks, line, style, color=_INK[number % len(_INK)], linewidth=1.8, label=asset)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("largest holders (log)")
    axes.set_ylabel("% of the asset, together")
    axes.set_ylim(0, 102)
    if shares:
        axes.legend(loc="lower right", frameon=False)
    return figure


def _canvas(title: str, origin: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 4.2), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, which="both", alpha=0.25)
    figure.supxlabel(origin, x=0.01, ha="left", fontsize=7, color="#555555")
    return figure, axes


def _floats(amounts: Sequence[Decimal | None] | pd.Series[Any]) -> npt.NDArray[np.float64]:
    """For drawing only: a picture has no more digits than a float."""
    return np.array([0.0 if each is None else float(each) for each in amounts])
