"""What a confirming scan keeps: which cells of a row prove what, and the rows under each key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from balancebook.reconcile.confirm import scan_rule
from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.confirm.record_files import PARTS, RecordFiles, needed_bytes, parts_of
from balancebook.reconcile.confirm.rule import GONE, IN_STEP
from balancebook.reconcile.confirm.scan_rows import KeptRows, ScanBatch, among, hash_of, record_layout
from balancebook.reconcile.confirm.scan_rule import Units
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.sketch.layout import Words
from balancebook.sketch.records import ADDRESS, DERIVED, FLAGS, KEY, SIZE_SHIFT, WORDS, RecordLayout
from scanned_rows import columns, row_bytes

RowCells = tuple[bytes | None, ...]


@pytest.mark.parametrize(
    ("of", "side", "own", "proof", "every"),
    [
        # Two keys and three values: the write times begin at 5, those of the base alone at 7.
        (columns(), VIEW, 0, (5, 6), False),
        (columns(("k",)), VIEW, 0, (5, 6), False),
        (columns(), BASE, 0, (5, 6), False),
        (columns((), ("u",)), BASE, 1, (5, 6, 7), False),
        # Where the base's row may move to another key, only a key that was not written shows that it did not.
        (columns(("k",)), BASE, 1, (7,), True),
        (columns(("k",), ("u", "w")), BASE, 3, (7,), True),
        (columns(("k", "l"), ("u",)), BASE, 3, (7, 8), True),
    ],
)
def test_what_shows_that_a_row_stood_still(
    of: LookColumns, side: int, own: int, proof: tuple[int, ...], every: bool
) -> None:
    assert record_layout(of, side) == RecordLayout(2, 3, 2, own, (1,), proof, every)


def words(*numbers: int) -> Words:
    return np.array(numbers, np.uint64)


def test_records_are_chosen_by_their_address() -> None:
    records = np.zeros((6, WORDS), np.uint64)
    records[:, ADDRESS] = [0, 5, 6, 2**64 - 1, 5, 9]
    assert among(records, words(5, 9)).tolist() == [False, True, False, False, True, True]
    assert among(records, words(0, 2**64 - 1)).tolist() == [True, False, False, True, False, False]
    assert among(records, words()).tolist() == [False] * 6
    assert among(records[:0], words(5)).tolist() == []


def test_a_key_s_hash_tells_its_cells_apart() -> None:
    keys = [(b"",), (b"", b""), (b"a", b"b"), (b"ab",), (b"ab", b""), (b"", b"ab"), (b"b", b"a")]
    hashes = {hash_of(key) for key in keys}
    assert len(hashes) == len(keys)
    assert 0 not in hashes
    assert all(0 < each < 2**64 for each in hashes)
    assert max(hashes) > 2**56
    assert hash_of((b"a", b"b")) == hash_of([b"a", b"b"])


def keep(folder: Path, side: int, rows: dict[tuple[int, int], RowCells], name: str = "second") -> None:
    """As a scan keeps them: the rows of a side by address and key."""
    records = np.zeros((len(rows), WORDS), np.uint64)
    for record, ((address, key), row) in zip(records, rows.items(), strict=True):
        record[[ADDRESS, KEY, FLAGS]] = address, key, (len(row_bytes(row)) << SIZE_SHIFT) | DERIVED
    with RecordFiles(folder, f"{name}.{side}").opened() as write:
        write(records, np.frombuffer(b"".join(map(row_bytes, rows.values())), np.uint8))


def row(key: int, base: int, value: bytes | None, time: bytes = b"later") -> RowCells:
    """Two keys and a value, and a write time, which is no part of the row."""
    return key.to_bytes(4, "big"), base.to_bytes(4, "big"), value, time


# The first two fall into one part, the third into another.
FIRST, SECOND, ELSEWHERE = (1, 11), (2, 12), (2**63, 13)


@pytest.fixture
def kept(tmp_path: Path) -> KeptRows:
    keep(
        tmp_path,
        BASE,
        {
            FIRST: row(1, 2, b"abc"),
            ELSEWHERE: row(7, 8, b"x"),
            SECOND: row(3, 4, None),
            (5, 0): row(9, 9, b""),
        },
    )
    keep(tmp_path, VIEW, {SECOND: row(3, 4, b"view"), (3, 14): row(5, 6, b"")})
    return KeptRows(tmp_path, "second", 0, 2, 3)


def test_the_rows_under_a_key(kept: KeptRows) -> None:
    assert kept.of(*FIRST) == (row(1, 2, b"abc")[:3], None)
    assert kept.of(*SECOND) == (row(3, 4, None)[:3], row(3, 4, b"view")[:3])
    assert kept.of(3, 14) == (None, row(5, 6, b"")[:3])
    # The base's own row, which derives none, is under no key.
    assert kept.of(5, 0) == (row(9, 9, b"")[:3], None)
    assert kept.of(1, 12) == (None, None)
    assert kept.of(*ELSEWHERE) == (None, None)
    assert dict(kept.all()) == {key: kept.of(*key) for key in (FIRST, SECOND, (3, 14))}


@pytest.mark.usefixtures("kept")
def test_another_part_and_another_scan_are_apart(tmp_path: Path) -> None:
    assert int(parts_of(words(2**63))[0]) == PARTS // 2
    assert KeptRows(tmp_path, "second", PARTS // 2, 2, 3).of(*ELSEWHERE) == (row(7, 8, b"x")[:3], None)
    assert KeptRows(tmp_path, "third", 0, 2, 3).of(*FIRST) == (None, None)
    # A second lot of records goes behind the first.
    keep(tmp_path, BASE, {(9, 19): row(4, 4, b"more")})
    assert KeptRows(tmp_path, "second", 0, 2, 3).of(9, 19) == (row(4, 4, b"more")[:3], None)


def test_a_difference_is_named_by_the_row_that_is_there(kept: KeptRows) -> None:
    lost = kept.difference(*FIRST, Kind.LOST, "why")
    assert (lost.kind, lost.key, lost.base, lost.view, lost.reason) == (
        Kind.LOST,
        row(1, 2, None)[:2],
        (b"abc",),
        None,
        "why",
    )
    orphan = kept.difference(3, 14, Kind.ORPHAN, "")
    assert (orphan.key, orphan.base, orphan.view) == (row(5, 6, None)[:2], None, (b"",))
    both = kept.difference(*SECOND, Kind.MISMATCH, "")
    assert (both.key, both.base, both.view) == (row(3, 4, None)[:2], (None,), (b"view",))
    nameless = kept.difference(4, 4, Kind.LAGGING, "")
    assert (nameless.key, nameless.base, nameless.view) == ((None, None), None, None)


def test_a_batch_tells_each_that_is_settled(kept: KeptRows) -> None:
    codes = [
        scan_rule.GONE,
        scan_rule.OPEN,
        scan_rule.LOST,
        scan_rule.LAGGING,
        scan_rule.ORPHAN,
        scan_rule.MISMATCH,
    ]
    keys = [(1, 1), (1, 2), FIRST, SECOND, (3, 14), SECOND]
    none = np.full(len(keys), -1, np.int64)
    units = Units(
        words(*(address for address, _ in keys)), words(*(key for _, key in keys)), none, none, none
    )
    found = np.array(codes, np.int8)
    batch = ScanBatch(units, found, np.flatnonzero(found != scan_rule.OPEN), kept)
    assert list(batch.kinds) == [Kind.LAGGING, Kind.LOST, Kind.LAGGING, Kind.ORPHAN, Kind.MISMATCH]
    assert batch.gone == 1
    assert [(batch[n].kind, batch[n].reason) for n in range(5)] == [
        (Kind.LAGGING, GONE), (Kind.LOST, ""), (Kind.LAGGING, IN_STEP), (Kind.ORPHAN, ""), (Kind.MISMATCH, ""),
    ]  # fmt: skip
    assert batch[1].base == (b"abc",)
    assert batch[3].view == (b"",)


def test_the_disk_that_records_take() -> None:
    # Records of 48 bytes in two scans, and the rows of both.
    assert needed_bytes(1000, 52, replicated=False) == 200_000
    assert needed_bytes(1000, 52, replicated=True) == 348_000
