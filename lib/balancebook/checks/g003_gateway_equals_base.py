"""G003 gateway_equals_base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from balancebook.assets import Registry, format_amount, label, to_units
from balancebook.checks.answers import NOT_ALIKE, NOT_IN_BASE, lasting, overdue, read_answer
from balancebook.checks.base import Finding, check, enumerated, failed, passed, unknown
from balancebook.checks.context import Context
from balancebook.checks.shown import is_zero, shown_balances, zeros_are_listed
from balancebook.checks.truth import Entry, Window, assets_in_base, entries_between, newest_entries
from balancebook.gateway import GatewayAnswer, GatewayBalance
from balancebook.store.health import view_health
from balancebook.verdict import Json

# None where the base has a null, which no amount equals: a zero would be made up.
Shown = tuple[Decimal | None, Decimal | None]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The base's assets and amounts that were right at some moment of the window, and the gateway's answer."""

    right: Mapping[str, Sequence[Shown]]
    # Those that were there before the question: an asset credited since then may or may not be in the answer.
    expected: frozenset[str]
    answer: GatewayAnswer
    # Assets that were zero at some moment of the window: they may be left out, unless the gateway lists zeros.
    zero: frozenset[str] = frozenset()

    def problems(self) -> list[dict[str, Json]]:
        """What differs, worst first: lost assets, amounts that were never right, assets not in the base."""
        given = {balance.asset: balance for balance in self.answer.balances}
        lost = [
            name
            for name in self.right
            if name in self.expected and name not in given and name not in self.zero
        ]
        wrong = [
            name for name in self.right if name in given and not _is_right(given[name], self.right[name])
        ]
        extra = [name for name in given if name not in self.right and not _is_nothing(given[name])]
        kinds = [("lost", lost), ("wrong amount", wrong), (NOT_IN_BASE, extra)]
        return [self._sample(name, kind, given.get(name)) for kind, names in kinds for name in names]

    def _sample(self, name: str, kind: str, given: GatewayBalance | None) -> dict[str, Json]:
        base = self.right[name][-1] if name in self.right else None
        return {
            "asset": name,
            "problem": kind,
            "base": _text(base),
            "gateway": _given(given),
        }


@check("G003", "gateway_equals_base")
def gateway_equals_base(ctx: Context, *, user_id: int | str, assets_from: str = "scan") -> Finding:
    """Does the gateway return every asset of the user, with exactly the base's amounts?

    The gateway reads the view, and what it leaves out raises no error. The base is asked independently, asset by
    asset; amounts are compared as exact decimals, and a null of the base is no zero. A difference counts only if it
    outlives the grace period. Zero equals absent, unless the profile says that the gateway lists zeros. Nothing shown
    where nothing is to be shown is unknown: G004 asks that.
    """
    account = ctx.account(user_id)
    listed = assets_in_base(ctx, account, assets_from)
    before = newest_entries(ctx, account, listed.assets)
    comparison = _compare(ctx, user_id, account, Window(before, before))
    problems = comparison.problems()
    if problems:
        ctx.sleep(ctx.grace_s)
        first, comparison = comparison, _compare(ctx, user_id, account, Window(before, before))
        earlier = replace(first, right=comparison.right).problems()
        now = comparison.problems()
        problems = lasting(earlier, now, "asset", "problem")
        if not problems and (late := overdue(now)):
            return unknown(f"{_sentence(late)} It was {NOT_ALIKE}.", samples=late)
    counts = {
        "assets_in_base": len(comparison.right),
        "assets_returned": len(comparison.answer.balances),
        "lost": sum(problem["problem"] == "lost" for problem in problems),
        "wrong": len(problems),
    }
    if not comparison.right and not problems:
        return unknown(
            f"The gateway shows nothing for user {user_id}, who has no asset to show. {listed.note}",
            counts=counts,
        )
    if not problems:
        equal = f"All {counts['assets_in_base']} assets of user {user_id} equal the base."
        return passed(f"{equal}{_not_compared(ctx)} {listed.note}", counts=counts)
    return failed(f"{_sentence(problems)}{_why(ctx, account, comparison)}", counts=counts, samples=problems)


def _compare(ctx: Context, user_id: int | str, account: Any, window: Window) -> _Comparison:
    answer = shown_balances(ctx, user_id)
    looked_at = {label(asset, ctx.registry) for asset in window.after}
    more: Sequence[Any] = ()
    if any(balance.asset not in looked_at for balance in answer.balances):
        # Booked since the base was scanned: what a gateway can show stands in the view, or in the registry.
        more = assets_in_base(ctx, account, "known").assets
    window = window.extended(ctx, account, more)
    right = {
        label(asset, ctx.registry): _right_amounts(ctx, account, asset, window) for asset in window.after
    }
    expected = frozenset(label(asset, ctx.registry) for asset in window.before)
    zero = {name for name, amounts in right.items() if any(is_zero(ctx, *each) for each in amounts)}
    return _Comparison(right, expected, answer, frozenset(() if zeros_are_listed(ctx) else zero))


def _right_amounts(ctx: Context, account: Any, asset: Any, window: Window) -> list[Shown]:
    """The amounts after each entry from the window's beginning to its end, oldest first."""
    last = window.after[asset]
    first = window.before.get(asset, last)
    entries = (
        [last] if first.order == last.order else entries_between(ctx, account, asset, first.order, last.order)
    )
    if not ctx.ledger.held:
        # A ledger that holds nothing back has no null there either.
        entries = [replace(entry, held=0) for entry in entries]
    return [_amounts(entry, asset, ctx.registry) for entry in sorted(entries, key=lambda entry: entry.order)]


def _amounts(entry: Entry, asset: Any, registry: Registry) -> Shown:
    """As the gateway must show them: whole units, or raw units for an asset that the registry does not know."""
    available, held = (
        None if raw is None else to_units(raw, asset, registry) for raw in (entry.available, entry.held)
    )
    return available, held


def _is_nothing(given: GatewayBalance) -> bool:
    return given.available == 0 and not given.held


def _is_right(given: GatewayBalance, right: Iterable[Shown]) -> bool:
    """Whether the amounts were the base's at some moment; where the gateway shows none held, by the others alone."""
    shown = given.available, given.held
    return any(
        shown == ((available, None) if given.held is None else (available, held)) for available, held in right
    )


def _text(amounts: Shown | None) -> str | None:
    if amounts is None:
        return None
    available, held = ("null" if amount is None else format_amount(amount) for amount in amounts)
    return f"{available} (held {held})"


def _given(balance: GatewayBalance | None) -> str | None:
    if balance is None:
        return None
    # A gateway that shows no held amounts says nothing of them; a null it cannot show.
    shown = balance.available, balance.held
    return format_amount(balance.available) if balance.held is None else _text(shown)


def _not_compared(ctx: Context) -> str:
    if ctx.gateway_settings.fields.held is not None or ctx.ledger.held is None:
        return ""
    return " Held amounts are not compared: the gateway shows none."


def _sentence(problems: Iterable[Mapping[str, Json]]) -> str:
    grouped: dict[str, list[str]] = {}
    for problem in problems:
        grouped.setdefault(str(problem["problem"]), []).append(str(problem["asset"]))
    return "; ".join(f"{kind}: {enumerated(names)}" for kind, names in grouped.items()) + "."


def _why(ctx: Context, account: Any, comparison: _Comparison) -> str:
    """The cause, where it can be shown: the answer is exactly what one row per view partition gives, and one row per
    asset gives another. Of a view that is not built nothing is concluded of the query."""
    given = {balance.asset: balance for balance in comparison.answer.balances}
    lost = [name for name in comparison.expected - comparison.zero if name not in given]
    if not (given and lost):
        return ""
    health = view_health(ctx.reader, ctx.keyspace, ctx.profile.view)
    if health.state in ("building", "missing"):
        return f" By the server the view is {'being built' if health.state == 'building' else 'missing'}: see V003."
    partition = [column.name for column in ctx.view.partition_key]
    if partition != [ctx.ledger.account] or not _is_answer(ctx, account, "seed_limit_one", given):
        return ""
    if _is_answer(ctx, account, "group_by", given):
        return " The view has no other row of this user: it is the view that differs from the base, see V005."
    return (
        f" The answer is what PER PARTITION LIMIT 1 on the view gives: one row per partition, and the view's"
        f" partition is {ctx.ledger.account} alone, so one asset per user. Ask for one row per asset instead:"
        f" GROUP BY {ctx.ledger.account}, {ctx.ledger.asset}."
    )


def _is_answer(ctx: Context, account: Any, strategy: str, given: Mapping[str, GatewayBalance]) -> bool:
    """Whether the query on the view now returns exactly these balances, amounts included."""
    rows = {
        label(asset, ctx.registry): _amounts(
            replace(entry, held=0) if ctx.ledger.held is None else entry, asset, ctx.registry
        )
        for asset, entry in read_answer(ctx, strategy, account, ()).items()
    }
    return rows.keys() == given.keys() and all(_is_right(given[name], [row]) for name, row in rows.items())
