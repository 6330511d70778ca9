"""L001 to L007 on real ledgers: sound, broken entry by entry, read in part, with entries that arrive meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.assets import format_exact, parse_amount, to_raw
from balancebook.balances import AssetList, read
from balancebook.checks import CHECKS, NotAsked, audited
from balancebook.checks.context import Context
from balancebook.checks.sums import asset_sums
from balancebook.checks.truth import assets_in_base
from balancebook.demo.generate import LedgerEntry, SettledTrade
from balancebook.demo.schema import LEDGER, TRADES
from balancebook.ledger import audit as ledger_audit
from balancebook.ledger import reading
from balancebook.ledger.breaks import Findings, Problem
from balancebook.ledger.reading import Manner, Reading
from balancebook.ledger.source import Source
from balancebook.moment import utc_text
from balancebook.settings import LedgerSchema, Profile, retarget
from balancebook.verdict import Result, Verdict
from checking import WHOLE, Ask, capped, run_check, unreachable
from small_exchange import ENTRIES, SETTLED, filled

CODES = ("L001", "L002", "L003", "L004", "L005", "L006", "L007")
USDT = 2


@pytest.fixture(scope="module")
def sound(session: Session, impatient: Profile) -> Profile:
    """A ledger that adds up."""
    name = f"sound_ledger_{os.getpid()}"
    filled(session, name)
    return retarget(impatient, keyspace=name)


class Books:
    """Writes entries at the end of accounts, as the application would, and damages what is there."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session, self._keyspace = session, keyspace
        self._last = {(each.user_id, each.asset_id): each for each in ENTRIES}

    def entry(
        self, user: int, asset: int, kind: str, available: int, held: int = 0, **other: Any
    ) -> LedgerEntry:
        last = self._last[user, asset]
        made = LedgerEntry(
            user,
            asset,
            last.seq + 1,
            available,
            held,
            last.avail + available,
            last.frozen + held,
            kind,
            other.get("ref_id", -1),
            last.created_at + 1,
        )._replace(**other)
        self.write(made)
        self._last[user, asset] = made
        return made

    def write(self, made: LedgerEntry) -> None:
        names, places = ", ".join(made._fields), ", ".join(["%s"] * len(made))
        self._session.execute(f"INSERT INTO {self._keyspace}.{LEDGER} ({names}) VALUES ({places})", made)

    def balance(self, user: int, asset: int) -> int:
        return self._last[user, asset].avail

    def run(self, cql: str, *values: object) -> None:
        names = {"ledger": f"{self._keyspace}.{LEDGER}", "trades": f"{self._keyspace}.{TRADES}"}
        self._session.execute(cql.format(**names), values)


@pytest.fixture
def books(session: Session, keyspace: str) -> Books:
    filled(session, keyspace)
    return Books(session, keyspace)


def named(result: Result) -> list[tuple[Any, ...]]:
    names = ("problem", "account", "asset", "entry", "expected", "found")
    return [tuple(sample[name] for name in names) for sample in result.samples]


@pytest.mark.check("L001", "pass")
@pytest.mark.check("L002", "pass")
@pytest.mark.check("L003", "pass")
@pytest.mark.check("L004", "pass")
@pytest.mark.check("L005", "pass")
@pytest.mark.check("L006", "pass")
@pytest.mark.check("L007", "pass")
def test_a_sound_ledger(ask: Ask, sound: Profile) -> None:
    found = all_checks(sound, ask)
    for result in found.values():
        assert result.verdict is Verdict.PASS, result
        assert result.counts["entries"] == len(ENTRIES)
        assert result.counts["accounts"] == len({(each.user_id, each.asset_id) for each in ENTRIES})
        assert result.counts["in_flight"] == 0
    assert found["L004"].counts["trades"] == len(SETTLED)


@pytest.mark.check("L001", "fail")
@pytest.mark.check("L002", "fail")
@pytest.mark.check("L003", "fail")
@pytest.mark.check("L004", "fail")
@pytest.mark.check("L005", "fail")
@pytest.mark.check("L006", "fail")
@pytest.mark.check("L007", "fail")
def test_each_break_is_named(ask: Ask, alone: Profile, books: Books) -> None:
    wrong = books.entry(1001, 1, "deposit", WHOLE, avail=7)
    books.entry(1001, 1, "deposit", WHOLE, avail=7 + WHOLE)
    gap = books.entry(1001, 2, "deposit", 1, seq=10_000)
    poor = books.entry(1002, 3, "withdraw", -(10**12))
    back = books.entry(1003, 1, "deposit", 1, created_at=5)
    odd = books.entry(1003, 2, "deposit", -3)
    nothing = books.entry(1003, 1, "unlock", 5, -5, ref_id=-77, created_at=10**13)
    spare = books.entry(1005, 1, "trade_credit", 3 * WHOLE, ref_id=10**12)
    lost = SETTLED[5]._replace(trade_id=10**13)
    books.run(
        f"INSERT INTO {{trades}} ({', '.join(lost._fields)}) VALUES ({', '.join(['%s'] * len(lost))})", *lost
    )
    known = alone.registry
    assert known.by_id(1)
    found = all_checks(alone, ask)
    assert {result.verdict for result in found.values()} == {Verdict.FAIL}
    before = wrong.delta_avail
    last = next(each for each in reversed(ENTRIES) if (each.user_id, each.asset_id) == (1001, 1))
    assert before == WHOLE
    assert named(found["L001"]) == [
        ("does not add up", 1001, "BTC", wrong.seq, f"{(last.avail + WHOLE) // WHOLE}", "0.00000007")
    ]
    assert "The first: account 1001, BTC, entry" in found["L001"].message
    assert named(found["L002"]) == [
        ("gap", 1001, "USDT", 10_000, gap_before(1001, 2) + 1, 10_000),
    ]
    assert [each[:4] for each in named(found["L003"])] == [("negative", 1002, "ETH", poor.seq)]
    former = utc_text(back_before(1003, 1))
    assert named(found["L005"]) == [
        ("time goes back", 1003, "BTC", back.seq, former, "1970-01-01 00:00:00.005")
    ]
    assert {each[:5] for each in named(found["L006"])} == {
        ("impossible movement", 1003, "USDT", odd.seq, "what its type moves"),
        ("nothing was locked", 1003, "BTC", nothing.seq, "nothing"),
    }
    of_trades = named(found["L004"])
    assert [each for each in of_trades if each[0] == "no such trade"] == [
        ("no such trade", 1005, "BTC", spare.seq, "nothing", "3")
    ]
    legs = {(user, asset) for user in (lost.buyer_id, lost.seller_id) for asset in (lost.base_asset_id, USDT)}
    assert {(each[1], each[2]) for each in of_trades if each[0] == "no such entry"} == {
        (user, known.by_id(asset).symbol)  # type: ignore[union-attr]
        for user, asset in legs
    }
    assert found["L004"].counts["no_such_entry"] == 4
    assert gap.seq == 10_000


def gap_before(user: int, asset: int) -> int:
    return max(each.seq for each in ENTRIES if (each.user_id, each.asset_id) == (user, asset))


def back_before(user: int, asset: int) -> int:
    return max(each.created_at for each in ENTRIES if (each.user_id, each.asset_id) == (user, asset))


@pytest.mark.check("L001", "unknown")
@pytest.mark.check("L002", "unknown")
@pytest.mark.check("L003", "unknown")
@pytest.mark.check("L004", "unknown")
@pytest.mark.check("L005", "unknown")
@pytest.mark.check("L006", "unknown")
@pytest.mark.check("L007", "unknown")
def test_less_than_the_whole_ledger_decides_nothing(ask: Ask, sound: Profile) -> None:
    for result in all_checks(capped(sound, len(ENTRIES) - 1), ask).values():
        assert result.verdict is Verdict.UNKNOWN, result
        assert f"more rows than the budget of {len(ENTRIES) - 1:,}" in result.message
    assert ask("L001", unreachable(sound)).verdict is Verdict.UNKNOWN


def test_what_a_second_reading_explains_was_in_flight(alone: Profile, books: Books) -> None:
    """An entry that overtakes the one before it, and a trade whose entries come a moment later."""
    books.entry(1001, 1, "deposit", 5, seq=10_001)
    gone = "DELETE FROM {ledger} WHERE user_id = 1001 AND asset_id = 1 AND seq = 10001"
    healed = run_check("L002", alone, sleep=lambda _: books.run(gone))
    assert (healed.verdict, healed.counts["in_flight"]) == (Verdict.PASS, 1)
    assert "1 more looked wrong at first" in healed.message
    last = books.entry(1002, 3, "deposit", 5, avail=1)
    changed = "UPDATE {ledger} SET avail = 2 WHERE user_id = 1002 AND asset_id = 3 AND seq = %s"
    # What it is now nobody has seen twice.
    found = all_checks(alone, sleep=lambda _: books.run(changed, last.seq))
    assert (found["L001"].verdict, found["L001"].counts["in_flight"]) == (Verdict.PASS, 1)
    # Of a whole asset one knows that it was off both times, only not by how much.
    assert (found["L007"].verdict, found["L007"].counts["in_flight"]) == (Verdict.UNKNOWN, 0)
    assert "keeps changing" in found["L007"].message
    assert run_check("L001", alone).verdict is Verdict.FAIL
    half = books.entry(1003, 1, "trade_credit", 5, ref_id=10**12)
    gone = "DELETE FROM {ledger} WHERE user_id = 1003 AND asset_id = 1 AND seq = %s"
    trade = run_check("L004", alone, sleep=lambda _: books.run(gone, half.seq))
    assert (trade.verdict, trade.counts["in_flight"]) == (Verdict.PASS, 1)


def test_trades_that_go_on_in_equal_amounts_are_no_breaks(alone: Profile, books: Books) -> None:
    """Their entries are read at different moments, so the sum is always off, and by chance by as much as before."""
    now = int(time.time() * 1000)
    for _ in range(2):
        books.entry(1001, 1, "trade_credit", 3, ref_id=10**12, created_at=now)
    result = run_check("L007", alone)
    assert (result.verdict, result.counts["does_not_conserve"]) == (Verdict.PASS, 0)
    # A grace period later they are due.
    due = retarget(alone.model_copy(update={"grace_s": 0.0}), keyspace=alone.keyspace)
    result = run_check("L007", due)
    assert (result.verdict, result.counts["does_not_conserve"]) == (Verdict.FAIL, 1)


def test_the_newest_trade_of_a_ledger_that_stands_still_is_judged(alone: Profile, books: Books) -> None:
    """A second reading goes by the ledger's own clock, which stands still as well."""
    newest = max(each.created_at for each in ENTRIES)
    books.entry(1001, 1, "trade_credit", 3, ref_id=10**12, created_at=newest)
    result = run_check("L007", alone)
    assert (result.verdict, result.counts["does_not_conserve"]) == (Verdict.FAIL, 1)


@pytest.mark.parametrize(("years", "verdict"), [(0, Verdict.PASS), (100, Verdict.UNKNOWN)])
def test_trades_of_which_all_are_dated_ahead_prove_nothing(
    alone: Profile, session: Session, years: int, verdict: Verdict
) -> None:
    """As where the column of times holds microseconds."""
    at = 1_700_000_000_000 + years * 365 * 86_400_000
    moves = (
        (1, 1, 100, 100, "deposit", 1),
        (1, 2, -5, 95, "trade_debit", at),
        (2, 1, 5, 5, "trade_credit", at + 1),
    )
    for user, seq, delta, stands, kind, created_at in moves:
        session.execute(
            f"INSERT INTO {alone.keyspace}.{LEDGER} (user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, "
            f"event_type, ref_id, created_at) "
            f"VALUES ({user}, 1, {seq}, {delta}, 0, {stands}, 0, '{kind}', 1, {created_at})"
        )
    result = run_check("L007", alone)
    assert result.verdict is verdict, result
    assert ("None of the 2 entries of trades is older" in result.message) is (verdict is Verdict.UNKNOWN)


def test_what_the_first_reading_did_not_see_is_not_explained_by_the_second(
    monkeypatch: pytest.MonkeyPatch, alone: Profile, books: Books
) -> None:
    """A range that could not be read at first may hold breaks, which nobody has seen twice."""
    books.entry(1001, 1, "deposit", 5, avail=7)
    books.entry(1002, 3, "deposit", 5, seq=10_000)
    real, readings = reading.read_all, list[Reading]()

    def read_all(source: Source, manner: Manner) -> Reading:
        found = real(source, manner)
        if not readings:
            found.breaks.of[Problem.SUM] = Findings()
            found.reasons.append("One range could not be read")
        readings.append(found)
        return found

    monkeypatch.setattr(ledger_audit, "read_all", read_all)
    found = all_checks(alone)
    assert len(readings) == 2
    for code, result in found.items():
        assert result.verdict is (Verdict.FAIL if code == "L002" else Verdict.UNKNOWN), result
        assert "Not all of the ledger was read: One range could not be read." in result.message


def test_a_partition_that_holds_a_static_cell_alone_has_no_entry(
    ask: Ask, alone: Profile, books: Books
) -> None:
    books.run("ALTER TABLE {ledger} ADD note text STATIC")
    books.run("INSERT INTO {ledger} (user_id, asset_id, note) VALUES (1009, 1, 'left alone')")
    books.run("INSERT INTO {ledger} (user_id, asset_id, note) VALUES (1001, 3, 'left alone')")
    books.run("DELETE note FROM {ledger} WHERE user_id = 1001 AND asset_id = 3")
    for code, result in all_checks(alone, ask).items():
        assert (result.verdict, result.counts["entries"]) == (Verdict.PASS, len(ENTRIES)), (code, result)
    ctx = Context(alone)
    balances = ask("B001", alone, within=ctx)
    assert balances.verdict is Verdict.PASS, balances
    for strategy in ("per_asset_parallel", "per_asset_sequential", "in_assets"):
        assert len(read(ctx.reader, ctx.target, strategy, 1009, [1])) == 0
    ctx.close()


def test_only_what_was_broken_is_read_again(alone: Profile, books: Books) -> None:
    """The rest is taken from the first reading: what is broken there meanwhile is of the next audit."""
    books.entry(1002, 3, "deposit", 5, avail=7)
    others = [each for each in ENTRIES if each.asset_id == 2 and each.seq == 1]

    def meanwhile(_: float) -> None:
        for each in others:
            books.run("DELETE FROM {ledger} WHERE user_id = %s AND asset_id = 2 AND seq = 1", each.user_id)

    result = run_check("L001", alone, sleep=meanwhile)
    assert (result.verdict, result.counts["does_not_add_up"]) == (Verdict.FAIL, 1)
    # Of the range that was read again all is new.
    assert len(ENTRIES) + 1 - len(others) <= result.counts["entries"] <= len(ENTRIES) + 1
    assert result.counts["entries"] > len(ENTRIES) + 1 - len(others)


def test_what_cannot_be_asked(sound: Profile) -> None:
    without = sound.model_copy(update={"ledger": LedgerSchema(time=None, type=None)})
    for code, said in (("L005", "no column for the time"), ("L004", "no column for type")):
        ctx = Context(without)
        with pytest.raises(NotAsked, match=said):
            CHECKS[code].run(ctx)
        ctx.close()


def all_checks(profile: Profile, ask: Ask = run_check, **ways: Any) -> dict[str, Result]:
    """What each check says, by one audit."""
    ctx = Context(profile, **ways)
    try:
        return {code: ask(code, profile, within=ctx) for code in CODES}
    finally:
        ctx.close()


def test_sums_by_asset_are_those_of_the_entries(alone: Profile, books: Books) -> None:
    """Exact beyond 64 bits, an unknown asset as it is, each amount held against an independent sum."""
    most = 2**63 - 1
    for user in (7001, 7002):
        strange = LedgerEntry(user, 78, 1, most, 0, most, 0, "deposit", 1, 1)
        books.write(strange)
    ctx = Context(alone)
    try:
        result, table = CHECKS["L007"].run(ctx), asset_sums(ctx)
        part = asset_sums(ctx, user_id=7001)
        with pytest.raises(NotAsked, match="whole ledger"):
            CHECKS["L007"].run(ctx, user_id=7001)
    finally:
        ctx.close()
    assert result.verdict is Verdict.PASS, result
    rows = {row["asset"]: row for row in table.to_dict("records")}
    unknown = {"deposits": 2 * most, "withdrawals": 0, "trades": 0, "newest balances": 2 * most}
    assert {name: rows["#78"][name] for name in unknown} == unknown
    for symbol, asset in (("BTC", 1), ("USDT", 2), ("ETH", 3)):
        own = [each for each in ENTRIES if each.asset_id == asset]
        newest = {each.user_id: each.avail + each.frozen for each in sorted(own, key=lambda each: each.seq)}
        decimals = alone.registry.by_id(asset).decimals  # type: ignore[union-attr]
        sums = {
            "deposits": sum(each.delta_avail for each in own if each.event_type == "deposit"),
            "withdrawals": sum(each.delta_avail for each in own if each.event_type == "withdraw"),
            "trades": 0,
            "other entries": 0,
            "all entries": sum(newest.values()),
            "newest balances": sum(newest.values()),
        }
        assert {name: to_raw(rows[symbol][name], decimals) for name in sums} == sums
    assert {row["conserves"] for row in rows.values()} == {"yes"}
    assert part.to_dict("records") == [
        {"asset": "#78", "deposits": most, "withdrawals": 0, "trades": 0, "other entries": 0}
        | {"all entries": most, "newest balances": most, "conserves": "—"}
    ]


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is drawn from 64 token ranges, so that all of them are soon read."""
    monkeypatch.setattr("balancebook.ledger.parts._GRID", 64)


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


def unsigned_ledger(session: Session, keyspace: str) -> None:
    """A correct ledger of unsigned amounts, and a sequence of its own for all accounts together."""
    number = 0
    for user in range(1, 5):
        stood = 0
        for move in (1000, *([-3, 2] * 10)):
            stood, number = stood + move, number + 7
            session.execute(
                f"INSERT INTO {keyspace}.{LEDGER} (user_id, asset_id, seq, delta_avail, avail, frozen, event_type, "
                f"created_at) VALUES ({user}, 2, {number}, {abs(move)}, {stood}, 0, "
                f"'{'debit' if move < 0 else 'credit'}', {number})"
            )


def with_roles(profile: Profile, **roles: Any) -> Profile:
    return profile.model_copy(update={"ledger": profile.ledger.model_copy(update=roles)})


@pytest.mark.check("L001", "unknown")
@pytest.mark.check("L002", "fail")
@pytest.mark.check("L003", "pass")
@pytest.mark.check("L006", "unknown")
@pytest.mark.check("L007", "unknown")
def test_amounts_without_signs_are_no_faults(ask: Ask, alone: Profile, session: Session) -> None:
    unsigned_ledger(session, alone.keyspace)
    plain = with_roles(alone, held=None, delta_held=None, reference=None, types=(("debit", "withdraw"),))
    for code in ("L001", "L006", "L007"):
        found = ask(code, plain)
        assert found.verdict is Verdict.UNKNOWN, found
        assert "each of the 40 entries after which avail is less took just as much" in found.message
        assert "Name a column of signed amounts" in found.message
    assert ask("L003", plain).verdict is Verdict.PASS
    assert ask("L005", plain).verdict is Verdict.PASS
    # Numbers of one sequence for all accounts: holes prove nothing.
    assert ask("L002", plain).verdict is Verdict.FAIL
    with pytest.raises(NotAsked, match=r"gapless = false.* seq has holes"):
        run_check("L002", with_roles(plain, gapless=False))
    # As the remedy says: without amounts the checks of them are skipped, and none passes.
    without = with_roles(plain, delta_available=None)
    for code in ("L001", "L004", "L006", "L007"):
        with pytest.raises(NotAsked):
            run_check(code, without)
    # One true fault, and it is all faults again.
    session.execute(
        f"UPDATE {alone.keyspace}.{LEDGER} SET avail = 5 WHERE user_id = 4 AND asset_id = 2 AND seq = 581"
    )
    assert ask("L001", plain).verdict is Verdict.FAIL


@pytest.mark.check("L001", "pass")
def test_holes_leave_the_other_checks_as_they_are(ask: Ask, alone: Profile, session: Session) -> None:
    session.execute(
        f"INSERT INTO {alone.keyspace}.{LEDGER} (user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, "
        "event_type, created_at) VALUES (1, 2, 40, 5, 0, 5, 0, 'deposit', 1)"
    )
    session.execute(
        f"INSERT INTO {alone.keyspace}.{LEDGER} (user_id, asset_id, seq, delta_avail, delta_frozen, avail, frozen, "
        "event_type, created_at) VALUES (1, 2, 90, 6, 0, 11, 0, 'deposit', 2)"
    )
    holes = with_roles(alone, gapless=False)
    assert ask("L001", holes).verdict is Verdict.PASS
    session.execute(
        f"UPDATE {alone.keyspace}.{LEDGER} SET avail = 12 WHERE user_id = 1 AND asset_id = 2 AND seq = 90"
    )
    assert ask("L001", holes).verdict is Verdict.FAIL
