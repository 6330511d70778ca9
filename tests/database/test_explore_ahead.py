"""Entries dated ahead of the clock, at it, or without a time, on a real server: one rule for every answer of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cassandra.cluster import Session
from matplotlib.figure import Figure

from balancebook.checks.context import Context
from balancebook.explore import Account, Everyone, holdings
from balancebook.explore.extract import Extract, make_extract
from balancebook.explore.form import Form
from balancebook.explore.newest import newest_entries
from balancebook.explore.place import source_of
from balancebook.explore.when import When, clock_now
from balancebook.moment import utc_text
from balancebook.settings import Profile
from checking import WHOLE, Ask, run_check

MINUTE = 60_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
AHEAD = {"10 minutes": 10 * MINUTE, "23 hours": 23 * HOUR, "2 days": 2 * DAY}
BTC, USDT = 1, 2
Booking = tuple[int, int, int, int | None, int | None]
"""Account, asset, seq, available in whole units, time."""


@pytest.fixture
def ctx(alone: Profile) -> Iterator[Context]:
    opened = Context(alone)
    yield opened
    opened.close()


@pytest.fixture
def book(session: Session, alone: Profile) -> Callable[..., None]:
    """book((account, asset, seq, whole units, time), ...): each moves the difference to the one before."""
    insert = session.prepare(
        f"INSERT INTO {alone.keyspace}.balance_ledger (user_id, asset_id, seq, avail, frozen, delta_avail, "
        "delta_frozen, event_type, created_at) VALUES (?, ?, ?, ?, 0, ?, 0, 'deposit', ?)"
    )

    def booked(*rows: Booking) -> None:
        stood: dict[tuple[int, int], int] = {}
        for account, asset, seq, units, when in rows:
            raw = None if units is None else units * WHOLE
            moved = (raw or 0) - stood.get((account, asset), 0)
            session.execute(insert, (account, asset, seq, raw, moved, when))
            stood[account, asset] = raw or 0

    return booked


def four(clock: int, ahead: int) -> list[Booking]:
    """Four accounts of 10 BTC, of which the first has 15 by an entry dated that much ahead."""
    past = [(account, BTC, 1, 10, clock - DAY) for account in (1, 2, 3, 4)]
    return [past[0], (1, BTC, 2, 15, clock + ahead), *past[1:]]


def one_page(ctx: Context, as_of: str | None = None, clock: int | None = None) -> dict[str, Any]:
    """What each part of the page says of account 1 and of BTC in all."""
    mine = Account(ctx, 1, as_of=as_of, clock=(lambda: clock) if clock is not None else clock_now)
    everyone: Any = Everyone(ctx, as_of)
    if clock is not None:
        everyone.__dict__["extract"] = make_extract(ctx, mine.moment, clock)
    there = everyone.extract.origin.entries
    holders = everyone.top_holders("BTC", 10) if there else pd.DataFrame({"account": [], "available": []})
    moved = mine.events()
    return {
        "balance": mine.balances()["available"].tolist(),
        "statement": mine.statement("BTC", 10)["available"].tolist()[:1],
        "history": mine.history("BTC")["available"].tolist()[-1:],
        "moved": [sum(moved["available moved"])] if len(moved) else [],
        "holder": holders[holders["account"] == 1]["available"].tolist(),
        "total": everyone.totals()["total"].tolist(),
        "top 1 %": everyone.concentration()["top 1 hold %"].tolist(),
        "listed": [len(mine.ahead()), len(everyone.ahead())],
    }


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD.keys())
def test_now_is_one_answer_on_the_whole_page(
    ctx: Context, book: Callable[..., None], session: Session, ahead: int
) -> None:
    book(*four(clock_now(), ahead))
    assert one_page(ctx) == {
        "balance": [15],
        "statement": [15],
        "history": [15],
        "moved": [15],
        "holder": [15],
        "total": [45],
        "top 1 %": [Decimal("33.33")],
        "listed": [1, 1],
    }
    # As the view answers, from which the gateway reads.
    ((available,),) = session.execute(
        f"SELECT avail FROM {ctx.keyspace}.user_balances_by_user WHERE user_id = 1 PER PARTITION LIMIT 1"
    )
    assert available == 15 * WHOLE
    assert run_check("Q003", ctx.profile, strategy="group_by", user_id=1).verdict.value == "pass"


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD.keys())
@pytest.mark.parametrize(("as_of", "mine"), [(-HOUR, 10), (-2 * DAY, None), (3 * DAY, 15), (5 * MINUTE, 10)])
def test_as_of_a_time_is_one_answer_too(
    ctx: Context, book: Callable[..., None], ahead: int, as_of: int, mine: int | None
) -> None:
    clock = clock_now()
    book(*four(clock, ahead))
    found = one_page(ctx, iso(clock + as_of))
    there = [] if mine is None else [mine]
    assert [found[each] for each in ("balance", "statement", "history", "moved", "holder")] == [there] * 5
    assert found["total"] == ([] if mine is None else [30 + mine])
    # The account names it whether or not it counts; the list of all accounts has those that count.
    assert found["listed"] == [1, int(mine == 15)]
    assert Account(ctx, 1, as_of=iso(clock + as_of)).ahead()["counted"].tolist() == [
        "1 of 1" if mine == 15 else "0 of 1"
    ]
    left_out = Everyone(ctx, iso(clock + as_of)).extract.origin.left_out
    assert left_out == int(mine != 15)


def test_an_entry_dated_exactly_at_the_clock_is_not_ahead(ctx: Context, book: Callable[..., None]) -> None:
    clock = clock_now()
    book(*four(clock, 0))
    at_it, before = one_page(ctx, clock=clock), one_page(ctx, clock=clock - 1)
    assert (at_it["listed"], before["listed"]) == ([0, 0], [1, 1])
    assert {key: each for key, each in at_it.items() if key != "listed"} == {
        key: each for key, each in before.items() if key != "listed"
    }
    assert one_page(ctx, iso(clock), clock)["balance"] == [15]
    assert one_page(ctx, iso(clock - 1), clock)["balance"] == [10]


def test_what_is_dated_ahead_is_named_with_what_it_changes(ctx: Context, book: Callable[..., None]) -> None:
    clock = clock_now()
    book(
        (1, BTC, 1, 10, clock - DAY),
        (1, BTC, 2, 11, clock + 10 * MINUTE),
        (1, BTC, 3, 12, clock + 2 * DAY),
        (1, BTC, 4, 9, clock + HOUR),
        (2, BTC, 1, 7, clock + HOUR),
        (2, BTC, 2, 8, clock + HOUR),
        (3, USDT, 1, 5, clock - HOUR),
        (3, USDT, 2, 6, clock + HOUR),
        (3, USDT, 3, 7, clock - MINUTE),
    )  # fmt: skip
    (mine,) = Account(ctx, 1).ahead().to_dict("records")
    assert mine == {
        "asset": "BTC",
        "entries": "2, 3, 4",
        "dated (UTC)": utc_text(clock + HOUR),
        "counted": "3 of 3",
        "available": 9,
        "available without": 10,
        "held": 0,
        "held without": 0,
    }
    assert Account(ctx, 1, as_of=iso(clock + 2 * HOUR)).ahead()["counted"].tolist() == ["2 of 3"]
    (only,) = Account(ctx, 2).ahead().to_dict("records")
    assert [only[each] for each in ("entries", "available", "available without")] == ["1, 2", 8, None]
    beneath = Account(ctx, 3).ahead()
    assert beneath.empty
    assert "followed by an entry that is not, so in every balance since: USDT 1" in beneath.attrs["note"]
    assert "BTC 3 of 3 counted" in Account(ctx, 1).balances().attrs["note"]

    found = Everyone(ctx).ahead()
    names = ["asset", "account", "entries", "newest", "available", "available without"]
    assert found[names].to_numpy().tolist() == [["BTC", 1, 3, 4, 9, 10], ["BTC", 2, 2, 2, 8, None]]
    assert "change BTC available by +7.00000000 and held by +0.00000000." in found.attrs["note"]
    assert "listed apart: 2." in Everyone(ctx).totals().attrs["note"]


def test_many_entries_ahead_are_read_to_the_last(ctx: Context, book: Callable[..., None]) -> None:
    clock = clock_now()
    book((1, BTC, 1, 1, clock - DAY), *((1, BTC, seq, seq, clock + seq) for seq in range(10_000, 10_040)))
    extract = make_extract(ctx, clock=clock)
    (row,) = holdings.ahead(extract, ctx.registry).to_dict("records")
    assert [row[each] for each in ("entries", "newest", "available without")] == [40, 10_039, 1]
    (mine,) = Account(ctx, 1, clock=lambda: clock).ahead().to_dict("records")
    assert mine["entries"] == "10000 to 10039: 40"


@pytest.mark.parametrize("recent", [True, False])
def test_both_ways_of_reading_find_the_same(ctx: Context, book: Callable[..., None], recent: bool) -> None:
    clock = clock_now()
    book(
        (1, BTC, 1, 1, clock - HOUR),
        (1, BTC, 2, 2, clock + HOUR),
        (2, BTC, 1, 3, clock - HOUR),
        (2, BTC, 2, 4, None),
        (3, BTC, 1, 5, None),
        (4, BTC, 1, 6, clock + 2 * HOUR),
        (5, BTC, 1, 7, clock - HOUR),
        (5, BTC, 2, 8, None),
        (5, BTC, 3, 9, clock + 3 * HOUR),
        (6, BTC, 1, None, clock),
    )  # fmt: skip

    def found(as_of: int | None) -> tuple[Any, ...]:
        parts = list(newest_entries(source_of(ctx), When(as_of, clock), 10**6, recent=recent))
        shown = {
            int(some.account[row]): int(some.order[row])
            for each in parts for some in each.shown for row in range(len(some))
        }  # fmt: skip
        leading = {
            int(one.shown.account[0]): (one.ahead, one.settled and int(one.settled.order[0]))
            for each in parts
            for one in each.leading
        }
        return shown, leading, sum(each.undated for each in parts), sum(each.left_out for each in parts)

    everyone = {1: 2, 2: 2, 3: 1, 4: 1, 5: 3, 6: 1}
    assert found(None) == (everyone, {1: (1, 1), 4: (1, None), 5: (1, 2)}, 2, 0)
    assert found(clock) == ({1: 1, 2: 1, 5: 1, 6: 1}, {}, 3, 3)
    assert found(clock + HOUR) == ({1: 2, 2: 1, 5: 1, 6: 1}, {1: (1, 1)}, 3, 2)
    assert found(clock + 9 * HOUR) == (
        {1: 2, 2: 1, 4: 1, 5: 3, 6: 1}, {1: (1, 1), 4: (1, None), 5: (1, 1)}, 2, 0,
    )  # fmt: skip


def test_an_entry_without_a_time_counts_now_and_not_as_of_a_time(
    ctx: Context, book: Callable[..., None]
) -> None:
    clock = clock_now()
    book((1, BTC, 1, 10, clock - DAY), (1, BTC, 2, 12, None))
    now, then = one_page(ctx), one_page(ctx, iso(clock))
    assert [now[each] for each in ("balance", "statement", "moved", "holder", "total")] == [[12]] * 5
    assert [then[each] for each in ("balance", "statement", "moved", "holder", "total")] == [[10]] * 5
    assert Account(ctx, 1).last_steps("BTC").attrs["note"].endswith(": 1 of its entries.")
    assert "do not count: 1." in Account(ctx, 1, as_of=iso(clock)).balances().attrs["note"]
    assert "without a time: 1." in Everyone(ctx).totals().attrs["note"]
    assert "does not count: 1." in Everyone(ctx, iso(clock)).totals().attrs["note"]


def test_stuck_and_dust_are_of_the_same_balances(
    ctx: Context, book: Callable[..., None], session: Session
) -> None:
    clock = clock_now()
    book((1, BTC, 1, 10, clock - 40 * DAY), (1, BTC, 2, 0, clock + DAY))
    table = f"{ctx.keyspace}.balance_ledger"
    session.execute(f"UPDATE {table} SET frozen = 5 WHERE user_id = 1 AND asset_id = 1 AND seq = 1")
    session.execute(f"UPDATE {table} SET frozen = 5 WHERE user_id = 1 AND asset_id = 1 AND seq = 2")
    now, then = Everyone(ctx), Everyone(ctx, iso(clock))
    assert [len(each.stuck(30)) for each in (now, then)] == [0, 1]
    assert [each.dust()["accounts"].tolist() for each in (now, then)] == [[1], [0]]


def test_the_form_and_the_file_follow_the_rule(
    ctx: Context, book: Callable[..., None], tmp_path: Path
) -> None:
    clock = clock_now()
    book(*four(clock, HOUR))
    shown = Shown()
    form = Form(shown, Account(ctx, 1))
    form.ask.click()
    assert [each["available"].tolist() for each in shown.tables] == [[15], [15, 10]]
    assert "BTC 1 of 1 counted" in shown.tables[0].attrs["note"]
    shown.tables.clear()
    form.as_of.value = iso(clock)
    form.ask.click()
    assert form.said.value == ""
    assert [each["available"].tolist() for each in shown.tables] == [[10], [10]]

    path = str(tmp_path / "x.parquet")
    written = Everyone(ctx, file=path).ahead()
    read = Everyone(replaced(ctx), file=path).ahead()
    pd.testing.assert_frame_equal(written, read)
    assert written.attrs == read.attrs


def test_nothing_ahead_is_said(ctx: Context, book: Callable[..., None]) -> None:
    book((1, BTC, 1, 10, 1_000))
    for found in (Account(ctx, 1).ahead(), Everyone(ctx).ahead()):
        assert found.empty
        assert found.attrs["note"] == "No balance rests on an entry dated ahead of the clock."


def test_an_older_file_is_read_and_says_what_it_lacks(ctx: Context, book: Callable[..., None]) -> None:
    book(*four(clock_now(), HOUR))
    today = make_extract(ctx)
    dropped = [name for name in today.table.column_names if name == "ahead" or name.startswith("settled")]
    older = Extract(today.table.drop_columns(dropped), replace(today.origin, schema_version=1))
    found = holdings.ahead(older, ctx.registry)
    assert found.empty
    assert "earlier version" in found.attrs["note"]


@pytest.mark.check("B001", "fail")
def test_a_negative_balance_dated_ahead_fails(ask: Ask, alone: Profile, book: Callable[..., None]) -> None:
    clock = clock_now()
    book((1, BTC, 1, 10, clock - DAY), (1, BTC, 2, -5, clock + 2 * DAY))
    found = ask("B001", alone)
    assert found.counts == {"balances": 1, "wrong": 1, "undated": 0, "ahead": 1, "left_out": 0}
    assert "account 1, BTC: available is negative." in found.message
    assert found.message.endswith("Resting on entries dated ahead of the clock: 1.")
    assert found.samples[0]["entry"] == 2


@pytest.mark.check("B001", "pass")
@pytest.mark.check("B001", "fail")
def test_one_dated_ahead_that_brings_it_above_zero_passes_and_is_named(
    ask: Ask, alone: Profile, book: Callable[..., None]
) -> None:
    clock = clock_now()
    book((1, BTC, 1, -5, clock - DAY), (1, BTC, 2, 10, clock + HOUR))
    found = ask("B001", alone)
    assert found.message.endswith("dated ahead of the clock: 1; negative without those: 1.")
    then = ask("B001", alone, as_of=iso(clock))
    assert (then.counts["wrong"], then.counts["left_out"]) == (1, 1)


@pytest.mark.check("B001", "pass")
@pytest.mark.check("B001", "unknown")
def test_a_balance_without_a_time_is_judged_now_and_not_as_of_a_time(
    ask: Ask, alone: Profile, book: Callable[..., None]
) -> None:
    book((1, BTC, 1, 10, 1_000), (1, BTC, 2, 12, None))
    assert ask("B001", alone).verdict.value == "pass"
    found = ask("B001", alone, as_of=iso(clock_now()))
    assert found.verdict.value == "unknown"
    assert "Of 1 balances a newer entry has no time" in found.message


@pytest.mark.check("B001", "pass")
def test_an_old_entry_without_a_time_is_no_reason_to_doubt_a_later_balance(
    ask: Ask, alone: Profile, book: Callable[..., None]
) -> None:
    clock = clock_now()
    book((1, BTC, 1, 10, None), (1, BTC, 2, 12, clock - 5 * DAY), (1, BTC, 3, 13, clock - DAY))
    assert ask("B001", alone, as_of=iso(clock - 2 * DAY)).counts["undated"] == 0


class Shown:
    """A book that keeps the tables that it is given."""

    def __init__(self) -> None:
        self.tables: list[pd.DataFrame] = []

    def show(self, source: pd.DataFrame, caption: str = "") -> None:
        assert caption
        self.tables.append(source)

    def figure(self, figure: Figure, caption: str) -> None:
        assert figure.axes
        assert caption


def iso(moment: int) -> str:
    """The moment as a person writes it."""
    return f"{utc_text(moment)}Z"


def replaced(ctx: Context) -> Context:
    """Another context of the same profile: it has made no extract yet."""
    return Context(ctx.profile)
