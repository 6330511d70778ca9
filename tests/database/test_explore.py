"""One account on a real server: what its statement, history and counterparties are, held against what was booked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from cassandra.cluster import Session
from matplotlib.figure import Figure

from balancebook.assets import label, to_units
from balancebook.checks.context import Context
from balancebook.demo.generate import LedgerEntry
from balancebook.errors import BalancebookError
from balancebook.explore import Account
from balancebook.explore.as_of import as_of_entry, as_of_time
from balancebook.explore.entries import entries_of
from balancebook.explore.form import Form, show_form
from balancebook.settings import Profile, retarget
from balancebook.store.errors import StoreError
from checking import unreachable
from small_exchange import ENTRIES, SETTLED, filled

TRADER, USDT = 1001, 2
MINE = [each for each in ENTRIES if each.user_id == TRADER]


@pytest.fixture(scope="module")
def ctx(session: Session, impatient: Profile) -> Iterator[Context]:
    name = f"explored_{os.getpid()}"
    filled(session, name)
    opened = Context(retarget(impatient, keyspace=name))
    yield opened
    opened.close()


def newest(some: list[LedgerEntry]) -> dict[int, LedgerEntry]:
    return {each.asset_id: each for each in sorted(some, key=lambda each: each.seq)}


def whole(ctx: Context, raw: int, asset: int) -> Decimal:
    return to_units(raw, asset, ctx.registry)


def test_a_statement_is_every_entry_page_by_page(ctx: Context) -> None:
    booked = sorted((each for each in MINE if each.asset_id == USDT), key=lambda each: -each.seq)
    mine, before, seen = Account(ctx, TRADER), None, list[tuple[Any, ...]]()
    for _ in range(-(-len(booked) // 7)):
        page = mine.statement("USDT", 7, before)
        seen += [tuple(row) for row in page.itertuples(index=False)]
        before = int(page["entry"].iloc[-1])
    amounts = ("delta_avail", "delta_frozen", "avail", "frozen")
    assert [(row[0], row[2], *row[3:7], row[7]) for row in seen] == [
        (each.seq, each.event_type, *(whole(ctx, getattr(each, name), USDT) for name in amounts), each.ref_id)
        for each in booked
    ]
    assert page.attrs["note"].startswith("All")
    assert "before = " in mine.statement("USDT", 7).attrs["note"]


def test_balances_are_those_of_the_time_or_the_entry(ctx: Context) -> None:
    moments = [MINE[0].created_at - 1, MINE[0].created_at, MINE[len(MINE) // 2].created_at, 2**62]
    for moment in moments:
        found = as_of_time(ctx, TRADER, (1, 2, 3, 77), moment)
        then = newest([each for each in MINE if each.created_at <= moment])
        assert {row.asset: (row.available, row.held, row.entry, row.time) for row in found.itertuples()} == {
            asset: (each.avail, each.frozen, each.seq, each.created_at) for asset, each in then.items()
        }
    third = next(each for each in MINE if (each.asset_id, each.seq) == (USDT, 3))
    for entry, available in {3: [third.avail], 0: [], 2**63 - 1: [newest(MINE)[USDT].avail]}.items():
        assert as_of_entry(ctx, TRADER, USDT, entry)["available"].tolist() == available


def test_the_kinds_of_entries_add_up_to_the_balance(ctx: Context) -> None:
    found = Account(ctx, TRADER).events()
    now = {
        label(asset, ctx.registry): (whole(ctx, each.avail, asset), whole(ctx, each.frozen, asset))
        for asset, each in newest(MINE).items()
    }
    sums = {
        asset: (sum(some["available moved"]), sum(some["held moved"]))
        for asset, some in found.groupby("asset")
    }
    assert sums == now
    assert sum(found["entries"]) == len(MINE)


def test_counterparties_are_those_of_the_settled_trades(ctx: Context) -> None:
    mine = [each for each in SETTLED if TRADER in (each.buyer_id, each.seller_id)]
    assert mine
    found = Account(ctx, TRADER).counterparties()
    assert sum(found["trades"]) == len(mine)
    bought = sum(each.quantity for each in mine if each.buyer_id == TRADER and each.base_asset_id == 1)
    shown = found[found["pair"] == "BTC/USDT"]
    assert sum(shown["bought"]) == whole(ctx, bought, 1)
    assert set(found["counterparty"]) == {each.buyer_id + each.seller_id - TRADER for each in mine}
    assert found.attrs["note"] == ""


def test_a_cap_is_said(ctx: Context) -> None:
    some = entries_of(ctx, TRADER, (1, USDT), most=5)
    assert some.groupby("asset").size().to_dict() == {1: 5, USDT: 5}
    assert some.attrs["more"] == (1, USDT)
    assert {str(some[name].dtype) for name in ("entry", "time", "available", "delta_held")} == {"Int64"}


def test_a_trade_that_is_not_there_is_named(ctx: Context, session: Session) -> None:
    mine = next(each for each in SETTLED if TRADER in (each.buyer_id, each.seller_id))
    session.execute(f"DELETE FROM {ctx.keyspace}.settled_trades WHERE trade_id = {mine.trade_id}")
    try:
        note = Account(ctx, TRADER).counterparties().attrs["note"]
        assert note == f"Entries name 1 trades that are not there: {mine.trade_id}."
    finally:
        names, places = ", ".join(mine._fields), ", ".join(["%s"] * len(mine))
        session.execute(f"INSERT INTO {ctx.keyspace}.settled_trades ({names}) VALUES ({places})", tuple(mine))


def test_the_year_10000_and_a_null_are_shown(ctx: Context, session: Session) -> None:
    session.execute(
        f"INSERT INTO {ctx.keyspace}.balance_ledger (user_id, asset_id, seq, avail, created_at) VALUES "
        f"(5, 77, 1, {2**63 - 1}, {2**63 - 1})"
    )
    (entry,) = entries_of(ctx, 5, (77,)).astype(object).to_dict("records")
    assert [entry[name] for name in ("entry", "available", "time")] == [1, 2**63 - 1, 2**63 - 1]
    assert all(pd.isna(entry[name]) for name in ("held", "delta_held", "type", "reference"))
    (row,) = as_of_time(ctx, 5, (77,), None).itertuples(index=False)
    assert tuple(row) == (77, 2**63 - 1, None, 1, 2**63 - 1)
    session.execute(f"DELETE FROM {ctx.keyspace}.balance_ledger WHERE user_id = 5 AND asset_id = 77")


def test_who_has_nothing_gets_empty_tables(ctx: Context) -> None:
    nobody = Account(ctx, 424242)
    assert nobody.balances().empty
    assert nobody.events().empty
    assert nobody.counterparties().empty


def test_what_cannot_be_read_is_an_error(ctx: Context) -> None:
    away = Context(unreachable(ctx.profile))
    with pytest.raises(StoreError):
        Account(away, TRADER).balances()
    timeless = ctx.profile.model_copy(update={"ledger": ctx.profile.ledger.model_copy(update={"time": None})})
    other = Context(timeless)
    with pytest.raises(BalancebookError, match="no column for the time"):
        Account(other, TRADER, as_of="2025-06-01T00:00:00Z").balances()
    other.close()


class Shown:
    """A book that notes what it is given to show."""

    def __init__(self) -> None:
        self.tables: list[tuple[str, pd.DataFrame]] = []
        self.figures: list[str] = []

    def show(self, source: pd.DataFrame, caption: str = "") -> None:
        self.tables.append((caption, source))

    def figure(self, figure: Figure, caption: str) -> None:
        assert figure.axes
        self.figures.append(caption)


def asked(form: Form, **fields: str) -> str:
    """What the form says after these fields were filled in and its button was pressed, if it could not answer."""
    for name, value in fields.items():
        getattr(form, name).value = value
    form.ask.click()
    return str(form.said.value)


def test_the_form_asks_about_another_account_asset_and_time(ctx: Context) -> None:
    book = Shown()
    form = Form(book, Account(ctx, TRADER))
    assert asked(form) == ""
    assert [caption for caption, _ in book.tables] == ["Balances of 1001.", "Statement of BTC."]
    assert book.figures == ["BTC over time"]
    book.tables.clear()
    assert asked(form, account="1004", asset="USDT", as_of="2025-06-01T00:00:00Z") == ""
    assert book.tables[0][0] == "Balances of 1004 as of 2025-06-01T00:00:00Z."
    (balance,) = [row for row in book.tables[0][1].itertuples() if row.asset == "USDT"]
    deep = [e for e in ENTRIES if (e.user_id, e.asset_id) == (1004, USDT) and e.created_at <= 1748736000000]
    assert balance.entry == deep[-1].seq
    assert set(form.asset.options) == {"BTC", "USDT"}


def test_the_form_says_what_cannot_be_asked(ctx: Context) -> None:
    form = Form(Shown(), Account(ctx, TRADER))
    for fields, said in (
        ({"account": "alice"}, "which is no bigint"),
        ({"account": "1001", "asset": "BTX"}, "There is no asset 'BTX' here"),
        (
            {"asset": "", "as_of": "2025-06-01T00:00"},
            "is not a time or a date. Write it like 2025-06-01T00:00:00",
        ),
    ):
        assert said in asked(form, **fields)
    assert asked(form, as_of="") == ""
    assert asked(form, account="999999") == "999999 has no asset in the ledger."


def test_the_form_answers_when_the_notebook_has_run_to_its_end(ctx: Context) -> None:
    book = Shown()
    form = Form(book, Account(ctx, TRADER))
    assert asked(form) == ""
    ctx.close()
    book.tables.clear()
    assert asked(form, account="1004") == ""
    assert [caption for caption, _ in book.tables] == ["Balances of 1004.", "Statement of BTC."]


def test_what_the_form_says_is_text(ctx: Context) -> None:
    assert "&lt;b&gt;" in asked(Form(Shown(), Account(ctx, TRADER)), account="<b>")


def test_where_nobody_watches_there_is_no_form(ctx: Context, capsys: pytest.CaptureFixture[str]) -> None:
    show_form(Shown(), Account(ctx, TRADER))
    assert "JupyterLab" in capsys.readouterr().out
