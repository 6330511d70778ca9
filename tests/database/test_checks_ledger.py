"""L001 to L006 on real ledgers: sound, broken entry by entry, read in part, with entries that arrive meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from balancebook.assets import format_exact
from balancebook.checks import CHECKS, NotAsked
from balancebook.checks.context import Context
from balancebook.demo.faults import command
from balancebook.demo.faults.kinds import KINDS, FaultKind
from balancebook.demo.generate import LedgerEntry, SettledTrade, Size, generate
from balancebook.demo.schema import LEDGER, TRADES, create_schema
from balancebook.settings import LedgerSchema, Profile, retarget
from balancebook.verdict import Result, Verdict
from checking import WHOLE, Ask, capped, run_check, unreachable

CODES = ("L001", "L002", "L003", "L004", "L005", "L006")
RECORDS = list(generate(Size(rows=1500, users=10, deep_events=100)))
ENTRIES = [each for each in RECORDS if isinstance(each, LedgerEntry)]
SETTLED = [each for each in RECORDS if isinstance(each, SettledTrade)]
USDT = 2


def filled(session: Session, keyspace: str) -> None:
    """The demo's tables with a small exchange."""
    create_schema(session.execute, keyspace, indexes=False)
    for table, kind, records in ((LEDGER, LedgerEntry, ENTRIES), (TRADES, SettledTrade, SETTLED)):
        names, places = ", ".join(kind._fields), ", ".join("?" * len(kind._fields))
        insert = session.prepare(f"INSERT INTO {keyspace}.{table} ({names}) VALUES ({places})")
        execute_concurrent_with_args(session, insert, records)


@pytest.fixture(scope="module")
def sound(session: Session, impatient: Profile) -> Iterator[Profile]:
    """A ledger that adds up."""
    name = f"sound_ledger_{os.getpid()}"
    filled(session, name)
    yield retarget(impatient, keyspace=name)
    session.execute(f"DROP KEYSPACE {name}")


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
        names, places = ", ".join(made._fields), ", ".join(["%s"] * len(made))
        self._session.execute(f"INSERT INTO {self._keyspace}.{LEDGER} ({names}) VALUES ({places})", made)
        self._last[user, asset] = made
        return made

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
def test_a_sound_ledger(ask: Ask, sound: Profile) -> None:
    for code in CODES:
        result = ask(code, sound)
        assert result.verdict is Verdict.PASS, result
        assert result.counts["entries"] == len(ENTRIES)
        assert result.counts["accounts"] == len({(each.user_id, each.asset_id) for each in ENTRIES})
    assert ask("L004", sound).counts["trades"] == len(SETTLED)


@pytest.mark.check("L001", "fail")
@pytest.mark.check("L002", "fail")
@pytest.mark.check("L003", "fail")
@pytest.mark.check("L004", "fail")
@pytest.mark.check("L005", "fail")
@pytest.mark.check("L006", "fail")
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
    found = {code: ask(code, alone) for code in CODES}
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
    assert named(found["L005"]) == [("time goes back", 1003, "BTC", back.seq, back_before(1003, 1), 5)]
    assert {(each[0], *each[1:4]) for each in named(found["L006"])} == {
        ("impossible movement", 1003, "USDT", odd.seq),
        ("nothing was locked", 1003, "BTC", nothing.seq),
    }
    of_trades = named(found["L004"])
    assert [each for each in of_trades if each[0] == "no such trade"] == [
        ("no such trade", 1005, "BTC", spare.seq, None, "3")
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
def test_less_than_the_whole_ledger_decides_nothing(ask: Ask, sound: Profile) -> None:
    for code in CODES:
        result = ask(code, capped(sound, len(ENTRIES) - 1))
        assert result.verdict is Verdict.UNKNOWN, result
        assert f"more rows than the budget of {len(ENTRIES) - 1:,}" in result.message
    assert ask("L001", unreachable(sound)).verdict is Verdict.UNKNOWN


def test_what_a_second_reading_explains_was_in_flight(alone: Profile, books: Books) -> None:
    """An entry that overtakes the one before it, and a trade whose entries come a moment later."""
    books.entry(1001, 1, "deposit", 5, seq=10_001)
    gone = "DELETE FROM {ledger} WHERE user_id = 1001 AND asset_id = 1 AND seq = 10001"
    assert asked("L002", alone, lambda: books.run(gone)) is Verdict.PASS
    last = books.entry(1002, 3, "deposit", 5, avail=1)
    changed = "UPDATE {ledger} SET avail = 2 WHERE user_id = 1002 AND asset_id = 3 AND seq = %s"
    # What it is now nobody has seen twice.
    assert asked("L001", alone, lambda: books.run(changed, last.seq)) is Verdict.PASS
    assert asked("L001", alone, lambda: None) is Verdict.FAIL


def asked(code: str, profile: Profile, meanwhile: Callable[[], None]) -> Verdict:
    """The verdict, if that happens between the readings."""
    return run_check(code, profile, sleep=lambda _: meanwhile()).verdict


def test_what_cannot_be_asked(sound: Profile) -> None:
    without = sound.model_copy(update={"ledger": LedgerSchema(time=None, type=None)})
    for code, said in (("L005", "no column for the time"), ("L004", "no column for type")):
        ctx = Context(without)
        with pytest.raises(NotAsked, match=said):
            CHECKS[code].run(ctx)
        ctx.close()


@pytest.mark.parametrize(
    "kind", [each for each in KINDS.values() if each.of_ledger], ids=lambda kind: kind.name
)
def test_a_fault_of_the_ledger_is_found_exactly_and_undone(
    alone: Profile, books: Books, environment: dict[str, str], kind: FaultKind
) -> None:
    assert books
    fault = command.inject(kind.name, alone, options={"rows": 3}, env=environment)
    assert fault.counts == {kind.found_as: 3}
    for code in CODES:
        result = run_check(code, alone)
        assert (result.verdict is Verdict.FAIL) is (code == kind.found_as), result
        if code == kind.found_as:
            found = sorted((sample["account"], sample["entry"]) for sample in result.samples)
            assert found == sorted((each["key"]["user_id"], each["key"]["seq"]) for each in fault.injected)
    assert run_check("V005", alone).verdict is Verdict.PASS
    command.undo(alone, env=environment)
    assert {run_check(code, alone).verdict for code in CODES} == {Verdict.PASS}


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
        ("no such trade", 1001, "USDT", spare.seq, None, "0.00000001"),
    ]
    assert run_check("L001", alone, user_id=1004).message.endswith("accounts of user 1004).")
    assert run_check("L001", alone, user_id=424242).verdict is Verdict.UNKNOWN
    everywhere = run_check("L001", alone, sample=4096)
    assert everywhere.samples == run_check("L001", alone).samples
    some = run_check("L001", alone, sample=400)
    assert 0 < some.counts["entries"] < everywhere.counts["entries"]


def debit_of(trade: SettledTrade) -> int:
    """The entry that takes the buyer's money."""
    return next(
        each.seq
        for each in ENTRIES
        if (each.ref_id, each.user_id, each.asset_id) == (trade.trade_id, trade.buyer_id, USDT)
    )
