"""L001 to L007 on real ledgers: sound, broken entry by entry, read in part, with entries that arrive meanwhile."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.assets import to_raw
from balancebook.balances import read
from balancebook.checks import CHECKS, NotAsked
from balancebook.checks.context import Context
from balancebook.checks.sums import asset_sums
from balancebook.demo.generate import LedgerEntry
from balancebook.demo.schema import LEDGER
from balancebook.ledger import audit as ledger_audit
from balancebook.ledger import reading
from balancebook.ledger.breaks import Findings, Problem
from balancebook.ledger.reading import Manner, Reading
from balancebook.ledger.source import Source
from balancebook.moment import utc_text
from balancebook.settings import LedgerSchema, Profile, retarget
from balancebook.verdict import Verdict
from checking import WHOLE, Ask, capped, run_check, unreachable
from ledger_books import USDT, Books, all_checks, named
from small_exchange import ENTRIES, SETTLED, filled


@pytest.fixture(scope="module")
def sound(session: Session, impatient: Profile) -> Profile:
    """A ledger that adds up."""
    name = f"sound_ledger_{os.getpid()}"
    filled(session, name)
    return retarget(impatient, keyspace=name)


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
