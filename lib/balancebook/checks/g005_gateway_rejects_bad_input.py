"""G005 gateway_rejects_bad_input."""

from __future__ import annotations

from balancebook.checks.base import Finding, check, failed, passed
from balancebook.checks.context import Context
from balancebook.gateway import Probe
from balancebook.verdict import Json

# Each is no user id whatever the ledger: missing, empty, text, a fraction, an exponent, beyond bigint, code.
BAD_QUERIES = (
    "",
    "user_id=",
    "user_id=abc",
    "user_id=5.5",
    "user_id=1e3",
    "user_id=9223372036854775808",
    "user_id=1%3B+DROP+TABLE+x",
)


@check("G005", "gateway_rejects_bad_input")
def gateway_rejects_bad_input(ctx: Context) -> Finding:
    """Does the gateway refuse what is no user id, with HTTP 4xx, a status other than 0 and no data?

    A bad id that is answered like an unknown user hides the caller's mistake behind an empty balance; one that
    crashes the gateway takes everybody's with it.
    """
    answers = [(query, ctx.gateway.probe(query)) for query in BAD_QUERIES]
    wrong = [_sample(query, probe) for query, probe in answers if not refused(probe)]
    counts = {"asked": len(answers), "wrong": len(wrong)}
    if wrong:
        names = ", ".join(str(sample["query"]) or "no query" for sample in wrong)
        return failed(f"Not refused as bad input: {names}.", counts=counts, samples=wrong)
    return passed(f"All {len(answers)} bad inputs are refused.", counts=counts)


def refused(probe: Probe) -> bool:
    """Whether the answer says, in every way that a caller may read it, that the question was bad."""
    return 400 <= probe.http_status < 500 and probe.status not in (0, None) and not probe.has_data


def _sample(query: str, probe: Probe) -> dict[str, Json]:
    return {
        "query": query,
        "http_status": probe.http_status,
        "status": probe.status,
        "data": probe.has_data,
    }
