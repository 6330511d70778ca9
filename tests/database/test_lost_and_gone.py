"""A row that the view has lost for good is in step whenever it is missing from the base: that is not a pass."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.reconcile import engine
from balancebook.reconcile.confirm.by_scan import LACKED_BEFORE
from balancebook.reconcile.confirm.resolve import Resolver
from balancebook.reconcile.confirm.rule import GONE, MAY_COME_BACK
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.sketch.layout import RowLayout
from balancebook.store.errors import StoreError
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.verdict import Verdict
from reconciling import BASE, VIEW, compared, counts, there

ROWS, LOST = range(40), range(5)
Turn = Callable[[int], None]


@pytest.fixture
def turn(request: pytest.FixtureRequest, session: Session, keyspace: str, inject: Injector) -> Turn:
    """turn(n): at odd n the base's rows are deleted that the view can never show, or a cell of them (given as the
    parameter), else they are written anew."""
    lacking = getattr(request, "param", "")

    def write(users: range, seq: int) -> None:
        for user in users:
            session.execute(
                f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES ({user}, 1, 1, {seq})"
            )

    write(ROWS, 0)
    ahead = (time.time_ns() + 86_400 * 10**9) // 1000
    inject.import_cells(
        VIEW,
        [
            (
                f"DELETE {lacking} FROM {{table}} USING TIMESTAMP {ahead} "
                f"WHERE user_id = {n} AND asset_id = 1 AND seq = 1",
                (),
            )
            for n in LOST
        ],
    )

    def turned(number: int) -> None:
        if number % 2 == 0:
            write(LOST, number)
            return
        for user in LOST:
            session.execute(f"DELETE FROM {keyspace}.{BASE} WHERE user_id = {user} AND asset_id = 1")

    return turned


def acting(turn: Turn, *at: int | None) -> Callable[[float], None]:
    """A sleep after which the base has had that turn, one for each sleep: None for none, as for all that follow."""
    left = list(at)

    def sleep(seconds: float) -> None:
        act = left.pop(0) if left else None
        if act is not None:
            turn(act)
        time.sleep(seconds)

    return sleep


@pytest.mark.parametrize("turn", ["avail"], indirect=True)
@pytest.mark.parametrize("most_by_key", [10_000, 1], ids=["by key", "by scan"])
def test_nor_does_a_cell_that_the_view_can_never_show_pass(
    reader: Reader, keyspace: str, turn: Turn, most_by_key: int
) -> None:
    for turns, verdict, kind in (
        ((1, None, 2), Verdict.FAIL, Kind.MISMATCH),
        ((1, None, 2) * 4, Verdict.UNKNOWN, Kind.UNKNOWN),
        ((1,), Verdict.PASS, Kind.LAGGING),
    ):
        turn(2)
        sleep = acting(turn, *turns)
        report = compared(reader, there(reader, keyspace), grace_s=0.2, most_by_key=most_by_key, sleep=sleep)
        assert (report.verdict, report.counts) == (verdict, counts(**{kind.value: 5})), turns


def test_it_is_named_when_it_is_back(reader: Reader, keyspace: str, turn: Turn) -> None:
    # Gone at two looks, then there again, and in the view never.
    report = compared(reader, there(reader, keyspace), grace_s=0.2, sleep=acting(turn, 1, None, 2))
    assert (report.verdict, report.counts) == (Verdict.FAIL, counts(LOST=5))


def test_coming_and_going_all_the_time_it_is_unknown(reader: Reader, keyspace: str, turn: Turn) -> None:
    sleep = acting(turn, 1, None, 2, 1, None, 2, 1, None, 2, 1, None)
    report = compared(reader, there(reader, keyspace), grace_s=0.2, sleep=sleep)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts(UNKNOWN=5))
    assert {sample.reason for sample in report.samples} == {MAY_COME_BACK}


def test_gone_to_the_end_there_is_nothing_to_compare(reader: Reader, keyspace: str, turn: Turn) -> None:
    report = compared(reader, there(reader, keyspace), grace_s=0.1, sleep=acting(turn, 1))
    assert (report.verdict, report.counts, report.gone) == (Verdict.PASS, counts(LAGGING=5), 5)
    assert {sample.reason for sample in report.samples} == {GONE}


@pytest.mark.parametrize(
    ("turns", "verdict", "kind"),
    [
        ((1,), Verdict.PASS, Kind.LAGGING),
        ((1, None, 2), Verdict.FAIL, Kind.LOST),
        ((1, None, 2, 1, None, 2, 1, None, 2, 1, None, 2, 1), Verdict.UNKNOWN, Kind.UNKNOWN),
        ((2,), Verdict.FAIL, Kind.LOST),
    ],
    ids=["gone to the end", "back later", "coming and going", "written anew"],
)
def test_scans_do_not_pass_it_either(
    reader: Reader, keyspace: str, turn: Turn, turns: tuple[int | None, ...], verdict: Verdict, kind: Kind
) -> None:
    report = compared(reader, there(reader, keyspace), grace_s=0.2, most_by_key=1, sleep=acting(turn, *turns))
    assert (report.verdict, report.counts) == (verdict, counts(**{kind.value: 5}))


@pytest.mark.parametrize(("little", "unknown"), [(4, 5), (5, 0)])
def test_what_is_gone_before_the_first_scan_is_no_pass_if_it_is_much(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn, little: int, unknown: int
) -> None:
    monkeypatch.setattr(engine, "_LITTLE", little)

    def told(sentence: str) -> None:
        if "by scans" in sentence:
            turn(1)

    report = compared(reader, there(reader, keyspace), grace_s=0.1, most_by_key=1, told=told)
    assert report.counts == counts(UNKNOWN=unknown)
    assert report.in_step_since == 5 - unknown
    assert {sample.reason for sample in report.samples} == ({LACKED_BEFORE} if unknown else set())
    assert (report.rows_base, report.rows_view) == (35, 35)


def test_rows_written_meanwhile_do_not_make_up_for_those_that_are_gone(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn, session: Session
) -> None:
    monkeypatch.setattr(engine, "_LITTLE", 4)

    def told(sentence: str) -> None:
        if "by scans" in sentence:
            turn(1)
            for user in range(100, 105):
                session.execute(
                    f"INSERT INTO {keyspace}.{BASE} (user_id, asset_id, seq, avail) VALUES ({user}, 1, 1, 1)"
                )

    report = compared(reader, there(reader, keyspace), grace_s=0.1, most_by_key=1, told=told)
    assert (report.verdict, report.counts) == (Verdict.UNKNOWN, counts(UNKNOWN=5))
    assert (report.rows_base, report.rows_view) == (40, 40)


@pytest.mark.parametrize(("little", "unknown"), [(4, 5), (5, 0)])
def test_nor_does_it_pass_where_a_larger_sketch_was_needed(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn, little: int, unknown: int
) -> None:
    """The first sketch names none of them, and the second does not meet them."""
    monkeypatch.setattr(engine, "_LITTLE", little)

    def told(sentence: str) -> None:
        if "a larger sketch" in sentence:
            turn(1)

    report = compared(reader, there(reader, keyspace), grace_s=0.1, cells=3, told=told)
    assert (report.passes, report.counts) == (2, counts(UNKNOWN=unknown))


def test_sound_rows_that_are_deleted_meanwhile_are_no_matter(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn, session: Session
) -> None:
    monkeypatch.setattr(engine, "_LITTLE", 0)
    turn(2)

    def told(sentence: str) -> None:
        if "by scans" in sentence:
            for user in range(20, 30):
                session.execute(f"DELETE FROM {keyspace}.{BASE} WHERE user_id = {user} AND asset_id = 1")

    report = compared(reader, there(reader, keyspace), grace_s=0.1, most_by_key=1, told=told)
    assert (report.counts, report.rows_base, report.rows_view) == (counts(LOST=5), 30, 25)


@pytest.mark.parametrize(
    ("turns", "verdict", "kind"),
    [((None, None, 2), Verdict.FAIL, Kind.LOST), ((), Verdict.PASS, Kind.LAGGING)],
    ids=["back", "gone to the end"],
)
def test_nor_where_rows_are_named_by_their_partitions(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn,
    turns: tuple[int | None, ...], verdict: Verdict, kind: Kind,
) -> None:  # fmt: skip
    """Gone before their keys are known, which are looked for in their partitions."""
    report = gone_before_they_are_named(monkeypatch, reader, keyspace, turn, *turns)
    assert (report.verdict, report.counts) == (verdict, counts(**{kind.value: 5}))


@pytest.mark.parametrize(
    ("failures", "verdict", "kind"),
    [(2, Verdict.PASS, Kind.LAGGING), (3, Verdict.UNKNOWN, Kind.UNKNOWN)],
)
def test_two_of_these_looks_may_fail(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn,
    failures: int, verdict: Verdict, kind: Kind,
) -> None:  # fmt: skip
    asked, real = Counter[int](), Resolver._partition

    def partition(resolver: Resolver, side: int, token: int, lanes: Iterable[int]) -> Any:
        asked[token] += 1
        if 1 < asked[token] <= 1 + failures:
            raise StoreError("timeout", "Too slow.", "Try again.")
        return real(resolver, side, token, lanes)

    monkeypatch.setattr(Resolver, "_partition", partition)
    report = gone_before_they_are_named(monkeypatch, reader, keyspace, turn)
    assert (report.verdict, report.counts) == (verdict, counts(**{kind.value: 5}))
    assert all("Too slow." in sample.reason for sample in report.samples if kind is Kind.UNKNOWN)
    assert set(asked.values()) == {12 + failures if verdict is Verdict.PASS else 1 + failures}


def gone_before_they_are_named(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, keyspace: str, turn: Turn, *turns: int | None
) -> ComparisonReport:
    """Rows are named by their partitions, and the base's rows are deleted that the first pass saw lost."""
    monkeypatch.setattr(RowLayout, "keeps_key", property(lambda _: False))

    def read(report: ScanReport) -> None:
        if report.complete:
            turn(1)

    return compared(
        reader, there(reader, keyspace), grace_s=0.1, ranges=4, progress=read, sleep=acting(turn, *turns)
    )
