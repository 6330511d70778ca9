"""What is asked of the base, and of a query, and how cells become entries."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from balancebook import balances
from balancebook.balances import Target
from balancebook.checks.answers import read_answer, settled_answer
from balancebook.checks.context import Context
from balancebook.checks.truth import Entry, Window, entries_between, newest_entries
from balancebook.errors import BalancebookError
from balancebook.settings import LedgerSchema, load_profile
from balancebook.store.cql.decoding import Undecoded
from balancebook.store.errors import StoreError

Row = tuple[Any, ...]


class Base:
    """Rows by account and asset, as a server gives them: newest first, or between two orders."""

    def __init__(self, rows: dict[tuple[Any, Any], list[Row]]) -> None:
        self.by_key, self.asked, self.waiting, self.most_waiting = rows, list[str](), 0, 0

    def execute_async(self, cql: str, values: Sequence[Any]) -> Any:
        self.asked.append(cql)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)

        def answered() -> list[Row]:
            self.waiting -= 1
            return self.by_key.get((values[0], values[1]), [])[:1]

        return SimpleNamespace(rows=answered)

    def rows(self, cql: str, values: Sequence[Any]) -> list[Row]:
        self.asked.append(cql)
        account, asset, low, high = values
        return [row for row in self.by_key.get((account, asset), []) if low <= row[0] <= high]


def context(base: Base, **ledger: Any) -> Context:
    profile = load_profile("embedded", env={})
    schema = LedgerSchema(**(profile.ledger.model_dump() | ledger))
    ctx = Context(profile.model_copy(update={"ledger": schema}), opener=lambda _: base, sleep=lambda _: None)  # type: ignore[arg-type, return-value]
    ctx.__dict__["target"] = Target("k", "view", "base", schema)
    return ctx


def test_the_newest_entry_of_each_asset_that_there_is() -> None:
    assets = list(range(70))
    base = Base({(5, asset): [(asset + 2, 10, 0, 7), (1, 1, 1, 1)] for asset in assets if asset % 10})
    found = newest_entries(context(base), 5, assets)
    assert found == {asset: Entry(asset + 2, 10, 0, 7) for asset in assets if asset % 10}
    assert len(base.asked) == 70
    assert base.most_waiting == 32
    assert base.asked[0] == (
        'SELECT "seq", "avail", "frozen", "created_at" FROM "k"."base" '
        'WHERE "user_id" = ? AND "asset_id" = ? ORDER BY "seq" DESC LIMIT 1'
    )
    assert newest_entries(context(base), 6, assets) == {}


def test_the_entries_between_two_orders() -> None:
    base = Base({(5, 1): [(order, 10 * order, 0, 7) for order in (9, 7, 5, 3)]})
    found = entries_between(context(base), 5, 1, 5, 7)
    assert base.asked[0].endswith('AND "seq" >= ? AND "seq" <= ?')
    assert found == [Entry(7, 70, 0, 7), Entry(5, 50, 0, 7)]


def test_roles_that_a_ledger_has_not_are_none() -> None:
    base = Base({(5, 1): [(9, 10)]})
    ctx = context(base, held=None, delta_held=None, time=None)
    assert newest_entries(ctx, 5, [1]) == {1: Entry(9, 10, None, None)}
    held = Base({(5, 1): [(9, 10, 4)]})
    assert newest_entries(context(held, time=None), 5, [1]) == {1: Entry(9, 10, 4, None)}
    timed = Base({(5, 1): [(9, 10, 1234)]})
    assert newest_entries(context(timed, held=None, delta_held=None), 5, [1]) == {1: Entry(9, 10, None, 1234)}


def test_a_cell_that_cannot_be_decoded_is_no_amount() -> None:
    for cells in ((9, Undecoded(b"x"), 1, 1), (9, 1, Undecoded(b"x"), 1), (Undecoded(b"x"), 1, 1, 1)):
        with pytest.raises(StoreError, match=r"^base\.(avail|frozen|seq) cannot be read: its value is 0x78"):
            newest_entries(context(Base({(5, 1): [cells]})), 5, [1])
    # A time is only shown.
    late = Undecoded(b"late")
    assert newest_entries(context(Base({(5, 1): [(9, 1, 1, late)]})), 5, [1])[1].time == late


def test_nulls_are_none_but_without_an_order_there_is_no_entry() -> None:
    ctx = context(Base({(5, 1): [(9, None, None, None)]}))
    assert newest_entries(ctx, 5, [1]) == {1: Entry(9, None, None, None)}
    # A partition that holds a static cell alone is sent as such a row.
    assert newest_entries(context(Base({(5, 1): [(None, None, None, None)]})), 5, [1]) == {}


def test_a_window_keeps_its_beginning_and_looks_at_all_that_it_knows() -> None:
    base = Base({(5, asset): [(asset, 1, 1, 1)] for asset in (1, 2, 3, 4)})
    begun = {1: Entry(0, 0, 0, 0)}
    window = Window(begun, {2: Entry(0, 0, 0, 0)}).extended(context(base), 5, [3])
    assert window.before is begun
    assert window.after == {asset: Entry(asset, 1, 1, 1) for asset in (1, 2, 3)}


def answered(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> Context:
    frame = pd.DataFrame(rows, columns=["asset", "order", "available", "held", "time"], dtype=object)
    monkeypatch.setattr(balances, "read", lambda *_: frame)
    return context(Base({(5, 1): [(9, 1, 1, 1)]}))


def test_an_answer_s_cells_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = answered(
        monkeypatch, (np.int32(1), np.int64(2**62), np.int64(7), pd.NA, None), (2, 3, 10**30, 0, b"x")
    )
    found = read_answer(ctx, "group_by", 5, ())
    assert found == {1: Entry(2**62, 7, None, None), 2: Entry(3, 10**30, 0, b"x")}
    assert [type(cell) for cell in (next(iter(found)), found[1].order, found[1].available)] == [int, int, int]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1, 2, 3, 4, 5), (1, 3, 3, 4, 5)], "group_by returned an asset twice"),
        ([(None, 2, 3, 4, 5)], "A key column came back null"),
        ([(1, pd.NA, 3, 4, 5)], "A key column came back null"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, rows: list[Row], said: str
) -> None:
    with pytest.raises(BalancebookError, match=said):
        read_answer(answered(monkeypatch, *rows), "group_by", 5, ())


def test_an_answer_is_asked_again_after_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = answered(monkeypatch, (1, 9, 1, 1, 1))
    slept: list[float] = []
    ctx.sleep = slept.append
    begun = {2: Entry(1, 1, 1, 1)}
    answer, window = settled_answer(ctx, Window(begun, begun), "group_by", 5, ())
    assert slept == [ctx.grace_s]
    assert answer == {1: Entry(9, 1, 1, 1)}
    assert window == Window(begun, {1: Entry(9, 1, 1, 1)})
