"""V005 view_reconciles."""

from __future__ import annotations

from balancebook.checks.base import SAMPLE_LIMIT, Finding, check
from balancebook.checks.context import Context
from balancebook.progress import Display
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.run import Request, Telling, run
from balancebook.store.cql.values import json_text
from balancebook.store.gone import naming_what_is_gone
from balancebook.verdict import Json, Verdict


@check("V005", "view_reconciles")
def view_reconciles(ctx: Context) -> Finding:
    """Is every row of the view exactly what the base derives, and is none missing or left over?

    All of both is read and compared by the view's key, cell by cell. A difference counts only if two reads of both
    sides, a grace period apart, show it alike, so writers at work raise no false alarm. Of more rows than the profile's
    max_rows, by the server's estimate, only a sample is compared, and the answer says so. A token range that cannot be
    read makes it unknown.
    """
    with Display() as display:
        request = Request(samples=SAMPLE_LIMIT, budget_rows=ctx.profile.limits.max_rows)
        with naming_what_is_gone(ctx.reader, ctx.view, doing="compared"):
            done = run(
                ctx.reader, ctx.view, request, Telling(step=display), grace_s=ctx.grace_s, sleep=ctx.sleep
            )
    return judge_report(done.report)


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
