"""Every strategy held against the base for every account of a sample, cell by cell: read once, for tables and Q004."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from balancebook.assets import label
from balancebook.balances import STRATEGIES, AccountRefused
from balancebook.balances.cost import Cost, measure, spread
from balancebook.balances.sample import Sample, Sampled, draw
from balancebook.checks.answers import NOT_ALIKE, Answer, lasting, overdue, read_answer
from balancebook.checks.context import Context
from balancebook.checks.q001_latest_row_set import judge_set
from balancebook.checks.q003_latest_row_values import judge_cells
from balancebook.checks.truth import Entry, Window, entries_between, newest_entries
from balancebook.errors import BalancebookError
from balancebook.verdict import Json, Verdict, merge


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found of one strategy's answer for one account: each problem with asset, problem, base and answer."""

    verdict: Verdict
    problems: tuple[dict[str, Json], ...] = ()
    why: str = ""
    rows: int = 0


@dataclass(frozen=True)
class Judged:
    """The sample, and a judgement of each strategy for each of its accounts; `error` if there is no sample."""

    sample: Sample = field(default_factory=Sample)
    by_strategy: Mapping[str, Mapping[Any, Judgement]] = field(default_factory=dict)
    error: str = ""

    def verdict(self, strategy: str) -> Verdict:
        """Wrong once is wrong; right only if it was seen to be right for every account."""
        judgements = self.by_strategy.get(strategy, {})
        return merge(each.verdict for each in judgements.values()) if judgements else Verdict.UNKNOWN

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Every strategy's, in the order of the registry."""
        return {name: self.verdict(name) for name in STRATEGIES}

    @property
    def notes(self) -> str:
        """What is in the sample and what is not; or why there is none."""
        return (
            f"No sample: {self.error}"
            if self.error
            else " ".join((*self.sample.notes, self.sample.blind_spot))
        )


def judge(
    ctx: Context,
    *,
    user_id: int | str,
    unknown_user_id: int | str,
    sample: int,
    seed: int,
    assets_from: str = "scan",
) -> Judged:
    """Draws the sample (see balances.sample.draw) and judges every strategy by it, as Q001 and Q003 do.

    What looks wrong is asked again once, after one grace period for all. Nothing that cannot be read is raised: it is
    unknown. A strategy that could not be read for one account is not asked for the others. Raises AccountRefused for an
    account that the ledger cannot have.
    """
    try:
        account, nobody = ctx.account(user_id), ctx.account(unknown_user_id, "unknown_user_id")
        drawn = draw(
            ctx.reader,
            ctx.target,
            ctx.registry,
            named=account,
            nobody=nobody,
            size=sample,
            seed=seed,
            assets_from=assets_from,
        )
    except AccountRefused:
        raise
    except BalancebookError as error:
        return Judged(error=str(error))
    return Judged(drawn, _judged(ctx, drawn.accounts))


@dataclass(frozen=True, slots=True)
class _Look:
    """One strategy's answer for an account, what the base said meanwhile, and what is wrong by that."""

    answer: Answer
    window: Window
    rows: list[dict[str, Json]]
    cells: list[dict[str, Json]]

    @property
    def suspect(self) -> bool:
        return bool(self.rows or self.cells)


_Looks = dict[str, _Look | Judgement]


def _judged(ctx: Context, accounts: Sequence[Sampled]) -> dict[str, dict[Any, Judgement]]:
    first = list(_first_looks(ctx, accounts))
    if any(isinstance(look, _Look) and look.suspect for _, looks in first for look in looks.values()):
        ctx.sleep(ctx.grace_s)
    settled = [(of.account, _settled(ctx, of, looks)) for of, looks in first]
    return {name: {account: found[name] for account, found in settled} for name in STRATEGIES}


def _first_looks(ctx: Context, accounts: Iterable[Sampled]) -> Iterator[tuple[Sampled, _Looks]]:
    """What each strategy answers for each account; one that could not be read is not asked again."""
    unread: dict[str, str] = {}
    for of in accounts:
        looks: _Looks = {name: Judgement(Verdict.UNKNOWN, why=why) for name, why in unread.items()}
        looks |= _look(ctx, of, [name for name in STRATEGIES if name not in unread])
        for name, look in looks.items():
            if isinstance(look, Judgement):
                unread.setdefault(name, f"not asked, since {of.account} could not be read")
        yield of, looks


def _look(
    ctx: Context, of: Sampled, strategies: Sequence[str], before: Mapping[Any, Entry] | None = None
) -> _Looks:
    """The answers of these strategies, between two readings of the base that serve all of them."""
    answers: dict[str, Answer] = {}
    looks: _Looks = {}
    try:
        start = dict(newest_entries(ctx, of.account, of.assets) if before is None else before)
        for name in strategies:
            try:
                answers[name] = read_answer(ctx, name, of.account, of.assets)
            except BalancebookError as error:
                looks[name] = Judgement(Verdict.UNKNOWN, why=f"could not be read: {error}")
        named = {asset for answer in answers.values() for asset in answer}
        window = Window(start, start).extended(ctx, of.account, named)
        return looks | {name: _held(ctx, of, answer, window) for name, answer in answers.items()}
    except BalancebookError as error:
        why = f"the base could not be read: {error}"
        return {name: Judgement(Verdict.UNKNOWN, why=why) for name in strategies}


def _held(ctx: Context, of: Sampled, answer: Answer, window: Window) -> _Look:
    """An answer held against the base: the set of its rows as Q001 does, their cells as Q003 does."""
    base = {asset: _entry(ctx, of, asset, row.order, window) for asset, row in answer.items()}
    cells = judge_cells(answer, base, lambda asset: label(asset, ctx.registry))
    return _Look(answer, window, judge_set(answer, window, ctx.registry), cells)


def _entry(ctx: Context, of: Sampled, asset: Any, order: Any, window: Window) -> Entry | None:
    newest = window.after.get(asset)
    if newest and newest.order == order:
        return newest
    return next(iter(entries_between(ctx, of.account, asset, order, order)), None)


def _settled(ctx: Context, of: Sampled, first: _Looks) -> dict[str, Judgement]:
    """The judgements of an account; suspects are read again, and what lasts is wrong."""
    suspects = {name: look for name, look in first.items() if isinstance(look, _Look) and look.suspect}
    second: _Looks = {}
    if suspects:
        before = next(iter(suspects.values())).window.before
        second = _look(ctx, of, list(suspects), before)
    found = {}
    for name, look in first.items():
        again = second.get(name)
        if isinstance(look, Judgement):
            found[name] = look
        elif again is None:
            found[name] = Judgement(Verdict.PASS, rows=len(look.answer))
        elif isinstance(again, Judgement):
            found[name] = Judgement(Verdict.UNKNOWN, why=f"looked wrong, and then {again.why}")
        else:
            found[name] = _lasting(ctx, of, look, again)
    return found


def _lasting(ctx: Context, of: Sampled, first: _Look, second: _Look) -> Judgement:
    earlier = _held(ctx, of, first.answer, second.window)
    rows = lasting(earlier.rows, second.rows, "asset", "problem")
    problems = tuple(_problems(rows, lasting(earlier.cells, second.cells, "asset")))
    if not problems and overdue((*second.rows, *second.cells)):
        return Judgement(Verdict.UNKNOWN, why=NOT_ALIKE, rows=len(second.answer))
    return Judgement(Verdict.FAIL if problems else Verdict.PASS, problems, rows=len(second.answer))


def _problems(
    rows: Iterable[Mapping[str, Json]], cells: Iterable[Mapping[str, Json]]
) -> Iterator[dict[str, Json]]:
    named = set()
    for row in rows:
        named.add(row["asset"])
        yield {
            "asset": row["asset"],
            "problem": row["problem"],
            "base": row["base_order"],
            "answer": row["answer_order"],
        }
    for cell in cells:
        if cell["column"] is not None:
            problem = f"{cell['column']} not as in the base"
            yield {"asset": cell["asset"], "problem": problem, "base": cell["base"], "answer": cell["answer"]}
        elif cell["asset"] not in named:
            yield {
                "asset": cell["asset"],
                "problem": "no such row in the base",
                "base": None,
                "answer": cell["order"],
            }


@dataclass(frozen=True)
class Measured:
    """The costs, and what is not known of them and why: each reason once."""

    costs: tuple[Cost, ...]
    unknown: tuple[str, ...]


def measured(ctx: Context, judged: Judged, *, trace: bool, repeats: int) -> Measured:
    """What each strategy costs for accounts spread over the sample's depths, the named one among them (see
    balances.cost); unread is unknown."""
    try:
        chosen = spread(judged.sample.accounts)
        costs = measure(ctx.reader, ctx.target, chosen, trace=trace, repeats=repeats)
    except BalancebookError as error:
        return Measured((), (str(error),))
    return Measured(tuple(costs), tuple(dict.fromkeys(cost.why for cost in costs if cost.why)))
