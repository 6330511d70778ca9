"""G005 gateway_rejects_bad_input."""

from __future__ import annotations

from balancebook.balances.target import shape_of
from balancebook.checks.base import Finding, check, failed, passed
from balancebook.checks.context import Context
from balancebook.gateway import Probe
from balancebook.verdict import Json

_CODE = "1; DROP TABLE x"
_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_NO_UUIDS = (
    "abc",
    "1001",
    "00000000-0000-4000-8000-00000000000",  # a digit short
    "00000000-0000-4000-8000-00000000000g",
    _CODE,
)


@check("G005", "gateway_rejects_bad_input")
def gateway_rejects_bad_input(ctx: Context) -> Finding:
    """Does the gateway refuse what is no account, with HTTP 4xx, a status other than that of success, and no data?

    A bad id that is answered like an unknown user hides the caller's mistake behind an empty balance; one that
    crashes the gateway takes everybody's with it. What is bad follows from the type of the ledger's account column.
    """
    (cql_type,) = shape_of(ctx.reader, ctx.target).types([ctx.ledger.account])
    gateway = ctx.gateway_settings
    # Left out of the path, an account leaves what an empty one does.
    asked = ((None,) if gateway.account_in_query else ()) + bad_accounts(cql_type)
    targets = [gateway.target_without_account() if bad is None else gateway.target(bad) for bad in asked]
    answers = [(target, ctx.gateway.probe(bad)) for target, bad in zip(targets, asked, strict=True)]
    wrong = [_sample(target, probe) for target, probe in answers if not refused(probe)]
    counts = {"asked": len(answers), "wrong": len(wrong)}
    if wrong:
        names = ", ".join(str(sample["asked"]) for sample in wrong)
        return failed(f"Not refused as bad input: {names}.", counts=counts, samples=wrong)
    return passed(f"All {len(answers)} bad inputs are refused.{_reach(cql_type)}", counts=counts)


def bad_accounts(cql_type: str) -> tuple[str, ...]:
    """Texts that are no account of the type, whatever the exchange. Where it may be any text: the empty one alone."""
    if cql_type in _BITS:
        beyond = str(2 ** (_BITS[cql_type] - 1))
        return ("", "abc", "5.5", "1e3", beyond, _CODE)
    if cql_type == "varint":
        return ("", "abc", "5.5", "1e3", _CODE)
    if cql_type in ("uuid", "timeuuid"):
        return ("", *_NO_UUIDS)
    return ("",)


def refused(probe: Probe) -> bool:
    """Whether the answer says, in every way that a caller may read it, that the question was bad."""
    return 400 <= probe.http_status < 500 and probe.ok is False and not probe.has_data


def _reach(cql_type: str) -> str:
    if len(bad_accounts(cql_type)) > 1:
        return ""
    return f" Of an account of type {cql_type} only the empty one is bad for certain: no other was tried."


def _sample(target: str, probe: Probe) -> dict[str, Json]:
    return {
        "asked": target,
        "http_status": probe.http_status,
        "says ok": probe.ok,
        "data": probe.has_data,
    }
