"""V003 view_built."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed, unknown
from balancebook.checks.comparison import compare, is_whole
from balancebook.checks.context import Context
from balancebook.store.health import ViewHealth, view_health
from balancebook.verdict import Json, Verdict


@check("V003", "view_built")
def view_built(ctx: Context) -> Finding:
    """Has every current member of the ring finished building the view?

    A view that is still being built, or whose build was stopped, answers without the rows it lacks, and without
    an error. The percentage is of the token ranges, per node. Where every node has finished by its own table and a
    status is absent or says otherwise, the rows decide: they are compared, and the node is named.
    """
    health = view_health(ctx.reader, ctx.keyspace, ctx.profile.view)
    counts = {"nodes": len(health.nodes), "built": sum(node.built for node in health.nodes)}
    if health.state == "healthy":
        return passed(f"Built on {_nodes(counts['nodes'])}.", counts=counts)
    samples = _samples(health)
    if health.state == "unreported":
        return _by_rows(ctx, health, counts)
    if health.state == "building":
        done = f", {_whole(health.percent)} %" if health.percent is not None else ""
        return failed(
            f"Not built{done}: {_nodes(counts['built'])} of {counts['nodes']} ready. {health.note}".rstrip(),
            counts=counts,
            samples=samples,
        )
    if health.state == "missing":
        return failed("There is no such view to build.", counts=counts)
    return unknown(
        f"The build status could not be read. {health.note}".rstrip(), counts=counts, samples=samples
    )


def _samples(health: ViewHealth) -> list[dict[str, Json]]:
    return [
        {"node": node.address, "status": node.status, "percent": _whole(node.percent)}
        for node in health.nodes
    ]


def _by_rows(ctx: Context, health: ViewHealth, counts: dict[str, int]) -> Finding:
    """What the rows say of a view that is built by the nodes' own tables, but not by their statuses."""
    report = compare(ctx)
    if report.verdict is Verdict.PASS and is_whole(report):
        return passed(f"Built on {_nodes(counts['nodes'])}. {health.note} {report.message}", counts=counts)
    judge = failed if report.verdict is Verdict.FAIL else unknown
    return judge(
        f"Perhaps not built whole. {health.note} {report.message}", counts=counts, samples=_samples(health)
    )


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _whole(percent: float | None) -> int | None:
    # Rounded down: 99.9 % built is not built.
    return None if percent is None else int(percent)
