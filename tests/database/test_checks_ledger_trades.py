"""What a missing cell or a lost trade entry comes to, in each scope of an audit, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.assets import format_exact, parse_amount, to_raw
from balancebook.balances import AssetList
from balancebook.checks import CHECKS, audited
from balancebook.checks.context import Context
from balancebook.checks.sums import asset_sums
from balancebook.checks.truth import assets_in_base
from balancebook.demo.generate import LedgerEntry, SettledTrade
from balancebook.demo.schema import LEDGER, TRADES
from balancebook.settings import Profile
from balancebook.verdict import Verdict
from checking import Ask, run_check
from ledger_books import CODES, USDT, Books, all_checks, named
from small_exchange import ENTRIES, SETTLED

CELLS = ("buyer_id", "seller_id", "base_asset_id", "quote_asset_id", "quantity", "quote_amount")


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("cell", "scope"),
    [*((cell, {}) for cell in CELLS), ("seller_id", {"user_id": 1001}), ("quantity", {"sample": 64})],
)
def test_a_trade_that_lacks_a_cell_is_named_by_one_check_alone(
    alone: Profile, books: Books, cell: str, scope: dict[str, Any]
) -> None:
    trade = next(each for each in SETTLED if each.buyer_id == 1001)
    books.run(f"UPDATE {{trades}} SET {cell} = null WHERE trade_id = %s", trade.trade_id)
    ctx = Context(alone)
    try:
        codes = [code for code in CODES if code != "L007" or not scope]
        found = {code: CHECKS[code].run(ctx, **scope) for code in codes}
        assert len(asset_sums(ctx, **scope)) > 0
    finally:
        ctx.close()
    failed = found.pop("L004")
    assert {result.verdict for result in found.values()} == {Verdict.PASS}, found
    assert failed.verdict is Verdict.FAIL
    roles = dict(
        zip(CELLS, ("buyer", "seller", "base_asset", "quote_asset", "quantity", "quote_amount"), strict=True)
    )
    [sample] = failed.samples
    assert (sample["problem"], sample["of"]) == ("incomplete trade", f"trade {trade.trade_id}: {roles[cell]}")
    assert (sample["expected"], sample["found"]) == ("a value", None)
    assert f"trade {trade.trade_id}: {roles[cell]}" in failed.message


def test_a_trade_of_an_id_and_a_buyer_alone_is_named(alone: Profile, books: Books) -> None:
    books.run("INSERT INTO {trades} (trade_id, buyer_id) VALUES (10, 1001)")
    books.run("INSERT INTO {trades} (trade_id) VALUES (11)")
    found = all_checks(alone)
    failed = found.pop("L004")
    assert {result.verdict for result in found.values()} == {Verdict.PASS}, found
    rest = "seller, base_asset, quote_asset, quantity, quote_amount"
    assert {(each["account"], each["asset"], each["of"]) for each in failed.samples} == {
        (1001, None, f"trade 10: {rest}"),
        (None, None, f"trade 11: buyer, {rest}"),
    }
    assert failed.counts["incomplete_trade"] == 2
    gone = all_checks(alone, sleep=lambda _: books.run("DELETE FROM {trades} WHERE trade_id IN (10, 11)"))
    assert (gone["L004"].verdict, gone["L004"].counts["in_flight"]) == (Verdict.PASS, 2)


def test_a_null_is_not_the_user_or_the_trade_0(alone: Profile, books: Books) -> None:
    """Both sides with a null where the other has 0: they are not equal."""
    books.write(LedgerEntry(0, 1, 1, 5, 0, 5, 0, "trade_credit", 0, 1))
    books.run(
        "INSERT INTO {trades} (trade_id, base_asset_id, quote_asset_id, quantity, quote_amount) "
        "VALUES (0, 1, 1, 5, 5)"
    )
    result = run_check("L004", alone)
    assert result.verdict is Verdict.FAIL
    assert result.counts["incomplete_trade"] == 1
    books.run("DELETE FROM {trades} WHERE trade_id = 0")
    books.run("UPDATE {ledger} SET ref_id = null WHERE user_id = 0 AND asset_id = 1 AND seq = 1")
    result = run_check("L004", alone)
    assert [(each["problem"], each["account"], each["entry"], each["of"]) for each in result.samples] == [
        ("incomplete entry", 0, 1, "trade None: reference")
    ]


NULLS = {
    "avail": {"L001": "fail", "L003": "unknown"},
    "frozen": {"L001": "fail", "L003": "unknown"},
    "delta_avail": {"L001": "fail", "L006": "unknown", "L007": "unknown"},
    "delta_frozen": {"L001": "fail", "L006": "unknown", "L007": "unknown"},
    "event_type": {"L006": "fail", "L007": "unknown"},
    "ref_id": {},
    "created_at": {"L005": "unknown"},
}


@pytest.mark.check("L003", "unknown")
@pytest.mark.check("L005", "unknown")
@pytest.mark.check("L006", "unknown")
@pytest.mark.parametrize("scope", [{}, {"user_id": 1001}])
def test_an_entry_that_lacks_a_cell_is_of_those_checks_that_need_it(
    ask: Ask, alone: Profile, books: Books, scope: dict[str, int]
) -> None:
    entry = next(
        each for each in ENTRIES if each.user_id == 1001 and each.event_type == "deposit" and each.seq < 8
    )
    key = (entry.user_id, entry.asset_id, entry.seq)
    for cell, expected in NULLS.items():
        books.run(
            f"UPDATE {{ledger}} SET {cell} = null WHERE user_id = %s AND asset_id = %s AND seq = %s", *key
        )
        ctx = Context(alone)
        codes = [code for code in CODES if code != "L007" or not scope]
        found = {code: ask(code, alone, within=ctx, **scope) for code in codes}
        ctx.close()
        wrong = {code: str(each.verdict) for code, each in found.items() if each.verdict is not Verdict.PASS}
        assert wrong == {code: verdict for code, verdict in expected.items() if code in found}, cell
        for code in wrong:
            [sample] = found[code].samples
            assert (sample["account"], sample["entry"], sample["found"]) == (1001, entry.seq, None)
            assert (
                f"account 1001, {sample['asset']}, entry {entry.seq}, {sample['of']}" in found[code].message
            )
        books.write(entry)
    # The demo's view needs none of them, and neither does the sum of what one asset has.
    assert {result.verdict for result in all_checks(alone).values()} == {Verdict.PASS}


def test_an_entry_of_a_trade_that_lacks_a_cell_is_named_beside_the_trade(
    alone: Profile, books: Books
) -> None:
    trade = next(each for each in SETTLED if each.buyer_id == 1001)
    entry = next(
        each for each in ENTRIES if each.ref_id == trade.trade_id and each.event_type == "trade_credit"
    )
    books.run(
        "UPDATE {ledger} SET delta_frozen = null WHERE user_id = %s AND asset_id = %s AND seq = %s",
        *(entry.user_id, entry.asset_id, entry.seq),
    )
    result = run_check("L004", alone)
    assert result.verdict is Verdict.FAIL
    found = {(each["problem"], each["account"], each["entry"], each["of"]) for each in result.samples}
    assert found == {
        ("incomplete entry", entry.user_id, entry.seq, f"trade {trade.trade_id}: delta_held"),
        ("no such entry", entry.user_id, None, f"trade {trade.trade_id}"),
    }


@pytest.mark.usefixtures("books")
def test_what_is_wrong_with_the_trades_is_of_their_check_alone(alone: Profile, session: Session) -> None:
    """A table whose amounts are text, a column that is not there, trades that lack everything."""
    table = f"{alone.keyspace}.swaps"
    session.execute(
        f"CREATE TABLE {table} (trade_id bigint PRIMARY KEY, buyer_id bigint, seller_id bigint, base_asset_id int, "
        "quote_asset_id int, quantity text, quote_amount bigint)"
    )
    for number in range(3):
        session.execute(f"INSERT INTO {table} (trade_id) VALUES ({number})")
    trades = alone.trades
    for change, said in (
        ({"table": "swaps"}, "quantity (quantity) is text, which holds no exact amounts"),
        ({"buyer": "payer"}, "has no column payer (buyer)"),
        ({"table": "swaps", "quantity": "quote_amount"}, "incomplete trade"),
    ):
        profile = alone.model_copy(update={"trades": trades.model_copy(update=change)})
        found = all_checks(profile)
        result = found.pop("L004")
        assert {each.verdict for each in found.values()} == {Verdict.PASS}, found
        assert result.verdict is (Verdict.FAIL if "incomplete" in said else Verdict.UNKNOWN)
        assert said in result.message


@pytest.fixture
def varints(session: Session, keyspace: str, alone: Profile) -> Profile:
    """A ledger and trades whose amounts are varints."""
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.user_balances_by_user")
    for name in (LEDGER, TRADES):
        session.execute(f"DROP TABLE {keyspace}.{name}")
    money = ", ".join(f"{name} varint" for name in ("delta_avail", "delta_frozen", "avail", "frozen"))
    session.execute(
        f"CREATE TABLE {keyspace}.{LEDGER} (user_id bigint, asset_id int, seq bigint, {money}, event_type text, "
        "ref_id bigint, created_at bigint, PRIMARY KEY ((user_id, asset_id), seq))"
    )
    session.execute(
        f"CREATE TABLE {keyspace}.{TRADES} (trade_id bigint PRIMARY KEY, buyer_id bigint, seller_id bigint, "
        "base_asset_id int, quote_asset_id int, quantity varint, quote_amount varint)"
    )
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.user_balances_by_user AS SELECT user_id, asset_id, seq, avail, frozen, "
        f"created_at FROM {keyspace}.{LEDGER} WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL "
        "PRIMARY KEY (user_id, asset_id, seq)"
    )
    return alone


@pytest.mark.parametrize("digits", [64, 70, 5_000])
def test_the_last_digit_of_a_varint_counts(varints: Profile, session: Session, digits: int) -> None:
    books = Books(session, varints.keyspace)
    much, price = 10**digits, 10**digits + 7
    insert = session.prepare(
        f"INSERT INTO {varints.keyspace}.{LEDGER} ({', '.join(LedgerEntry._fields)}) "
        f"VALUES ({', '.join('?' * len(LedgerEntry._fields))})"
    )
    for entry in (
        LedgerEntry(1, 2, 1, price, 0, price, 0, "deposit", 1, 1),
        LedgerEntry(1, 2, 2, -price, price, 0, price, "lock", 2, 2),
        LedgerEntry(1, 2, 3, 0, -price, 0, 0, "trade_debit", 9, 3),
        LedgerEntry(1, 1, 1, much, 0, much, 0, "trade_credit", 9, 3),
        LedgerEntry(2, 1, 1, much, 0, much, 0, "deposit", 1, 1),
        LedgerEntry(2, 1, 2, -much, much, 0, much, "lock", 2, 2),
        LedgerEntry(2, 1, 3, 0, -much, 0, 0, "trade_debit", 9, 3),
        LedgerEntry(2, 2, 1, price, 0, price, 0, "trade_credit", 9, 3),
    ):
        session.execute(insert, entry)
    trade = session.prepare(
        f"INSERT INTO {varints.keyspace}.{TRADES} (trade_id, buyer_id, seller_id, base_asset_id, quote_asset_id, "
        "quantity, quote_amount) VALUES (9, 1, 2, 1, 2, ?, ?)"
    )
    session.execute(trade, (much, price))
    found = all_checks(varints)
    assert {result.verdict for result in found.values()} == {Verdict.PASS}, found
    session.execute(trade, (much + 1, price))
    result = run_check("L004", varints)
    assert result.verdict is Verdict.FAIL
    assert (result.counts["no_such_entry"], result.counts["no_such_trade"]) == (2, 2)
    books.run("TRUNCATE {trades}")
    assert all_checks(varints)["L004"].counts["no_such_trade"] == 4
    ctx = Context(varints)
    assert set(asset_sums(ctx)["conserves"]) == {"yes"}
    ctx.close()


def test_an_asset_that_is_not_conserved_is_named(alone: Profile, books: Books) -> None:
    books.entry(1001, 1, "trade_credit", 3, ref_id=10**12)
    books.entry(1002, 3, "deposit", 5, avail=books.balance(1002, 3) + 6)
    result = run_check("L007", alone)
    assert result.verdict is Verdict.FAIL
    found = {(each["asset"], each["of"]): (each["expected"], each["found"]) for each in result.samples}
    assert found["BTC", "trades"] == ("0", "0.00000003")
    apart = [to_raw(parse_amount(str(each)), 8) for each in found["ETH", "newest balances"]]
    assert set(found) == {("BTC", "trades"), ("ETH", "newest balances")}
    assert apart[1] - apart[0] == 1
    assert "account" not in result.samples[0]


@pytest.mark.usefixtures("coarse")
def test_one_user_or_a_sample(alone: Profile, books: Books) -> None:
    mine = books.entry(1001, 1, "deposit", 5, avail=7)
    books.entry(1002, 3, "deposit", 5, avail=7)
    spare = books.entry(1001, 2, "trade_credit", 1, ref_id=10**12)
    # Of a part, a trade is asked for only if an entry names it: this one's buyer has none.
    bought = next(each for each in SETTLED if each.buyer_id == 1001)
    books.run(
        "DELETE FROM {ledger} WHERE user_id = 1001 AND asset_id = %s AND seq = %s",
        USDT,
        debit_of(bought),
    )
    found = run_check("L001", alone, user_id=1001)
    assert {(each["account"], each["asset"]) for each in found.samples} == {(1001, "BTC"), (1001, "USDT")}
    assert (1001, mine.seq) in {(each["account"], each["entry"]) for each in found.samples}
    trades = run_check("L004", alone, user_id=1001)
    assert named(trades) == [
        ("no such entry", 1001, "USDT", None, format_exact(-bought.quote_amount, 8), None),
        ("no such trade", 1001, "USDT", spare.seq, "nothing", "0.00000001"),
    ]
    assert run_check("L001", alone, user_id=1004).message.endswith("accounts of user 1004).")
    known = run_check("L001", alone, user_id=1004, assets_from="known")
    assert known.verdict is Verdict.PASS
    assert known.message.endswith("; not seen: an asset of the base that none of these three holds.")
    assert run_check("L001", alone, user_id=424242).verdict is Verdict.UNKNOWN
    everywhere = run_check("L001", alone, sample=64)
    assert everywhere.samples == run_check("L001", alone).samples
    some = run_check("L001", alone, sample=8)
    assert 0 < some.counts["entries"] < everywhere.counts["entries"]


@pytest.mark.usefixtures("coarse")
def test_all_that_an_account_has_of_an_asset_can_be_missing(alone: Profile, books: Books) -> None:
    """Of an asset that the base has no entry of, nobody asks; the account's trades name it."""
    books.run("DELETE FROM {ledger} WHERE user_id = 1001 AND asset_id = 1")
    legs = [
        party
        for each in SETTLED
        for party in (each.buyer_id, each.seller_id)
        if (party, each.base_asset_id) == (1001, 1)
    ]
    for scope in ({}, {"user_id": 1001}, {"user_id": 1001, "assets_from": "known"}, {"sample": 64}):
        result = run_check("L004", alone, **scope)
        assert (result.verdict, result.counts["no_such_entry"]) == (Verdict.FAIL, len(legs)), scope
        assert {each[:3] for each in named(result)} == {("no such entry", 1001, "BTC")}
    for scope in ({"user_id": 1002}, {"user_id": 1002, "assets_from": "known"}):
        assert run_check("L004", alone, **scope).verdict is Verdict.PASS, scope


def test_an_asset_that_nobody_asked_for_is_read_for_the_trades_that_name_it(
    monkeypatch: pytest.MonkeyPatch, alone: Profile, books: Books
) -> None:
    """As where an account trades in it for the first time just after it was asked which assets there are."""
    del books

    def without_bitcoin(*asked: Any) -> AssetList:
        found = assets_in_base(*asked)
        return replace(found, assets=tuple(each for each in found.assets if each != 1))

    monkeypatch.setattr(audited, "assets_in_base", without_bitcoin)
    result = run_check("L004", alone, user_id=1001)
    assert result.verdict is Verdict.PASS, result


FILLS = (
    "trade_id bigint, fill int, buyer_id bigint, seller_id bigint, base_asset_id int, quote_asset_id int, "
)
FILL = 10**12
_HAS = {(each.user_id, each.asset_id) for each in ENTRIES}
SELLER = next(user for user, _ in sorted(_HAS) if user > 1001 and {(user, 1), (user, USDT)} <= _HAS)


@pytest.fixture
def filled_twice(alone: Profile, books: Books, session: Session) -> Callable[[str], Profile]:
    """filled_twice(key) -> a ledger of one trade more: two equal fills, each with its entries. key: of the trades."""

    def made(key: str) -> Profile:
        session.execute(
            f"CREATE TABLE {alone.keyspace}.fills ({FILLS} quantity bigint, quote_amount bigint, PRIMARY KEY ({key}))"
        )
        names = "trade_id, buyer_id, seller_id, base_asset_id, quote_asset_id, quantity, quote_amount"
        for each in SETTLED:
            _fill(session, alone.keyspace, names, 0, [getattr(each, name) for name in names.split(", ")])
        for fill in (1, 2):
            _fill(session, alone.keyspace, names, fill, [FILL, 1001, SELLER, 1, USDT, 10, 20])
            books.entry(1001, USDT, "trade_debit", 0, -20, ref_id=FILL)
            books.entry(1001, 1, "trade_credit", 10, ref_id=FILL)
            books.entry(SELLER, 1, "trade_debit", 0, -10, ref_id=FILL)
            books.entry(SELLER, USDT, "trade_credit", 20, ref_id=FILL)
        trades = alone.trades.model_copy(update={"table": "fills"})
        return alone.model_copy(update={"trades": trades})

    return made


def _fill(session: Session, keyspace: str, names: str, fill: int, values: list[int]) -> None:
    places = ", ".join(["%s"] * (len(values) + 1))
    session.execute(f"INSERT INTO {keyspace}.fills ({names}, fill) VALUES ({places})", (*values, fill))


@pytest.mark.usefixtures("coarse")
def test_two_equal_fills_of_a_trade_are_two(filled_twice: Callable[[str], Profile], session: Session) -> None:
    profile = filled_twice("trade_id, fill")
    scopes: tuple[tuple[dict[str, Any], int], ...] = (({}, 4), ({"user_id": 1001}, 2), ({"sample": 64}, 4))
    for scope, _ in scopes:
        assert run_check("L004", profile, **scope).verdict is Verdict.PASS, scope
    session.execute(f"DELETE FROM {profile.keyspace}.fills WHERE trade_id = {FILL} AND fill = 2")
    for scope, spare in scopes:
        result = run_check("L004", profile, **scope)
        assert (result.verdict, result.counts["no_such_trade"]) == (Verdict.FAIL, spare), scope
        assert result.counts["no_such_entry"] == 0


def test_fills_that_lie_apart_are_compared_only_as_a_whole(
    filled_twice: Callable[[str], Profile], session: Session
) -> None:
    profile = filled_twice("fill, trade_id")
    assert run_check("L004", profile).verdict is Verdict.PASS
    result = run_check("L004", profile, user_id=1001)
    assert result.verdict is Verdict.UNKNOWN
    assert (
        '"fills" cannot be asked for single trades: its partition key is fill, not trade_id' in result.message
    )
    session.execute(f"DELETE FROM {profile.keyspace}.fills WHERE trade_id = {FILL} AND fill = 2")
    result = run_check("L004", profile)
    found = result.verdict, result.counts["no_such_trade"], result.counts["no_such_entry"]
    assert found == (Verdict.FAIL, 4, 0)


def debit_of(trade: SettledTrade) -> int:
    """The entry that takes the buyer's money."""
    return next(
        each.seq
        for each in ENTRIES
        if (each.ref_id, each.user_id, each.asset_id) == (trade.trade_id, trade.buyer_id, USDT)
    )
