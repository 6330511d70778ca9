"""V005 view_reconciles."""

from __future__ import annotations

from balancebook.checks.base import Finding, check
from balancebook.checks.comparison import compare
from balancebook.checks.context import Context
from balancebook.reconcile.report import ComparisonReport
from balancebook.store.cql.values import json_text
from balancebook.verdict import Json, Verdict


@check("V005", "view_reconciles")
def view_reconciles(ctx: Context) -> Finding:
    """Is every row of the view exactly what the base derives, and is none missing or left over?

    All of both is read and compared by the view's key, cell by cell. A difference counts only if repeated looks at both
    sides, separated by the grace period, prove it, so writers at work raise no false alarm. Of more rows than the
    profile's max_rows, by the server's estimate, only a sample is compared, and the answer says so. A token range that
    cannot be read makes it unknown.
    """
    return judge_report(compare(ctx))


def judge_report(report: ComparisonReport) -> Finding:
    """Fail for any confirmed fault, unknown for what could not be read or confirmed, else pass."""
    counts = {"base": report.rows_base, "view": report.rows_view}
    counts |= {kind.value: count for kind, count in report.counts.items()}
    samples = [_sample(report, number) for number in range(len(report.samples))]
    return Finding(report.verdict, report.message, counts, () if report.verdict is Verdict.PASS else samples)


def _sample(report: ComparisonReport, number: int) -> dict[str, Json]:
    named = report.named(report.samples[number])
    flat = {name: _flat(named[name]) for name in ("key", "base", "view")}
    return {"kind": named["kind"], **flat, "reason": named["reason"]}


def _flat(cells: Json) -> str | None:
    """Columns and values in one line, for a table that people read."""
    return (
        ", ".join(f"{name}={json_text(value)}" for name, value in cells.items())
        if isinstance(cells, dict)
        else None
    )
