"""Loading the demo exchange into a real database: once, completely, and never over anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from time import monotonic

import pytest
from cassandra.cluster import Session

from balancebook.demo import load as loading
from balancebook.demo.generate import HAND_PLACED, LedgerEntry, Record, SettledTrade, Size, generate
from balancebook.demo.load import Loaded, ensure_loaded
from balancebook.demo.schema import create_schema
from balancebook.errors import UsageError
from balancebook.settings import Profile

TINY = Size(rows=1_100, users=5, deep_events=60)
ROWS = sum(isinstance(record, LedgerEntry) for record in generate(TINY))
TRADES = sum(isinstance(record, SettledTrade) for record in generate(TINY))


@pytest.fixture
def target(profile: Profile, session: Session) -> Iterator[Profile]:
    """The profile, pointed at a keyspace that is not there yet."""
    target = profile.model_copy(update={"keyspace": "Load"})
    yield target
    session.execute('DROP KEYSPACE IF EXISTS "Load"')


def counts(session: Session) -> tuple[int, int, int]:
    tables = ("balance_ledger", "user_balances_by_user", "settled_trades")
    ledger, view, trades = (session.execute(f'SELECT COUNT(*) FROM "Load".{t}').one()[0] for t in tables)
    return ledger, view, trades


def test_every_row_is_loaded_once(target: Profile, session: Session) -> None:
    assert ensure_loaded(target, size=TINY) == Loaded(ROWS, TRADES, fresh=True)
    assert counts(session) == (ROWS, ROWS, TRADES)
    started = monotonic()
    assert ensure_loaded(target, size=TINY) == Loaded(ROWS, TRADES, fresh=False)
    assert monotonic() - started < 2

    columns = ", ".join(LedgerEntry._fields)
    stored = set(session.execute(f'SELECT {columns} FROM "Load".balance_ledger'))
    assert stored == {tuple(record) for record in generate(TINY) if isinstance(record, LedgerEntry)}
    for user, balances in HAND_PLACED.items():
        cql = 'SELECT asset_id, avail, frozen FROM "Load".user_balances_by_user'
        cql += " WHERE user_id = %s GROUP BY user_id, asset_id"
        assert {asset: tuple(amounts) for asset, *amounts in session.execute(cql, (user,))} == balances


def test_both_indexes_can_be_queried(target: Profile, session: Session) -> None:
    ensure_loaded(target, size=TINY)
    trade = next(record for record in generate(TINY) if isinstance(record, SettledTrade))
    by_reference = session.execute(
        'SELECT seq FROM "Load".balance_ledger WHERE ref_id = %s', (trade.trade_id,)
    )
    assert len(list(by_reference)) == 4
    by_type = session.execute("""SELECT ref_id FROM "Load".balance_ledger WHERE event_type = 'trade_debit'""")
    assert len(list(by_type)) == 2 * TRADES


def test_an_interrupted_load_is_finished(
    target: Profile, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(size: Size) -> Iterator[Record]:
        for number, record in enumerate(generate(size)):
            if number == 700:
                # What was sent has its time to arrive.
                time.sleep(1)
                raise KeyboardInterrupt
            yield record

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loading, "generate", cut_off)
        ensure_loaded(target, size=TINY)
    assert 0 < counts(session)[0] < ROWS
    with pytest.raises(UsageError, match="unfinished load of another size"):
        ensure_loaded(target, size=Size(rows=1_100, users=5, deep_events=60, seed=1))
    assert ensure_loaded(target, size=TINY).fresh
    assert counts(session) == (ROWS, ROWS, TRADES)


def test_other_data_are_left_alone(target: Profile, session: Session) -> None:
    ensure_loaded(target, size=TINY)
    with pytest.raises(UsageError, match=rf"another size or seed \({ROWS} rows\).*DROP KEYSPACE"):
        ensure_loaded(target, size=Size(rows=1_101, users=5, deep_events=60))
    assert counts(session) == (ROWS, ROWS, TRADES)


def test_rows_that_the_demo_did_not_load_are_left_alone(
    profile: Profile, session: Session, keyspace: str
) -> None:
    session.execute(f"INSERT INTO {keyspace}.balance_ledger (user_id, asset_id, seq) VALUES (1, 1, 1)")
    with pytest.raises(UsageError, match="did not load"):
        ensure_loaded(profile.model_copy(update={"keyspace": keyspace}), size=TINY)
    assert len(list(session.execute(f"SELECT seq FROM {keyspace}.balance_ledger"))) == 1


@pytest.mark.parametrize(
    ("harm", "fresh"),
    [
        ('DROP KEYSPACE "Load"', True),
        ('TRUNCATE "Load".balance_ledger', True),
        ('DROP MATERIALIZED VIEW "Load".user_balances_by_user', False),
        ('DROP INDEX "Load".balance_ledger_ref_id', False),
    ],
)
def test_what_went_missing_is_made_again(target: Profile, session: Session, harm: str, fresh: bool) -> None:
    ensure_loaded(target, size=TINY)
    session.execute(harm)
    assert ensure_loaded(target, size=TINY).fresh is fresh
    assert counts(session) == (ROWS, ROWS, TRADES)


def test_a_recreated_table_is_not_taken_for_the_loaded_one(target: Profile, session: Session) -> None:
    ensure_loaded(target, size=TINY)
    session.execute('DROP KEYSPACE "Load"')
    create_schema(session.execute, "Load")
    session.execute('INSERT INTO "Load".balance_ledger (user_id, asset_id, seq) VALUES (1, 1, 1)')
    with pytest.raises(UsageError, match="did not load"):
        ensure_loaded(target, size=TINY)


def test_progress_is_told_when_it_takes_long(
    target: Profile, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(loading, "_TELL_EVERY_S", 0.0)
    ensure_loaded(target, size=TINY, progress=lines.append)
    assert lines[0].startswith("loading the demo exchange: ")
    assert f"loading the demo exchange: {ROWS} of about 1100 ledger rows" in lines
    assert counts(session)[0] == ROWS


def test_only_the_embedded_database_is_loaded(target: Profile) -> None:
    with pytest.raises(UsageError, match="not the embedded database"):
        ensure_loaded(target.model_copy(update={"embedded": False, "name": "production"}), size=TINY)
