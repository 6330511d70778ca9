"""One table of cases that every way to compare must judge alike, on a real server: full, by scans, by keys, sampled."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session
from cassandra.query import BoundStatement
from distributed import LocalCluster

from balancebook.demo.faults import Injector
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.reconcile import engine
from balancebook.reconcile.engine import reconcile
from balancebook.reconcile.executors import dask, processes
from balancebook.reconcile.keys_file import read_keys
from balancebook.reconcile.kinds import FAULTS, Kind
from balancebook.reconcile.options import Options, layout_of
from balancebook.reconcile.partitions import compare_partitions
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.sampled import sampled
from balancebook.store.reader import Reader
from balancebook.store.schema import View, read_table
from balancebook.verdict import Verdict
from reconciling import Shape, counts, made

GRACE_S = 0.5
DAY_US = 24 * 3600 * 10**6
LEDGER = "p int, c int, a int, b int, z int"
numbers = itertools.count()


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace for the tables of this file."""
    name = f"cases_{os.getpid()}"
    create_schema(session.execute, name, indexes=False)
    return name


@pytest.fixture
def fault(server: Node, session: Session, place: str) -> Iterator[Injector]:
    with server.admin() as admin:
        yield Injector(session.execute, admin, place)


@dataclass(frozen=True)
class Setting:
    """What a case works with: a view, its base's full name, and a way to write past the view."""

    session: Session
    fault: Injector
    view: View

    @property
    def base(self) -> str:
        return f"{self.view.keyspace}.{self.view.base_name}"

    def write(self, statement: str) -> None:
        """A write of the application."""
        self.session.execute(statement.replace("{base}", self.base))

    def view_alone(self, *statements: str) -> None:
        """Writes that reach the view alone."""
        self.fault.import_cells(self.view.name, [(statement, ()) for statement in statements])

    def raw(self, statement: str, *cells: bytes) -> None:
        """A write of the application with cells as bytes."""
        bound = BoundStatement(self.session.prepare(statement.replace("{base}", self.base)))
        bound.values = list(cells)
        self.session.execute(bound)


@dataclass(frozen=True)
class Case:
    """A view, what happens to it, what writers do meanwhile, and what must be found."""

    columns: str
    key: str
    view_key: str
    expected: dict[str, int]
    selected: str = "*"
    rows: tuple[str, ...] = ()
    damage: Callable[[Setting], None] = field(default=lambda _: None)
    writer: Callable[[Setting, int], None] | None = None
    every_s: float = 0.05


def far(seconds: float = 86_400) -> int:
    return int((time.time() + seconds) * 10**6)


def plain_rows(count: int) -> tuple[str, ...]:
    return tuple(f"(p, c, a, b, z) VALUES ({n % 5}, {n}, {n}, {n}, {n})" for n in range(count))


def delete_far(at: Setting) -> None:
    at.view_alone(
        *(f"DELETE FROM {{table}} USING TIMESTAMP {far()} WHERE p = {n} AND c = {n}" for n in range(5))
    )


def rewrite_whole(at: Setting, turn: int) -> None:
    for n in range(5):
        at.write(f"INSERT INTO {{base}} (p, c, a, b, z) VALUES ({n}, {n}, {turn}, {turn}, {turn})")


def wrong_cell_far(at: Setting) -> None:
    at.view_alone(
        *(
            f"UPDATE {{table}} USING TIMESTAMP {far()} SET b = 999999 WHERE p = {n} AND c = {n}"
            for n in range(5)
        )
    )


def touch_another(at: Setting, turn: int) -> None:
    for n in range(5):
        at.write(f"UPDATE {{base}} SET a = {turn} WHERE p = {n} AND c = {n}")


def flip_flags(at: Setting, turn: int) -> None:
    for n in range(5):
        at.write(f"UPDATE {{base}} SET a = {turn % 2} WHERE p = {n} AND c = {n}")


def decimal_key_rewritten(at: Setting) -> None:
    at.write("INSERT INTO {base} (p, d, v) VALUES (0, 1.0, 7)")
    at.write("UPDATE {base} SET d = 1.00 WHERE p = 0")


def orphan_below_zero(at: Setting) -> None:
    at.write("INSERT INTO {base} (p, d, v) VALUES (1, 0.0, 5)")
    at.view_alone("INSERT INTO {table} (d, p, v) VALUES (-0.0, 1, 5)")


def nan_key(at: Setting) -> None:
    at.write("INSERT INTO {base} (p, d, v) VALUES (1, NaN, 5)")
    at.write("INSERT INTO {base} (p, d, v) VALUES (2, NaN, 6)")
    at.view_alone("DELETE FROM {table} WHERE d = NaN AND p = 1")


def sized(cell: bytes) -> bytes:
    return len(cell).to_bytes(4, "big") + cell


def set_of(*elements: int) -> bytes:
    return len(elements).to_bytes(4, "big") + b"".join(sized(each.to_bytes(4, "big")) for each in elements)


def two_orders(at: Setting) -> None:
    """To the server a set inside a tuple is as it was written: two orders are two keys."""
    for value, order in enumerate([(1, 2), (2, 1)]):
        key = sized((9).to_bytes(4, "big")) + sized(set_of(*order))
        at.raw(
            "INSERT INTO {base} (p, c, v) VALUES (?, ?, ?)",
            *((n).to_bytes(4, "big") for n in (1,)),
            key,
            value.to_bytes(4, "big"),
        )
    at.view_alone("DELETE FROM {table} WHERE p = 1 AND c = (9, {1, 2})")


def deleted_and_back(at: Setting, turn: int) -> None:
    for n in range(5):
        if turn % 2:
            at.write(f"DELETE FROM {{base}} WHERE p = {n} AND c = {n}")
        else:
            at.write(f"INSERT INTO {{base}} (p, c, a, b, z) VALUES ({n}, {n}, 1, 1, 1)")


def leave_orphan(at: Setting) -> None:
    at.view_alone("INSERT INTO {table} (p, c, a, b) VALUES (77, 1, 1, 1)")


def moved_key_left_over(at: Setting) -> None:
    """The base row moves from k = 1 to k = 2; the row under 1 comes back in the view alone."""
    at.write("UPDATE {base} SET k = 2 WHERE p = 1")
    at.view_alone("INSERT INTO {table} (k, p, v) VALUES (1, 1, 1)")


CASES = {
    "lost for good, its base rows rewritten as a whole": Case(
        LEDGER, "p, c", "p, c", {"LOST": 5}, "p, c, a, b", plain_rows(40), delete_far, rewrite_whole
    ),
    "a wrong cell while another one changes": Case(
        LEDGER, "p, c", "p, c", {"MISMATCH": 5}, "p, c, a, b", plain_rows(40), wrong_cell_far, touch_another
    ),
    "lost for good, of rows with a time to live": Case(
        f"{LEDGER}, s set<int>",
        "p, c",
        "p, c",
        {"LOST": 5},
        "p, c, a, b, s",
        tuple(
            f"(p, c, a, b, z, s) VALUES ({n % 5}, {n}, {n}, {n}, {n}, {{{n}}}) USING TTL 7200"
            for n in range(40)
        ),
        delete_far,
    ),
    "sound rows whose flags flip": Case(
        LEDGER, "p, c", "p, c", {}, "p, c, a, b", plain_rows(40), writer=flip_flags
    ),
    "sound rows that are deleted and come back": Case(
        LEDGER, "p, c", "p, c", {}, "p, c, a, b", plain_rows(40), writer=deleted_and_back
    ),
    "an orphan beside writers": Case(
        LEDGER, "p, c", "p, c", {"ORPHAN": 1}, "p, c, a, b", plain_rows(40), leave_orphan, flip_flags
    ),
    "a decimal in the view's partition key rewritten": Case(
        "p int, d decimal, v int", "p", "d, p", {"ORPHAN": 1, "MISMATCH": 1}, damage=decimal_key_rewritten
    ),
    "an orphan at -0.0 beside 0.0": Case(
        "p int, d double, v int", "p", "d, p", {"ORPHAN": 1}, damage=orphan_below_zero
    ),
    "NaN in a key": Case("p int, d double, v int", "p", "d, p", {"LOST": 1}, damage=nan_key),
    "two orders of a set inside a tuple": Case(
        "p int, c frozen<tuple<int, frozen<set<int>>>>, v int", "p, c", "p, c", {"LOST": 1}, damage=two_orders
    ),
    "a base row that left its key": Case(
        "p int, k int, v int",
        "p",
        "k, p",
        {"ORPHAN": 1},
        rows=("(p, k, v) VALUES (1, 1, 1)", "(p, k, v) VALUES (2, 2, 2)"),
        damage=moved_key_left_over,
    ),
}


@contextmanager
def writing(case: Case, at: Setting) -> Iterator[None]:
    """The writers at work."""
    ended = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        turn = 0
        while not ended.wait(case.every_s):
            turn += 1
            try:
                if case.writer:
                    case.writer(at, turn)
            except Exception as error:  # noqa: BLE001 (handed to the test below)
                failed.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not failed, failed


def full(reader: Reader, view: View, _: Path) -> ComparisonReport:
    return reconcile(reader, view, Options(grace_s=GRACE_S))


def by_scan(reader: Reader, view: View, _: Path) -> ComparisonReport:
    """Until scans are what confirms: of sound rows beside writers a first pass may see none that differs."""
    for _attempt in range(10):
        told: list[str] = []
        report = reconcile(reader, view, Options(grace_s=GRACE_S, most_by_key=0, told=told.append))
        if any("by scans of both sides" in each for each in told) or report.verdict is not Verdict.PASS:
            break
    return report


def by_tokens(reader: Reader, view: View, _: Path) -> ComparisonReport:
    """As for a view whose key has no fixed width: the sketch names rows by their tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "layout_of", lambda *given: layout_of(*given).by_tokens())
        return reconcile(reader, view, Options(grace_s=GRACE_S))


def by_keys(reader: Reader, view: View, folder: Path) -> ComparisonReport:
    """All partitions of the base's integer key are asked for."""
    base = read_table(reader, view.keyspace, view.base_name)
    assert base
    file = folder / "keys.csv"
    file.write_text("p\n" + "\n".join(map(str, [*range(6), 77])))
    return compare_partitions(reader, view, read_keys(file, view, base), grace_s=GRACE_S)


def in_a_sample(reader: Reader, view: View, _: Path) -> ComparisonReport:
    return sampled(reader, view, grace_s=GRACE_S, ranges=128, seed=3)


def by_workers(reader: Reader, view: View, _: Path) -> ComparisonReport:
    """Other processes read and fold."""
    with processes(2, reader.profile) as folder:
        return reconcile(reader, view, Options(grace_s=GRACE_S), folder)


def by_dask(reader: Reader, view: View, _: Path) -> ComparisonReport:
    """The workers of a Dask scheduler read and fold."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        dask(cluster.scheduler_address, reader.profile) as folder,
    ):
        return reconcile(reader, view, Options(grace_s=GRACE_S), folder)


WAYS = {
    "full": full,
    "by scan": by_scan,
    "by tokens": by_tokens,
    "by keys": by_keys,
    "sampled": in_a_sample,
    "workers": by_workers,
    "dask": by_dask,
}


# With workers and Dask only two cases: they start processes, which takes seconds, and what follows is the same.
PROCESSES = ("workers", "dask")
PAIRS: list[Any] = [(name, way) for name in CASES for way in WAYS if way not in PROCESSES]
PAIRS += [pytest.param(name, way, marks=pytest.mark.e2e) for name in list(CASES)[:2] for way in PROCESSES]


@pytest.mark.parametrize(("name", "way"), PAIRS)
def test_every_way_says_the_same(
    session: Session, reader: Reader, place: str, fault: Injector, tmp_path: Path, name: str, way: str
) -> None:
    case = CASES[name]
    shape = Shape(case.columns, case.key, case.selected, case.view_key, case.rows, (), {})
    view = made(session, reader, place, shape)
    at = Setting(session, fault, view)
    case.damage(at)
    with writing(case, at):
        report = WAYS[way](reader, view, tmp_path)
    found = {kind: report.counts[kind] for kind in (*FAULTS, Kind.UNKNOWN)}
    assert found == {kind: counts(**case.expected)[kind] for kind in found}, (report.message, report.samples)
    assert report.verdict is (Verdict.FAIL if case.expected else Verdict.PASS), report.message
