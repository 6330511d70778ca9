"""The sample's choice of accounts: the same from the same rows in any order, and each awkward sort if there is one."""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.assets import Asset, Registry
from balancebook.balances.survey import (
    DEEPEST,
    DRAWN,
    HELD_ONLY,
    MOST_ASSETS,
    ONE_ASSET,
    UNKNOWN_ASSET,
    Chosen,
    Newest,
    Survey,
    lot,
)

REGISTRY = Registry((Asset(1, "BTC", 8, 2), Asset(2, "ETH", 8, 2)))
AWKWARD = [
    Newest(101, 1, 5, 1, 0),
    Newest(101, 2, 5, 1, 0),
    Newest(101, 3, 5, 1, 0),
    Newest(102, 1, 7, 1, 0),
    Newest(103, 1, 20_000, 1, 0),
    Newest(103, 2, 1, 1, 0),
    Newest(104, 1, 8, 0, 9),
    Newest(104, 2, 8, 0, 0),
]
PLAIN = [Newest(user, asset, 30, 1, 0) for user in range(200, 260) for asset in (1, 2)]


def chosen(
    rows: Iterable[Newest],
    draws: int = 5,
    seed: int = 1,
    *,
    held_known: bool = True,
    order_known: bool = True,
) -> Chosen:
    survey = Survey(REGISTRY, draws, seed, held_known=held_known, order_known=order_known)
    for row in rows:
        survey.add(row)
    return survey.chosen()


def who(found: Chosen, why: str) -> list[object]:
    return [account for account, reasons in found.reasons.items() if why in reasons]


def test_each_awkward_sort_is_found() -> None:
    found = chosen([*PLAIN, *AWKWARD])
    assert who(found, MOST_ASSETS) == who(found, UNKNOWN_ASSET) == [101]
    assert who(found, ONE_ASSET) == [102]
    assert who(found, DEEPEST) == who(found, "order 10,000 to 99,999") == [103]
    assert who(found, HELD_ONLY) == [104]
    assert len(who(found, DRAWN)) == 5
    assert (found.accounts, found.missing) == (64, ())


def test_what_is_not_there_is_said() -> None:
    found = chosen(PLAIN)
    assert found.missing == tuple(
        f"{why}: there is no such account" for why in (ONE_ASSET, UNKNOWN_ASSET, HELD_ONLY)
    )
    assert not chosen([]).reasons
    blind = chosen([*PLAIN, *AWKWARD], held_known=False)
    assert blind.missing == (f"{HELD_ONLY}: not told, the ledger has no such column",)
    oldest = chosen([*PLAIN, *AWKWARD], order_known=False)
    assert [text.partition(":")[0] for text in oldest.missing] == [DEEPEST, HELD_ONLY]
    assert not who(oldest, DEEPEST)


@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(shuffled: random.Random, seed: int) -> None:
    rows = [*PLAIN, *AWKWARD]
    expected = chosen(rows, seed=seed)
    shuffled.shuffle(rows)
    assert chosen(rows, seed=seed) == expected
    # The least lots, by definition.
    least = sorted({row.account for row in rows}, key=lambda account: lot(account, seed))[:5]
    assert set(who(expected, DRAWN)) == set(least)


def test_another_seed_draws_others() -> None:
    assert len({tuple(who(chosen(PLAIN, seed=seed), DRAWN)) for seed in range(10)}) == 10


def test_of_too_many_accounts_the_sorts_that_need_all_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = chosen([*PLAIN, *AWKWARD])
    monkeypatch.setattr("balancebook.balances.survey.MOST_KEPT", 10)
    found = chosen([*PLAIN, *AWKWARD])
    assert found.accounts is None
    assert found.missing == (f"{MOST_ASSETS}, {ONE_ASSET}: not told, there are more than 10 accounts",)
    for why in (DEEPEST, UNKNOWN_ASSET, HELD_ONLY, DRAWN):
        assert who(found, why) == who(whole, why)


def test_accounts_and_money_of_other_types() -> None:
    one, two = UUID(int=1), UUID(int=2)
    found = chosen(
        [Newest(one, "BTC", 3, Decimal("0.0"), Decimal("0.5")), Newest(two, "ETH", 1, Decimal(1), None)],
        draws=1,
    )
    assert who(found, HELD_ONLY) == who(found, DEEPEST) == [one]
