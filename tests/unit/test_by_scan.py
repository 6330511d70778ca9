"""Confirming by scans: which scans are made, at what consistency, and what is said where one was not complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cassandra.cqltypes import DecimalType, Int32Type

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY, SCAN_CONSISTENCY
from balancebook.reconcile.confirm.by_scan import (
    NOT_READ,
    NoRoomError,
    ScanConfirming,
    Totals,
    _Sample,
    _Scans,
)
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.record_files import RecordFiles
from balancebook.reconcile.confirm.rule import GONE, IN_STEP
from balancebook.reconcile.confirm.scan_rows import among, record_layout
from balancebook.reconcile.confirm.settle import BEHIND
from balancebook.reconcile.confirm.suspects import Suspects
from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import KeyIdentity
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.sketch.layout import Words
from balancebook.sketch.records import RecordReader
from balancebook.store.ranges import ScanReport
from balancebook.store.raw import RawPage
from balancebook.store.tokens import split_ring
from scanned_rows import columns, row_bytes

Row = tuple[bytes | None, ...]
Sides = tuple[Sequence[Row], Sequence[Row]]


def row(key: int, base: int, value: bytes = b"v", time: int = 1) -> Row:
    """Keys k and p, values a and b, and their write times."""
    stamp = time.to_bytes(8, "big")
    return key.to_bytes(4, "big"), base.to_bytes(4, "big"), value, b"b", stamp, stamp


@dataclass
class Script:
    """What each scan finds on (base, view), and which were not complete; what was asked for, and how long it waited."""

    scanned: dict[str, Sides]
    incomplete: Sequence[str] = ()
    replicated: bool = False
    asked: list[tuple[str, str, str, bool]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    by_key: list[tuple[Any, Kind]] = field(default_factory=list)
    wanted: dict[str, Words | None] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    settles: bool = True

    def batches(self, patch: pytest.MonkeyPatch, folder: Path) -> list[RawDifference]:
        """All that is said of the rows that differ."""
        patch.setattr(_Scans, "_read", lambda scans, *given, keep: self._read(scans, *given, keep=keep))
        none: Any = None
        settling: Any = SimpleNamespace(
            looker=SimpleNamespace(replicated=self.replicated), pause=lambda *_: self.slept.append(3.0),
            outcomes=self._outcomes,
        )  # fmt: skip
        how = ScanConfirming(
            reader=none,
            sides=(none, none),
            columns=COLUMNS,
            settling=settling,
            seed=5,
            ranges=1,
            totals=self.totals,
        )
        batches = _Scans(how, folder, COLUMNS, by_key=not self.settles).batches()
        return [batch[n] for batch in batches for n in range(len(batch.kinds))]

    def _outcomes(self, suspects: Suspects) -> list[Any]:
        self.by_key += [(each.key, each.suspicion) for each in suspects]
        return []

    def _read(
        self,
        scans: _Scans,
        side: int,
        files: RecordFiles,
        consistency: str,
        wanted: Words | None,
        *,
        keep: bool,
    ) -> ScanReport:
        name = files._name.partition(".")[0]
        self.asked.append((name, "base" if side == BASE else "view", consistency, keep))
        self.wanted[name] = wanted
        if f"{name}.{side}" in self.incomplete:
            return ScanReport(ranges_total=1, reasons=[f"{name} was cut off"])
        rows = self.scanned.get(name, self.scanned["first"])[side]
        body = bytes(8) + b"".join(map(row_bytes, rows))
        reader = RecordReader(record_layout(COLUMNS, side), scans.how.seed)
        records, _ = reader.read(np.frombuffer(body, np.uint8), 8, len(rows))
        chosen = np.arange(len(rows)) if wanted is None else np.flatnonzero(among(records, wanted))
        kept = b"".join(row_bytes(rows[n]) for n in chosen.tolist())
        with files.opened() as write:
            write(records[chosen], np.frombuffer(kept, np.uint8) if keep else None)
        return ScanReport(ranges_total=1, rows=len(rows), ranges_done=1)


COLUMNS = replace(columns(), names=("k", "p", "a", "b"))
SOUND = [row(n, n) for n in range(5)]
LOST, WRONG, OLD = row(11, 11), row(12, 12, b"right"), row(12, 12, b"wrong")
EXTRA = row(13, 13)
# Base and view: one lost, one wrong, one too many.
FAULTS: Sides = ([*SOUND, LOST, WRONG], [*SOUND, OLD, EXTRA])
HEALED: Sides = ([*SOUND, LOST, WRONG], [*SOUND, LOST, WRONG])


def kinds(found: Sequence[RawDifference]) -> dict[Any, Kind]:
    return {each.key: each.kind for each in found}


def key(cells: Row) -> Any:
    return cells[:2]


def test_two_scans_settle_what_nobody_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = Script({"first": FAULTS})
    found = script.batches(monkeypatch, tmp_path)
    assert kinds(found) == {key(LOST): Kind.LOST, key(WRONG): Kind.MISMATCH, key(EXTRA): Kind.ORPHAN}
    assert script.asked == [
        ("first", "view", SCAN_CONSISTENCY, False), ("first", "base", SCAN_CONSISTENCY, True),
        ("second", "view", CONFIRM_CONSISTENCY, True), ("second", "base", CONFIRM_CONSISTENCY, True),
    ]  # fmt: skip
    assert script.slept == [3.0]
    assert script.wanted["first"] is None
    assert script.wanted["second"] is not None
    assert len(script.wanted["second"]) == 3
    # Of the base seven rows, of the view seven; two rows of either side differed.
    both = ScanReport(ranges_total=2, rows=14, ranges_done=2)
    assert script.totals == Totals(base=7, view=7, differing=4, complete=True, read=(7, 7), report=both)


def test_what_is_in_step_in_the_second_scan_lagged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = Script({"first": FAULTS, "second": HEALED}).batches(monkeypatch, tmp_path)
    assert {each.kind for each in found} == {Kind.LAGGING}
    assert {each.key: each.reason for each in found} == {
        key(LOST): IN_STEP,
        key(WRONG): IN_STEP,
        # An orphan that is gone has no row to be named by.
        (None, None): GONE,
    }


def test_what_was_written_meanwhile_is_looked_at_by_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    again = row(11, 11, time=2)
    script = Script({"first": FAULTS, "second": ([*SOUND, again, WRONG], [*SOUND, OLD, EXTRA])})
    found = script.batches(monkeypatch, tmp_path)
    assert kinds(found) == {key(WRONG): Kind.MISMATCH, key(EXTRA): Kind.ORPHAN}
    assert script.by_key == [(key(LOST), Kind.LOST)]


GONE_WRONG: Sides = ([*SOUND, WRONG], [*SOUND, OLD])
ALL_GONE: Sides = (SOUND, SOUND)
LEFT_OVER: Sides = (SOUND, [*SOUND, EXTRA])


def test_what_the_view_alone_had_and_is_gone_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where scans settle nothing: it has no row in the second scan by which it could be looked at."""
    script = Script({"first": LEFT_OVER, "second": ALL_GONE, "third": ALL_GONE}, settles=False)
    found = script.batches(monkeypatch, tmp_path)
    assert [(each.key, each.kind, each.reason) for each in found] == [((None, None), Kind.LAGGING, GONE)]
    assert [name for name, side, *_ in script.asked if side == "base"] == ["first", "second", "third"]
    assert script.slept == [3.0, 3.0]
    back = Script({"first": LEFT_OVER, "second": ALL_GONE, "third": LEFT_OVER}, settles=False)
    folder = tmp_path / "back"
    folder.mkdir()
    assert back.batches(monkeypatch, folder) == []
    assert back.by_key == [(key(EXTRA), Kind.ORPHAN)]


@pytest.mark.parametrize(
    ("first", "wanted"),
    [(([*SOUND, LOST], SOUND), LOST), (GONE_WRONG, WRONG)],
    ids=["lost", "wrong"],
)
def test_what_the_base_derived_and_is_gone_is_looked_at_by_the_key_that_it_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: Sides, wanted: Row
) -> None:
    """It may come back, and be lost or wrong still. Of the view's rows the first scan keeps none."""
    script = Script({"first": first, "second": ALL_GONE})
    assert script.batches(monkeypatch, tmp_path) == []
    assert script.by_key == [(key(wanted), Kind.LOST)]
    assert [name for name, side, *_ in script.asked if side == "base"] == ["first", "second"]


def test_of_a_base_with_replicas_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost: Sides = ([*SOUND, LOST], SOUND)
    for number, gone in enumerate(("quorum", "second")):
        folder = tmp_path / str(number)
        folder.mkdir()
        script = Script({"first": lost, "quorum": lost, "second": lost, gone: ALL_GONE}, replicated=True)
        script.batches(monkeypatch, folder)
        assert script.by_key == [(key(LOST), Kind.LOST)]


@pytest.mark.parametrize("side", [BASE, VIEW])
def test_a_third_scan_cut_off_leaves_it_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, side: int
) -> None:
    scanned = {"first": LEFT_OVER, "second": ALL_GONE, "third": ALL_GONE}
    script = Script(scanned, [f"third.{side}"], settles=False)
    found = script.batches(monkeypatch, tmp_path)
    assert [(each.kind, each.reason) for each in found] == [(Kind.UNKNOWN, f"{NOT_READ}: third was cut off")]


@pytest.mark.parametrize("side", [BASE, VIEW])
@pytest.mark.parametrize(
    ("name", "replicated"),
    [
        ("first", False),
        ("first", True),
        ("again", True),
        ("quorum", True),
        ("second", False),
        ("second", True),
    ],
)
def test_a_scan_cut_off_leaves_all_that_differed_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, replicated: bool, side: int
) -> None:
    script = Script({"first": FAULTS}, [f"{name}.{side}"], replicated)
    found = script.batches(monkeypatch, tmp_path)
    assert {each.kind for each in found} == {Kind.UNKNOWN}
    assert {each.reason for each in found} == {f"{NOT_READ}: {name} was cut off"}
    # Of the first nothing need be there to compare; it is one row at least.
    assert len(found) == (3 if name != "first" else 1 if side == VIEW else len(FAULTS[VIEW]))
    assert script.asked[-1][0] == name


def test_of_a_base_with_replicas_a_quorum_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = Script(
        {"first": FAULTS, "quorum": ([*SOUND, LOST, WRONG], [*SOUND, LOST, OLD, EXTRA])}, replicated=True
    )
    script.scanned["second"] = script.scanned["quorum"]
    found = script.batches(monkeypatch, tmp_path)
    assert [(each.kind, each.key, each.reason) for each in found if each.kind is Kind.REPLICA] == [
        (Kind.REPLICA, key(LOST), BEHIND)
    ]
    assert kinds(found) == {key(LOST): Kind.REPLICA, key(WRONG): Kind.MISMATCH, key(EXTRA): Kind.ORPHAN}
    assert [
        (name, consistency, keep) for name, side, consistency, keep in script.asked if side == "view"
    ] == [
        ("first", SCAN_CONSISTENCY, False),
        ("again", SCAN_CONSISTENCY, False),
        ("quorum", CONFIRM_CONSISTENCY, True),
        ("second", CONFIRM_CONSISTENCY, True),
    ]
    assert script.slept == [3.0, 3.0]


def test_what_a_quorum_shows_with_equal_values_is_settled_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In step it lagged, an orphan that is gone is gone, and equal values with other write times prove nothing."""
    rewritten = row(12, 12, b"right", time=2)
    quorum: Sides = ([*SOUND, row(11, 11, time=2), WRONG], [*SOUND, row(11, 11, time=2), rewritten])
    script = Script({"first": FAULTS, "quorum": quorum, "second": quorum}, replicated=True)
    found = script.batches(monkeypatch, tmp_path)
    assert sorted((each.key[0] or b"", each.kind, each.reason) for each in found) == [
        (b"", Kind.LAGGING, GONE),
        (key(LOST)[0], Kind.LAGGING, IN_STEP),
    ]
    assert script.by_key == [(key(WRONG), Kind.MISMATCH)]


def test_what_a_quorum_does_not_show_at_all_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scanned = {"first": LEFT_OVER, "quorum": ALL_GONE, "second": ALL_GONE, "third": LEFT_OVER}
    script = Script(scanned, replicated=True, settles=False)
    assert script.batches(monkeypatch, tmp_path) == []
    assert script.by_key == [(key(EXTRA), Kind.ORPHAN)]


def test_where_scans_see_less_than_looks_by_key_they_name_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = Script({"first": FAULTS}, settles=False)
    assert script.batches(monkeypatch, tmp_path) == []
    assert len(script.by_key) == 3


@pytest.mark.parametrize(
    ("expiring", "shared", "by_key"),
    [(False, False, False), (True, False, True), (False, True, True)],
    ids=["plain", "with times to live", "rows that share a row of the view"],
)
def test_scans_see_less_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, expiring: bool, shared: bool, by_key: bool
) -> None:
    columns = COLUMNS
    if shared:
        columns = replace(COLUMNS, base_partition=(1,), identity=KeyIdentity([Int32Type, DecimalType], {0}))
    how = confirming(columns, beside=tmp_path / "state")
    [made] = scans_of(monkeypatch, how, _Sample(100, expiring=expiring, timed=False))
    assert made.by_key is by_key


@pytest.mark.parametrize(("timed", "unselected"), [(True, ()), (False, ("u",))])
def test_a_column_missing_from_the_view_is_read_where_no_other_shows_that_a_row_stood_still(
    monkeypatch: pytest.MonkeyPatch, timed: bool, unselected: tuple[str, ...]
) -> None:
    has = replace(COLUMNS, unselected=("u",))
    [made] = scans_of(monkeypatch, confirming(has), _Sample(100, expiring=False, timed=timed))
    assert made.columns == replace(has, unselected=unselected)


def scans_of(monkeypatch: pytest.MonkeyPatch, how: ScanConfirming, sample: _Sample) -> list[_Scans]:
    """The scans that would be made after that sample."""
    made: list[_Scans] = []

    def batches(scans: _Scans) -> list[Any]:
        made.append(scans)
        return []

    monkeypatch.setattr(_Scans, "batches", batches)
    monkeypatch.setattr(ScanConfirming, "_sample", lambda _: sample)
    assert list(how.batches(10)) == []
    return made


def confirming(columns: LookColumns, **given: Any) -> ScanConfirming:
    none: Any = None
    key = (SimpleNamespace(name="k"),)
    sides: Any = tuple(
        SimpleNamespace(table=SimpleNamespace(cql_name=f"k.{name}", partition_key=key))
        for name in ("base", "view")
    )
    settling: Any = SimpleNamespace(looker=SimpleNamespace(replicated=False), grace_s=1.0)
    return ScanConfirming(
        **{"reader": none, "sides": sides, "columns": columns, "settling": settling, "seed": 5, "ranges": 1}
        | given
    )


SHORT, LONG = (*row(1, 1), None, None), (*row(1, 1, b"a longer value"), None, None)
EXPIRES = (*SHORT[:-1], (60).to_bytes(4, "big"))
UNTIMED = (*SHORT[:4], None, None, None, None)
HALF_TIMED = (*SHORT[:4], None, *SHORT[5:])
SIZE = len(row_bytes(SHORT))


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([[SHORT]], _Sample(SIZE, expiring=False, timed=True)),
        ([[SHORT, LONG], [SHORT]], _Sample(SIZE + 5, expiring=False, timed=True)),
        ([[SHORT], [EXPIRES]], _Sample(SIZE + 2, expiring=True, timed=True)),
        ([[EXPIRES], [SHORT]], _Sample(SIZE + 2, expiring=True, timed=True)),
        ([[SHORT], [UNTIMED]], _Sample(SIZE - 8, expiring=False, timed=False)),
        ([[UNTIMED, SHORT]], _Sample(SIZE - 8, expiring=False, timed=False)),
        ([[HALF_TIMED]], _Sample(SIZE - 8, expiring=False, timed=True)),
        ([[]], _Sample(0, expiring=False, timed=True)),
        ([], _Sample(0, expiring=False, timed=True)),
    ],
    ids=["one row", "rounded up", "the last expires", "the first expires", "the last has no write time",
         "the first has none", "one write time is enough", "an empty page", "no page"],
)  # fmt: skip
def test_what_a_sample_of_rows_tells(
    monkeypatch: pytest.MonkeyPatch, pages: list[list[Row]], found: _Sample
) -> None:
    """pages: the rows of each, the same on both sides."""
    asked: list[str] = []

    def sent(_reader: object, cql: str, _params: object) -> list[RawPage]:
        asked.append(cql)
        bodies = [b"".join(map(row_bytes, rows)) for rows in pages]
        names = COLUMNS.expressions(BASE)
        return [
            RawPage(len(rows), np.frombuffer(bytes(8) + body, np.uint8), 8, names, ())
            for rows, body in zip(pages, bodies, strict=True)
        ]

    monkeypatch.setattr("balancebook.reconcile.confirm.by_scan.raw_pages", sent)
    assert confirming(COLUMNS)._sample() == found
    timed = ', WRITETIME("a"), WRITETIME("b"), TTL("a"), TTL("b")'
    assert [cql.partition(" LIMIT")[0] for cql in asked] == [
        f'SELECT "k", "p", "a", "b"{timed} FROM k.{name}' for name in ("base", "view")
    ]


def test_a_sample_is_read_range_by_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """One statement over all that was deleted before the first row may be refused by the server."""
    asked: list[tuple[str, object]] = []

    def sent(_reader: object, cql: str, params: object) -> list[RawPage]:
        asked.append((cql.partition(" FROM ")[2], params))
        body = row_bytes(SHORT) * 120
        return [RawPage(120, np.frombuffer(bytes(8) + body, np.uint8), 8, COLUMNS.expressions(BASE), ())]

    monkeypatch.setattr("balancebook.reconcile.confirm.by_scan.raw_pages", sent)
    assert confirming(COLUMNS, ranges=4)._sample().row_bytes == SIZE
    (_, first_end), second, *_ = split_ring(4)
    assert [each for each in asked if "k.view" in each[0]] == [
        ('k.view WHERE token("k") <= ? LIMIT 200', (first_end,)),
        ('k.view WHERE token("k") > ? AND token("k") <= ? LIMIT 80', second),
    ]


@pytest.mark.parametrize(("free", "enough"), [(96, False), (3_039_999, False), (3_040_000, True)])
def test_without_room_on_the_disk_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, enough: bool
) -> None:
    monkeypatch.setattr(ScanConfirming, "_sample", lambda _: _Sample(104, expiring=False, timed=True))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    said: list[str] = []
    how = confirming(COLUMNS, beside=tmp_path / "state", told=said.append)
    monkeypatch.setattr(_Scans, "batches", lambda _: iter(()))
    if enough:
        assert list(how.batches(10_000)) == []
    else:
        with pytest.raises(NoRoomError, match=r"up to 3 MiB in .* which has [03] MiB free"):
            list(how.batches(10_000))
    assert said[0].startswith("comparing by records on disk: up to 3 MiB in ")
    assert not list(tmp_path.iterdir())
