"""Cells that the driver cannot decode: shown as bytes, and never taken for a server that is down."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cassandra.cluster import Session

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import WALLETS, create_schema
from balancebook.doctor.examination import examine_profile
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.keys_file import read_keys
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.options import Options
from balancebook.reconcile.partitions import compare_partitions
from balancebook.reconcile.report import ComparisonReport, Difference
from balancebook.reconcile.sampled import sampled
from balancebook.reconcile.sides import base_side, view_side
from balancebook.reconcile.writetimes import read_write_times, why_unread
from balancebook.settings import EMBEDDED_WALLETS, Profile, load_profile, retarget
from balancebook.store.cql.decoding import Undecoded
from balancebook.store.estimate import estimate
from balancebook.store.metered import MeteredReader
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import View, read_table, read_view
from balancebook.verdict import Verdict
from checking import GRACE_S, Ask, nowhere

# The first millisecond of the year 10000, the largest there is, and one that the driver decodes 8 us too early.
FAR, LAST, SHORT = 253_402_300_800_000, 2**63 - 1, 16_725_225_600_123
SHORT_TIME = datetime(2500, 1, 1, 0, 0, 0, 123000)
ROWS = 60
WRONG = {"LOST": 2, "MISMATCH": 2}


def raw(milliseconds: int) -> Undecoded:
    return Undecoded(milliseconds.to_bytes(8, "big"))


@pytest.fixture(scope="module")
def place(session: Session, server: Node) -> str:
    """Tables with timestamps as partition key, clustering key and value, their views with faults, all estimated."""
    name = f"far_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    for table, key in (("late", "p, c"), ("later", "c, p")):
        session.execute(
            f"CREATE TABLE {name}.{table} (p int, c timestamp, at timestamp, v int, PRIMARY KEY ({key}))"
        )
        session.execute(
            f"CREATE MATERIALIZED VIEW {name}.{table}_by AS SELECT * FROM {name}.{table} WHERE p IS NOT NULL AND "
            "c IS NOT NULL AND at IS NOT NULL PRIMARY KEY (at, p, c)"
        )
        insert = session.prepare(f"INSERT INTO {name}.{table} (p, c, at, v) VALUES (?, ?, ?, 1)")
        for p in range(ROWS):
            for c in (FAR, LAST, SHORT, 1_700_000_000_000):
                session.execute(insert, (p, c, c + p % 7 - 6))
    tables = [f"{table}{by}" for table in ("late", "later") for by in ("", "_by")]
    with server.admin() as admin:
        inject = Injector(session.execute, admin, name)
        for table in tables[1::2]:
            where = f"at = {FAR} AND p = 6 AND c = {FAR}", f"at = {SHORT - 6} AND p = 7 AND c = {SHORT}"
            inject.import_cells(table, [(f"DELETE FROM {{table}} WHERE {each}", ()) for each in where])
            inject.import_cells(
                table,
                [
                    ("INSERT INTO {table} (at, p, c, v) VALUES (%s, %s, %s, 2)", (c - 5, 1, c))
                    for c in (LAST, 1_700_000_000_000)
                ],
            )
        for table in tables:
            admin.flush(name, table)
        admin._exec("org.apache.cassandra.db:type=StorageService", "refreshSizeEstimates")
    return name


def view_of(reader: Reader, place: str, table: str) -> View:
    found = read_view(reader, place, f"{table}_by")
    assert found
    return found


def connections(reader: Reader) -> list[int]:
    return [id(pool._connection) for pool in reader._session._pools.values()]


def test_every_way_of_reading_gives_its_bytes_and_keeps_the_connection(reader: Reader, place: str) -> None:
    cql = f"SELECT c, at FROM {place}.late WHERE p = 6"
    when = datetime(2023, 11, 14, 22, 13, 20)
    short = reader.rows(f"SELECT c FROM {place}.late WHERE p = 6 AND c = ?", (SHORT_TIME,))[0][0]
    expected = [(each, each) for each in (when, short, raw(FAR), raw(LAST))]
    reader.rows("SELECT key FROM system.local")
    before = connections(reader)
    table = read_table(reader, place, "late")
    assert table
    metered = MeteredReader(reader)
    ways: list[Callable[[], list[Any]]] = [
        lambda: reader.rows(cql),
        lambda: list(reader.frame(cql).itertuples(index=False, name=None)),
        lambda: [row for page in reader.pages(cql, page_size=2) for row in page],
        lambda: reader.execute_async(cql).rows(),
        lambda: reader.rows_on(reader.hosts()[0], cql),
        lambda: metered.rows(cql),
        lambda: sorted(
            (
                row[1:]
                for rows in scan(reader, table, ["p", "c", "at"], budget_rows=1000)
                for row in rows
                if row[0] == 6
            ),
            key=lambda row: (isinstance(row[0], bytes), row),
        ),
    ]
    for way in ways:
        assert repr([tuple(row) for row in way()]) == repr(expected)
    assert connections(reader) == before


def test_what_was_decoded_can_be_asked_for_again(reader: Reader, place: str) -> None:
    """As keys, those of which the driver alone would make another millisecond too."""
    keys = reader.rows(f"SELECT p, c, at FROM {place}.late WHERE p = 13")
    for p, c, at in keys:
        assert reader.rows(f"SELECT v FROM {place}.late WHERE p = ? AND c = ?", (p, c)) == [(1,)]
        assert reader.rows(f"SELECT v FROM {place}.late_by WHERE at = ? AND p = ? AND c = ?", (at, p, c)) == [
            (1,)
        ]


def _full(reader: Reader, view: View, _: Path) -> ComparisonReport:
    return reconcile(reader, view, Options(grace_s=0, sleep=lambda _: None))


def _sampled(reader: Reader, view: View, _: Path) -> ComparisonReport:
    return sampled(reader, view, grace_s=0, ranges=2000, seed=1)


def _keys(reader: Reader, view: View, folder: Path) -> ComparisonReport:
    file = folder / "keys.csv"
    file.write_text("\n".join(["at", *map(str, (FAR, SHORT - 6, LAST - 5, 1_700_000_000_000 - 5))]))
    base = read_table(reader, view.keyspace, view.base_name)
    assert base
    keys = read_keys(file, view, base)
    return compare_partitions(reader, view, keys, grace_s=0, budget_rows=10_000, sleep=lambda _: None)


@pytest.mark.parametrize("compare", [_full, _sampled, _keys])
@pytest.mark.parametrize("table", ["late", "later"])
def test_every_depth_compares_them(
    reader: Reader, place: str, tmp_path: Path, table: str, compare: Callable[..., ComparisonReport]
) -> None:
    view = view_of(reader, place, table)
    assert estimate(reader, view).rows
    report = compare(reader, view, tmp_path)
    assert report.complete, report.reasons
    assert {kind: number for kind, number in report.counts.items() if number} == {
        Kind(name): number for name, number in WRONG.items()
    }
    shown = [report.named(sample)["key"] for sample in report.samples]
    assert {"at": "2500-01-01T00:00:00.117Z", "p": 7, "c": "2500-01-01T00:00:00.123Z"} in shown
    assert {"at": "0x0000e677d21fdc00", "p": 6, "c": "0x0000e677d21fdc00"} in shown
    assert {"at": "0x7ffffffffffffffa", "p": 1, "c": "0x7fffffffffffffff"} in shown


def test_each_has_its_write_times(reader: Reader, place: str) -> None:
    view = view_of(reader, place, "late")
    report = _full(reader, view, Path())
    times = list(read_write_times(reader, (base_side(reader, view), view_side(view)), report))
    assert [set(each.base) for each in times] == [{"v"}] * 4
    assert [set(each.view) for each in times] == [set(), set(), {"v"}, {"v"}]
    assert all(
        isinstance(time, int) for each in times for side in (each.base, each.view) for time in side.values()
    )


def test_a_key_that_cannot_be_bound_loses_its_own_write_times_alone(reader: Reader, place: str) -> None:
    view = view_of(reader, place, "late")
    report = _full(reader, view, Path())
    unbindable = [
        Difference(Kind.LOST, (raw(FAR), f"p{number}", raw(FAR)), (1,), None) for number in range(40)
    ]
    report = replace(report, samples=(*unbindable, *report.samples))
    written = list(read_write_times(reader, (base_side(reader, view), view_side(view)), report))
    assert [each.base for each in written[:40]] == [{}] * 40
    assert all("does not fit" in each.unread for each in written[:40])
    assert [each.unread for each in written[40:]] == [""] * 4
    assert [set(each.base) for each in written[40:]] == [{"v"}] * 4
    assert why_unread(written).startswith("The write times of 40 of 44 samples could not be read: reading ")


OWNER, DEEP = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"), UUID(int=9)
# Scale and digits: of 5,000, more than can be decoded.
HUGE = b"\0\0\0\0" + b"\x77" * 2100


@pytest.fixture(scope="module")
def exchange(environment: dict[str, str], session: Session, server: Node) -> Profile:
    """The demo's second exchange, with an entry of the year 10000, and one owner with a balance of 5,000 digits."""
    name = f"far_wallets_{os.getpid()}"
    create_schema(session.execute, name, exchange=WALLETS)
    for owner, number, balance, moment in (
        (OWNER, 1, "1.1", 1_700_000_000_000),
        (OWNER, 2, "1.2", FAR),
        (DEEP, 1, f"blob_as_decimal(0x{HUGE.hex()})", LAST),
    ):
        session.execute(
            f"INSERT INTO {name}.wallet_journal (owner, coin, entry_no, amount_change, balance, kind, booked_at) "
            f"VALUES ({owner}, 'xbt', {number}, 1.1, {balance}, 'deposit', {moment})"
        )
    with server.admin() as admin:
        for table in ("wallet_journal", "wallets_by_owner"):
            admin.flush(name, table)
        admin._exec("org.apache.cassandra.db:type=StorageService", "refreshSizeEstimates")
    profile = load_profile(EMBEDDED_WALLETS, env=environment).model_copy(update={"grace_s": GRACE_S})
    return retarget(profile, keyspace=name, gateway_url=nowhere())


def test_an_account_with_an_entry_of_the_year_10000(ask: Ask, exchange: Profile) -> None:
    for code in ("Q001", "Q003"):
        result = ask(code, exchange, user_id=str(OWNER), strategy="skip_scan", assets_from="scan")
        assert result.verdict is Verdict.PASS, result
    assert ask("V005", exchange).verdict is Verdict.PASS


def test_a_balance_that_is_no_readable_number_is_named(ask: Ask, exchange: Profile) -> None:
    result = ask("Q003", exchange, user_id=str(DEEP), strategy="skip_scan")
    assert result.verdict is Verdict.UNKNOWN
    assert "wallet_journal.balance cannot be read: its value is 0x0000000077" in result.message
    result = ask("L003", exchange)
    assert result.verdict is Verdict.UNKNOWN
    assert "The first: account" in result.message
    assert "0x0000000077" in result.message
    assert len(result.message) < 1000


def test_the_doctor_reads_such_tables(exchange: Profile) -> None:
    report = examine_profile(exchange, "built in")
    rows = {row.subject: row for row in report.rows}
    for table in ("wallet_journal", "wallets_by_owner"):
        assert rows[f"read {exchange.keyspace}.{table}"].verdict is Verdict.PASS
    assert "shutdown" not in report.text()
