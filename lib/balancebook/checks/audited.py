"""The audit of a ledger, made once for all checks that ask of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from balancebook.assets import format_exact, label
from balancebook.checks.base import SAMPLE_LIMIT, Finding, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.samples import as_json
from balancebook.checks.truth import assets_in_base
from balancebook.ledger.audit import Asking, AuditReport, audit
from balancebook.ledger.breaks import Break, Problem
from balancebook.ledger.source import open_source
from balancebook.moment import utc_text
from balancebook.progress import Display
from balancebook.store.pace import Pace, pace_of
from balancebook.store.reader import Reader
from balancebook.verdict import Json

_audits: WeakKeyDictionary[Reader, dict[Scope, AuditReport]] = WeakKeyDictionary()
_SEED = 1
_LONGEST = 200
_A_VALUE = "a value"
_OF_SIGNED_AMOUNTS = ("L001", "L004", "L006", "L007")
# Where no value was expected of what is there, but something of its kind, or none at all.
_EXPECTED: dict[Problem, str] = {
    **dict.fromkeys((each for each in Problem if not each.proves and each is not Problem.MOVING), _A_VALUE),
    Problem.MISSING: _A_VALUE,
    Problem.LEG_CELL: _A_VALUE,
    Problem.TRADE_CELL: _A_VALUE,
    Problem.SIGNS: "what its type moves",
    Problem.TYPE: "a type of the profile",
    Problem.LEG_SPARE: "nothing",
    Problem.NO_LOCK: "nothing",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what an audit is: of one account's entries, of `sample` token ranges of 4,096, or of the whole ledger.

    assets_from: how the assets of an account are found.
    """

    user_id: int | str | None = None
    sample: int | None = None
    assets_from: str = "scan"


def audited(ctx: Context, scope: Scope) -> AuditReport:
    """The audit, made at the first call. Raises StoreError, BalancebookError."""
    done = _audits.setdefault(ctx.reader, {})
    if scope not in done:
        # First, since what was asked comes before what is there.
        accounts, note = _accounts(ctx, scope)
        source = open_source(ctx.reader, ctx.target.base, ctx.profile)
        pace = pace_of(ctx.reader, ctx.view, None, paced=not ctx.profile.embedded)
        with pace or nullcontext(), Display() as display:
            report = audit(source, replace(_asking(ctx, scope, accounts, pace), step=display))
        done[scope] = replace(report, unseen=note)
    return done[scope]


def _accounts(ctx: Context, scope: Scope) -> tuple[list[tuple[Any, Any]] | None, str]:
    """(account, asset) of those that are asked for, if it is not all; and what may be missing there."""
    if scope.user_id is None:
        return None, ""
    account = ctx.account(scope.user_id)
    found = assets_in_base(ctx, account, scope.assets_from)
    return [(account, asset) for asset in found.assets], found.note if found.source == "known" else ""


def _asking(ctx: Context, scope: Scope, accounts: list[tuple[Any, Any]] | None, pace: Pace | None) -> Asking:
    return Asking(
        ctx.grace_s,
        ctx.profile.limits.max_rows,
        accounts=accounts,
        sample=scope.sample,
        pace=pace,
        sleep=ctx.sleep,
        seed=_SEED,
    )


def finding(ctx: Context, code: str, well: str, scope: Scope) -> Finding:
    """What the audit says to the check of that code. `well`: what is so if nothing is broken."""
    report = audited(ctx, scope)
    problems = [problem for problem in Problem if problem.code == code]
    found = {problem.text.replace(" ", "_"): report.breaks.of[problem].count for problem in problems}
    counts = {"entries": report.entries, "accounts": report.partitions} | found
    if code == "L004":
        counts |= {"trades": report.trades}
    if code == "L007":
        counts |= {"assets": len(report.sums)}
    counts |= {"in_flight": report.in_flight.get(code, 0)}
    samples = [_sample(ctx, each) for each in _worst(report, problems)]
    if report.unsigned and code in _OF_SIGNED_AMOUNTS:
        return unknown(
            f"The profile's roles do not fit this ledger: {report.unsigned}. Name a column of signed amounts for this "
            'role under [ledger], or "" if there is none.',
            counts=counts,
        )
    if any(report.breaks.of[problem].count for problem in problems if problem.proves):
        sentences = [_told(ctx, report, problems), _why_not_all(report, code)]
        return failed(" ".join(filter(None, sentences)), counts=counts, samples=samples)
    if why := _why_not_all(report, code):
        return unknown(why, counts=counts)
    if samples:
        return unknown(f"Cannot be decided: {_told(ctx, report, problems)}", counts=counts, samples=samples)
    if not report.entries:
        return unknown(f"There is no entry{_whose(scope)}: nothing to explain.", counts=counts)
    read = f"{report.entries:,} entries of {report.partitions:,} accounts{_whose(scope)}"
    seen = f" {report.unseen}" if report.unseen else ""
    return passed(f"{well} ({read}).{_in_flight(report, code)}{seen}", counts=counts)


def _why_not_all(report: AuditReport, code: str) -> str:
    """Why what was read does not stand for all, a sentence; empty if it does."""
    if report.reasons:
        return f"Not all of the ledger was read: {_joined(report.reasons)}."
    if code == "L004" and report.trade_reasons:
        return f"Not all trades were compared: {_joined(report.trade_reasons)}."
    return _all_fresh(report) if code == "L007" else ""


def _all_fresh(report: AuditReport) -> str:
    """Why no sum over trades was judged, if there are trades."""
    fresh = sum(each.fresh for each in report.sums)
    if not fresh or any(each.trades for each in report.sums):
        return ""
    return (
        f"None of the {fresh:,} entries of trades is older than the grace period, so they prove nothing: is the column "
        "of the role time, under [ledger] in the profile, in milliseconds?"
    )


def _joined(reasons: tuple[str, ...]) -> str:
    return "; ".join(reason.rstrip(".") for reason in reasons)


def _in_flight(report: AuditReport, code: str) -> str:
    count = report.in_flight.get(code, 0)
    return f" {count:,} more looked wrong at first, and a second reading explained it." if count else ""


def _whose(scope: Scope) -> str:
    if scope.user_id is not None:
        return f" of user {scope.user_id}"
    return f", a sample of {scope.sample:,} token ranges of 4,096" if scope.sample is not None else ""


def _told(ctx: Context, report: AuditReport, problems: list[Problem]) -> str:
    """How many of each, and the first of all; the first fault, if there is one."""
    counts = {each.text: report.breaks.of[each].count for each in problems}
    found = {text: count for text, count in counts.items() if count}
    # Of one kind alone its number is said already.
    kinds = ", ".join(text if len(found) == 1 else f"{text} {count:,}" for text, count in found.items())
    total = sum(found.values())
    firsts = [each for each in (report.breaks.of[problem].first for problem in problems) if each]
    first = min(
        firsts,
        key=lambda each: (not each.problem.proves, each.time or 0, each.key[2] or 0),
        default=None,
    )
    faulty = any(each.proves for each in problems if each.text in found)
    one, many = ("break", "breaks") if faulty else ("entry", "entries")
    breaks = f"1 {one}" if total == 1 else f"{total:,} {many}"
    begins = f" The first: {_first(ctx, first)}." if first else ""
    return f"{breaks}: {kinds}.{begins}{_in_flight(report, problems[0].code)}"


def _first(ctx: Context, first: Break) -> str:
    _, _, order = first.key
    told = _sample(ctx, first)
    account = told.get("account")
    parts = [
        *([f"account {account}"] if account is not None else []),
        *([str(told["asset"])] if told["asset"] is not None else []),
        *([f"entry {order}"] if order is not None else []),
        str(told["of"]),
    ]
    there = "nothing" if told["found"] is None else told["found"]
    return f"{', '.join(parts)}: expected {told['expected']}, found {there}"


def _is_amount(each: Break) -> bool:
    return each.problem.code in ("L001", "L003", "L004", "L007") or each.what.startswith("delta")


def _worst(report: AuditReport, problems: list[Problem]) -> list[Break]:
    """The worst of each problem by turns, so that none hides another."""
    lists = [list(report.breaks.of[problem].worst) for problem in problems]
    turns = [each[number] for number in range(SAMPLE_LIMIT) for each in lists if number < len(each)]
    return turns[:SAMPLE_LIMIT]


def _sample(ctx: Context, each: Break) -> dict[str, Json]:
    account, asset, order = each.key
    # An asset as a whole is no account's, and no entry; a trade may lack its parties.
    of_account = account is not None or each.problem.code == "L004"
    return {
        "problem": each.problem.text,
        **({"account": as_json(account)} if of_account else {}),
        "asset": None if asset is None else label(asset, ctx.registry),
        **({"entry": order} if of_account else {}),
        "of": "time (UTC)" if each.problem is Problem.TIME else each.what,
        "expected": _EXPECTED.get(each.problem) or _shown(ctx, each, each.expected),
        "found": _shown(ctx, each, each.found),
    }


def _shown(ctx: Context, of: Break, value: object) -> Json:
    """An amount in whole units where the registry knows the asset, a time in UTC; else as it is stored."""
    known = ctx.registry.by_id(of.key[1])
    if of.problem is Problem.TIME and isinstance(value, int):
        return utc_text(value)
    if _is_amount(of) and known and isinstance(value, int):
        return _shortened(format_exact(value, known.decimals))
    # Python writes no int of more than 4,300 digits; a Decimal of it has no such bound.
    if isinstance(value, int) and value.bit_length() > _LONGEST:
        return _shortened(str(Decimal(value)))
    return _shortened(as_json(value))


def _shortened(value: Json) -> Json:
    """A long text by its two ends."""
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    half = _LONGEST // 2
    return f"{value[:half]}…{value[-half:]} ({len(value):,} characters)"
