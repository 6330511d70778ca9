"""The depths `definition` and `sampled` on a real server: what they find, what they claim, and how long they take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.faults.inject import delete
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.errors import UsageError
from balancebook.profile import Limits
from balancebook.reconcile import draws, sampler
from balancebook.reconcile import sampled as depth
from balancebook.reconcile.definition import definition
from balancebook.reconcile.grid import Grid, grid_for
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sampled import quick, sampled
from balancebook.reconcile.sampled_report import SampledReport
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.pace import Pace
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import Table, View, read_table, read_view
from balancebook.verdict import Verdict
from filling import insert

BASE, VIEW = "balance_ledger", "user_balances_by_user"
USERS, EVENTS = 600, 5
# 3,000 rows, about 32 in each; how many there are the server estimates.
CELLS = USERS * EVENTS // 32


def fill(session: Session, keyspace: str, users: Iterable[int]) -> None:
    statement = session.prepare(
        f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, 1, ?, ?, 0, ?)"
    )
    rows = [(user, seq, user * seq, seq) for user in users for seq in range(EVENTS)]
    insert(session, statement, rows)


def row(user: int, seq: int = 0) -> dict[str, int]:
    return {"user_id": user, "asset_id": 1, "seq": seq}


def there(reader: Reader, keyspace: str, name: str = VIEW) -> View:
    found = read_view(reader, keyspace, name)
    assert found
    return found


def drawn(reader: Reader, view: View, **options: Any) -> SampledReport:
    return sampled(reader, view, **{"grace_s": 0, "seed": 1, **options})


def counts(**kinds: int) -> dict[Kind, int]:
    return dict.fromkeys(Kind, 0) | {Kind(name): number for name, number in kinds.items()}


def found(report: SampledReport) -> set[Kind]:
    return {kind for kind, number in report.counts.items() if number}


@pytest.fixture(scope="module")
def clean(session: Session) -> str:
    """3,000 rows of 600 users, nothing wrong with them."""
    name = f"clean_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    fill(session, name, range(USERS))
    return name


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid so fine that no time is long enough for all of it."""
    monkeypatch.setattr(sampler, "grid_for", lambda *_: Grid(10_000))


def test_a_sound_view_passes_and_what_stays_open_is_said(reader: Reader, clean: str) -> None:
    view = there(reader, clean)
    assert definition(reader, view).verdict is Verdict.PASS
    report = drawn(reader, view, ranges=64)
    assert (report.verdict, report.label, report.counts) == (Verdict.PASS, "pass (sampled)", counts())
    assert report.view.rows > 64
    for side in (report.base, report.view):
        assert (side.drawn, side.read, side.whole) == (64, 64, False)
        assert side.ranges == pytest.approx(CELLS, rel=0.2)
        assert side.bound == pytest.approx(1 - 0.05 ** (1 / 64))
    claim = f"At 95 % confidence each, at most 4.6 % of the base's {report.base.ranges} ranges and at most 4.6 % of the"
    assert claim in report.message
    again = drawn(reader, view, ranges=64)
    assert (again.base, again.view) == (report.base, report.view)
    assert drawn(reader, view, ranges=64, seed=2).view != report.view
    assert "no row looks wrong in 64 ranges of the base and 64 of the view" in quick(reader, view).message


def test_an_emptied_view_shows_in_a_few_ranges(
    server: Node, session: Session, reader: Reader, keyspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(session, keyspace, range(150))
    with server.admin() as admin:
        admin.truncate(keyspace, VIEW)
    view = there(reader, keyspace)
    first = quick(reader, view, ranges=8, seed=1)
    assert (first.drawn[0], first.suspicious) == (8, (8, 0))
    assert first.message == "sampled phase: 8 of 8 ranges of the base hold rows that look wrong"
    assert {difference.kind for difference in first.differences} == {Kind.LOST}
    report = drawn(reader, view, ranges=8)
    assert (report.verdict, found(report)) == (Verdict.FAIL, {Kind.LOST})
    assert report.counts[Kind.LOST] == report.base.rows == len(first.differences) > 50
    assert (report.base.faulty, report.base.read, report.base.bound) == (8, 8, 1.0)
    # One row of each range is confirmed before a second of any.
    monkeypatch.setattr(depth, "_MOST_CONFIRMED", 8)
    few = drawn(reader, view, ranges=8)
    assert few.counts == counts(LOST=8, UNKNOWN=report.base.rows - 8)
    assert few.base.unsettled == 0
    monkeypatch.setattr(depth, "_MOST_CONFIRMED", 0)
    none = drawn(reader, view, ranges=8)
    assert (none.verdict, none.base.unsettled, none.base.bound) == (Verdict.UNKNOWN, 8, 1.0)


def test_the_share_drawn_is_near_the_true_one_and_the_bound_above_it(
    reader: Reader, session: Session, keyspace: str, inject: Injector
) -> None:
    fill(session, keyspace, range(USERS))
    # About half of the ranges of either side then hold a fault.
    lost, orphaned = range(0, USERS, 9), range(USERS, USERS + 70)
    inject.lost(*map(row, lost))
    inject.orphan(*(row(user) | {"avail": 1, "frozen": 0, "created_at": 50} for user in orphaned))
    view = there(reader, keyspace)
    report = drawn(reader, view, ranges=200)
    assert (report.verdict, found(report)) == (Verdict.FAIL, {Kind.LOST, Kind.ORPHAN})
    base = read_table(reader, keyspace, BASE)
    assert base
    for side, table, key, users in (
        (report.base, base, "user_id, asset_id", lost),
        (report.view, view, "user_id", orphaned),
    ):
        truth = share_of_ranges(reader, table, key, set(users))
        assert 0.3 < truth < 0.75
        # Three standard deviations of 200 draws.
        assert abs(side.faulty / side.read - truth) < 0.11
        assert truth < side.bound < truth + 0.2
    assert all(sample.key[0] in {*lost, *orphaned} for sample in report.samples)


def test_a_range_read_only_in_part_is_no_sound_one(
    reader: Reader, session: Session, keyspace: str, inject: Injector
) -> None:
    """One partition of 6,000 rows has lost all but the first thousand, beside 30 sound ones."""
    statement = session.prepare(
        f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail, frozen, created_at) VALUES (?, ?, ?, 1, 0, 1)"
    )
    insert(session, statement, [(1, 1, seq) for seq in range(6000)])
    insert(session, statement, [(user, 1, 1) for user in range(2, 32)])
    # Rows come in descending order of seq.
    inject.import_cells(VIEW, [("DELETE FROM {table} WHERE user_id = 1 AND asset_id = 1 AND seq < 5000", ())])
    view = there(reader, keyspace)
    held = 0
    for seed in range(5):
        report = sampled(reader, view, grace_s=0, ranges=128, seed=seed, sleep=lambda _: None)
        for side in (report.base, report.view):
            assert (side.unsettled + side.faulty > 0) is bool(side.capped)
            held += side.bound >= 1 / side.ranges
    # One range in 31 is wrong; 128 draws miss it once in sixty times.
    assert held >= 9


def share_of_ranges(reader: Reader, table: Table, key: str, users: set[int]) -> float:
    """The share of a side's ranges in which one of these users lies."""
    grid = grid_for(reader, table)
    tokens = reader.rows(f"SELECT DISTINCT {key}, token({key}) FROM {table.cql_name}")
    hit = [partition[-1] for partition in tokens if partition[0] in users]
    assert len(hit) == len(users)
    cells = [grid.tokens(cell) for cell in range(grid.cells)]
    return sum(any(lo < token <= hi for token in hit) for lo, hi in cells) / grid.cells


def test_keys_of_every_kind_are_looked_up(
    server: Node, session: Session, reader: Reader, keyspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty partition keys, decimals that are equal in CQL alone, a row that is none of the view's, a capped range."""
    session.execute(f'CREATE TABLE {keyspace}.t (p text, c decimal, "O" text, n int, PRIMARY KEY (p, c))')
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.v AS SELECT * FROM {keyspace}.t WHERE p IS NOT NULL AND c IS NOT NULL "
        'AND "O" IS NOT NULL PRIMARY KEY ("O", c, p) WITH CLUSTERING ORDER BY (c DESC, p ASC)'
    )
    for n in range(12):
        owner = "''" if n % 2 else "'x'"
        session.execute(f"INSERT INTO {keyspace}.t (p, c, \"O\", n) VALUES ('{n % 3}', {n}.0, {owner}, {n})")
    session.execute(f"INSERT INTO {keyspace}.t (p, c, n) VALUES ('no owner', 1, 1)")
    session.execute(f"DELETE FROM {keyspace}.t WHERE p = '1' AND c = 1.0")
    session.execute(f"INSERT INTO {keyspace}.t (p, c, \"O\", n) VALUES ('1', 1.00, '', 1)")
    view = there(reader, keyspace, "v")
    sound = drawn(reader, view)
    assert (sound.verdict, sound.counts, sound.base.rows, sound.view.rows) == (Verdict.PASS, counts(), 12, 12)
    assert (sound.base.whole, sound.base.bound) == (True, 0.0)
    with server.admin() as admin:
        inject = Injector(session.execute, admin, keyspace)
        # In the base, since no write names an empty partition key: two rows of it change there, one of them its owner.
        changed = "INSERT INTO {table} (p, c, \"O\", n) VALUES ('0', 3, '', 33)"
        moved = "INSERT INTO {table} (p, c, \"O\") VALUES ('2', 5, 'x')"
        inject.import_cells("t", [(changed, ()), (moved, ())])
        inject.import_cells("v", [delete({"O": "x", "c": 4, "p": "1"})])
    faulty = drawn(reader, view)
    assert faulty.counts == counts(LOST=2, MISMATCH=1, ORPHAN=1)
    assert [sample.key[0] for sample in faulty.samples] == ["x", "x", "", ""]
    monkeypatch.setattr(draws, "MOST_ROWS", 5)
    capped = drawn(reader, view)
    assert (capped.base.rows, len(capped.base.capped), len(capped.view.capped)) == (5, 1, 1)
    assert "Of 2 large ranges only the first" in capped.message
    assert not capped.base.whole
    # What was not compared counts as faulty in the bound.
    assert (capped.base.unsettled, capped.base.bound) == (capped.base.read - capped.base.faulty, 1.0)
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.v")
    dropped = definition(reader, view)
    assert (dropped.verdict, dropped.reasons) == (Verdict.FAIL, ("there is no such view any more",))


def test_a_rate_holds_for_what_is_drawn_and_what_is_looked_up(reader: Reader, clean: str) -> None:
    view, rate = there(reader, clean), 2000
    began = time.monotonic()
    report = drawn(reader, view, ranges=24, pace=Pace(rate=rate))
    # Each row drawn is looked up on the other side.
    rows = 2 * (report.base.rows + report.view.rows)
    assert (report.verdict, rows > 2000) == (Verdict.PASS, True)
    assert rows / (time.monotonic() - began) < 1.2 * rate


@pytest.mark.usefixtures("fine")
def test_a_time_box_holds_at_the_slowest_rate(reader: Reader, clean: str) -> None:
    report = drawn(reader, there(reader, clean), deadline_s=2, pace=Pace(rate=10))
    assert report.seconds < 2
    assert report.verdict in (Verdict.PASS, Verdict.UNKNOWN)
    assert not (report.base.unknown or report.view.unknown)


@pytest.mark.usefixtures("fine")
def test_a_deadline_holds_for_drawing_grace_and_confirming(
    server: Node, session: Session, reader: Reader, keyspace: str
) -> None:
    fill(session, keyspace, range(USERS))
    view = there(reader, keyspace)
    with pytest.raises(UsageError, match="the grace period alone is 2 s"):
        sampled(reader, view, grace_s=2, deadline_s=2)
    # Twelve looks at rows seen lost, half a second apart, would not fit; two do, on a busy machine too.
    deadline_s = 6
    report = sampled(reader, view, grace_s=0.5, deadline_s=deadline_s)
    assert (report.verdict, report.base.bound < 0.1) == (Verdict.PASS, True)
    # With nothing to confirm it ends before its time; a batch that would not have fitted was not begun.
    assert report.seconds < deadline_s
    with server.admin() as admin:
        admin.truncate(keyspace, VIEW)
    report = sampled(reader, view, grace_s=0.5, deadline_s=deadline_s)
    assert (report.verdict, report.counts[Kind.LOST] > 0) == (Verdict.FAIL, True)
    assert 0.5 < report.seconds < deadline_s + reader.profile.limits.request_timeout_s


@pytest.mark.e2e
@pytest.mark.usefixtures("fine")
def test_a_server_paused_meanwhile_leaves_the_ranges_unknown(
    disposable: Callable[..., Node], profile_of: Callable[..., Profile]
) -> None:
    node = disposable()
    session = connect(profile_of(node))
    create_schema(session.execute, "k", indexes=False)
    fill(session, "k", range(20))
    close(session)
    with open_reader(profile_of(node, limits=Limits(request_timeout_s=1.0))) as reader:
        view = there(reader, "k")
        try:
            report = drawn(reader, view, ranges=64, progress=lambda *_: node.pause())
            unread = definition(reader, view)
        finally:
            node.resume()
        assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts())
        assert (report.base.drawn, report.base.read, report.view.read) == (32, 16, 16)
        lo, hi = report.base.unknown[0]
        assert f"token ranges ({lo}, {hi}]" in report.message
        assert report.seconds < 5
        assert unread.verdict is Verdict.UNKNOWN
        # Enough of the 10,000 ranges that some hold one of the 20 partitions.
        back = drawn(reader, view, ranges=2000)
        assert (back.verdict, back.complete) == (Verdict.PASS, True), back.message
        try:
            # The time ends before the server's silence is noticed.
            late = drawn(reader, view, deadline_s=1, progress=lambda *_: node.pause())
        finally:
            node.resume()
        assert late.verdict is Verdict.UNKNOWN
