"""V003 view_built."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.store.health import view_health


@check("V003", "view_built")
def view_built(ctx: Context) -> Finding:
    """Has every current member of the ring finished building the view?

    A view that is still being built, or whose build was stopped, answers without the rows it lacks, and without
    an error. The percentage is of the token ranges, per node.
    """
    health = view_health(ctx.reader, ctx.keyspace, ctx.profile.view)
    counts = {"nodes": len(health.nodes), "built": sum(node.status == "SUCCESS" for node in health.nodes)}
    if health.state == "healthy":
        return passed(f"Built on {_nodes(counts['nodes'])}.", counts=counts)
    samples = [
        {"node": node.address, "status": node.status, "percent": _whole(node.percent)}
        for node in health.nodes
    ]
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


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _whole(percent: float | None) -> int | None:
    # Rounded down: 99.9 % built is not built.
    return None if percent is None else int(percent)
