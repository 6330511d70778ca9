"""The cost of balance queries over depth, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from balancebook.balances.cost import Cost
from balancebook.verdict import Verdict

_MARKERS = "osD^vPX"
_PANELS = (("rows_read", "rows read by the server"), ("microseconds", "server time, µs"))


def over_depth(costs: Sequence[Cost], verdicts: Mapping[str, Verdict]) -> Figure:
    """Two panels, each with one line a strategy over an account's entries, both axes logarithmic: the rows that the
    server read, and the microseconds that it took. A strategy that is not right is grey and dashed.

    Accounts without entries, and costs that are not known or zero, have no point; a panel without any says so.
    """
    # Its own background, so that it reads on a dark page too.
    figure = Figure(figsize=(10, 4.4), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    for axes, (what, title) in zip(panels, _PANELS, strict=True):
        for number, (name, verdict) in enumerate(verdicts.items()):
            _draw(axes, _points(costs, name, what), name, verdict, number)
        _label(axes, title)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _points(costs: Sequence[Cost], strategy: str, what: str) -> list[tuple[int, int]]:
    of = [(cost.entries, getattr(cost, what)) for cost in costs if cost.strategy == strategy]
    return sorted((entries, value) for entries, value in of if entries and value)


def _draw(axes: Any, points: Sequence[tuple[int, int]], name: str, verdict: Verdict, number: int) -> None:
    entries, values = ([point[part] for point in points] for part in (0, 1))
    # Strategies often cost the same: what is drawn later is smaller, and leaves those below to be seen.
    larger = max(0, 5 - number)
    style = {
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 3.5 + 1.1 * larger,
        "linewidth": 1.3,
    }
    if verdict is Verdict.PASS:
        axes.plot(entries, values, label=name, color=f"C{number}", markerfacecolor="white", **style)
    else:
        said = "wrong" if verdict is Verdict.FAIL else "not known to be right"
        axes.plot(entries, values, "--", label=f"{name} ({said})", color="0.55", **style)


def _label(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("entries of the account")
    if not any(line.get_xydata().size for line in axes.get_lines()):
        # A logarithmic axis of nothing cannot be drawn.
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color="0.4")
        axes.set(xticks=[], yticks=[])
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.grid(True, which="major", alpha=0.3)
