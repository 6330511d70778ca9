"""The second demo exchange's data: always the same, and as its rules say."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from uuid import UUID

from balancebook.assets import exact_sum
from balancebook.demo import wallets
from balancebook.demo.wallets import Fill, JournalEntry, generate

RECORDS = list(generate())
ENTRIES = [each for each in RECORDS if isinstance(each, JournalEntry)]
FILLS = [each for each in RECORDS if isinstance(each, Fill)]


def by_account() -> dict[tuple[UUID, str], list[JournalEntry]]:
    found = defaultdict(list)
    for each in ENTRIES:
        found[each.owner, each.coin].append(each)
    return dict(found)


def test_it_is_always_the_same() -> None:
    assert [repr(each) for each in generate()] == [repr(each) for each in RECORDS]
    assert wallets.ENTRIES <= len(ENTRIES) < wallets.ENTRIES + 200


def test_every_account_adds_up() -> None:
    for entries in by_account().values():
        assert [each.entry_no for each in entries] == list(range(1, len(entries) + 1))
        assert entries[-1].balance == exact_sum(each.amount_change for each in entries)
        assert min(each.balance for each in entries) >= 0
        assert [each.booked_at for each in entries] == sorted(each.booked_at for each in entries)


def test_every_fill_has_its_four_entries() -> None:
    of_fill = defaultdict(set)
    for each in ENTRIES:
        if each.kind.startswith("trade"):
            of_fill[each.reference].add((each.owner, each.coin, each.amount_change))
    assert {fill.fill_id: legs(fill) for fill in FILLS} == dict(of_fill)
    # Equal amounts have other scales in either table.
    assert any(each.amount.as_tuple().exponent != -6 and str(each.amount).endswith("0") for each in FILLS)


def legs(fill: Fill) -> set[tuple[UUID, str, Decimal]]:
    return {
        (fill.bought_by, fill.paid_in, -fill.paid),
        (fill.bought_by, fill.coin, fill.amount),
        (fill.sold_by, fill.coin, -fill.amount),
        (fill.sold_by, fill.paid_in, fill.paid),
    }


def test_the_awkward_owners() -> None:
    accounts = by_account()
    for owner, coins in wallets.ENDS.items():
        assert {coin: accounts[owner, coin][-1].balance for coin in coins} == coins
        assert {coin for whose, coin in accounts if whose == owner} == set(coins)
    many = [coin for whose, coin in accounts if whose == wallets.MANY_COINS]
    assert len(many) == wallets.COINS
    assert len(accounts[wallets.DEEP, wallets.USDT]) == 2_000
    assert wallets.NOBODY not in {whose for whose, _ in accounts}
    # Finer, and larger, than 64 bits of a smallest unit hold.
    assert int(accounts[wallets.SEVERAL_COINS, wallets.SHIB][-1].balance.scaleb(18)) > 2**63
