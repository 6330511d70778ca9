"""A reconciliation as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from balancebook.reconcile.document import Reconciliation
from balancebook.reconcile.kinds import Kind
from balancebook.store.cql.values import json_text
from balancebook.verdict import MARKS

_SHOWN = 20
_WIDTH = 40


def text_of(done: Reconciliation, files: Iterable[Path]) -> str:
    """Verdict, rows, counts, the worst of what differs, and where the rest is."""
    report, view = done.report, done.view
    # A verdict of less than everything says so: "pass (sampled)".
    mark = MARKS[report.verdict].replace(report.verdict.value, report.label)
    head = f"{mark:10}{' ' * (len(mark) >= 10)}{view.keyspace}.{view.name} against {view.base_name}: {report.message}"
    counts = "  ".join(f"{kind} {report.counts[kind]:,}" for kind in Kind if report.counts[kind])
    rows = f"rows: {report.rows_base:,} derived from the base, {report.rows_view:,} in the view; "
    time = f"{done.seconds:.1f} s"
    lines = [head, f"          {time if done.depth == 'definition' else rows + time}"]
    lines += [f"          {counts}"] if counts else []
    return "\n".join([*lines, *_table(done), *(f"          {file}" for file in files)])


def _table(done: Reconciliation) -> list[str]:
    """The worst samples: what differs, or the whole row where one side has none."""
    report = done.report
    if not report.samples:
        return []
    shown = report.samples[:_SHOWN]
    rows = [["kind", *report.key_columns, "base", "view"]]
    for sample in shown:
        named: dict[str, Any] = report.named(sample)
        base, view = _differing(named["base"], named["view"])
        key = [_short(json_text(cell)) for cell in named["key"].values()]
        rows.append([sample.kind.value, *key, base, view])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    total = sum(report.counts.values())
    more = [f"({len(shown):,} of {total:,} shown, worst first)"] if total > len(shown) else []
    return ["", *(line.rstrip() for line in lines), *more, ""]


def _differing(base: Any, view: Any) -> tuple[str, str]:
    if base is None or view is None:
        return _cells(base, base or ()), _cells(view, view or ())
    names = [name for name in base if base[name] != view[name]] or list(base)
    return _cells(base, names), _cells(view, names)


def _cells(cells: Any, names: Iterable[str]) -> str:
    return "-" if cells is None else _short(" ".join(f"{name}={json_text(cells[name])}" for name in names))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
