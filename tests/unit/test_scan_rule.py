"""The rule over whole scans never says anything else than the rule over looks, and settles what nobody writes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.reconcile.confirm import scan_rule
from balancebook.reconcile.confirm.rule import BaseRow, Cells, Look, difference, judge
from balancebook.reconcile.confirm.scan_rule import Scan, derived_and_gone, differing, settled
from balancebook.reconcile.kinds import Kind
from balancebook.sketch.layout import Words
from balancebook.sketch.records import WORDS, RecordLayout, RecordReader, joined
from confirmation_model import GRACE_S, Mutation, World
from scanned_rows import row_bytes

KINDS = {
    scan_rule.LOST: Kind.LOST,
    scan_rule.MISMATCH: Kind.MISMATCH,
    scan_rule.ORPHAN: Kind.ORPHAN,
    scan_rule.LAGGING: Kind.LAGGING,
    scan_rule.GONE: Kind.LAGGING,
}
HOME = (0).to_bytes(4, "big")
# The view's key is (k, p) or (p); two values, their write times; of the base those of k and of an unselected column.
PLAIN_BASE = RecordLayout(1, 2, 2, 1, (0,), (3, 4, 5), False)
PLAIN_VIEW = RecordLayout(1, 2, 2, 0, (0,), (3, 4), False)
KEYED_BASE = RecordLayout(2, 2, 2, 2, (1,), (6,), True)
KEYED_VIEW = RecordLayout(2, 2, 2, 0, (1,), (4, 5), False)


def records(layout: RecordLayout, rows: list[tuple[bytes | None, ...]]) -> Words:
    if not rows:
        return np.empty((0, WORDS), np.uint64)
    body = bytes(8) + b"".join(map(row_bytes, rows))
    return RecordReader(layout, 5).read(np.frombuffer(body, np.uint8), 8, len(rows))[0]


def base_row(number: int, base: BaseRow, *, keyed: bool, hidden: Cells) -> tuple[bytes | None, ...]:
    own = base.derived or hidden
    key = (base.key_values[0], number.to_bytes(4, "big")) if keyed else (number.to_bytes(4, "big"),)
    return (*key, *own.values, *own.times, *base.key_times, *base.others)


def scan_of(looks: list[Look], *, keyed: bool) -> Scan:
    """The two sides as a scan saw them, row by row."""
    hidden = Cells((None, None), (None, None))
    base = [
        base_row(n, look.base, keyed=keyed, hidden=hidden)
        for n, look in enumerate(looks)
        if look.base is not None
    ]
    view = [
        (*((HOME,) if keyed else ()), n.to_bytes(4, "big"), *look.view.values, *look.view.times)
        for n, look in enumerate(looks)
        if look.view is not None
    ]
    of_base, of_view = (KEYED_BASE, KEYED_VIEW) if keyed else (PLAIN_BASE, PLAIN_VIEW)
    return Scan(records(of_base, base), records(of_view, view))


FAULTS = [
    [],
    [Mutation(0, 10**12, {"delete": 1})],
    [Mutation(0, 10**12, {"b": 77})],
    [Mutation(0, -(10**9), {"": 1, "a": 5, "k": 0})],
]


def world(chance: random.Random, *, keyed: bool) -> World:
    kinds = [
        "flag",
        "value",
        "all",
        "null",
        "unselected",
        "delete",
        "flag ttl",
        *(["key", "no key"] if keyed else []),
    ]
    rate = chance.choice([0.001, 0.02, 0.1, 1])
    return World(chance, chance.sample(kinds, 2), rate, keyed, faults=list(chance.choice(FAULTS)))


def course(chance: random.Random, *, keyed: bool) -> tuple[list[Look], list[Look]]:
    """Two scans of forty rows: the view is read before the base, and the second scan a grace period after the first."""
    began = chance.uniform(0, 50)
    first, second = list[Look](), list[Look]()
    for one in (world(chance, keyed=keyed) for _ in range(40)):
        a, b = began + chance.uniform(0, 3), began + chance.uniform(3, 6)
        first.append(Look(one.view(a), one.base(b), began, began + 6))
        # Beyond what rounding may take away.
        later = began + 6 + GRACE_S + 0.001
        a, b = later + chance.uniform(0, 3), later + chance.uniform(3, 6)
        second.append(Look(one.view(a), one.base(b), later, later + 6))
    return first, second


@settings(max_examples=300)
@given(seed=st.integers(0, 2**48), keyed=st.booleans())
def test_what_scans_settle_the_rule_over_looks_says_too(seed: int, keyed: bool) -> None:
    chance = random.Random(seed)
    first, second = course(chance, keyed=keyed)
    before, after = scan_of(first, keyed=keyed), scan_of(second, keyed=keyed)
    units = differing(before)
    codes = settled(units, before, after, all_timed=True, moving=keyed)
    suspected = {n: kind for n, look in enumerate(first) if (kind := difference(*look.values))}
    home = {n: scan_of([look], keyed=keyed) for n, look in enumerate(first) if n in suspected}
    by_address = {_address(n, keyed=keyed): n for n in home}
    found: dict[int, Kind] = {}
    for address, key, code in zip(units.addresses.tolist(), units.keys.tolist(), codes.tolist(), strict=True):
        number = by_address.get(address)
        if number is None or key != _key(number, keyed=keyed):
            # The base's row under another key, of which the model has no view row: nothing may be settled as a fault
            # but that it is lost there.
            assert code in (scan_rule.LOST, scan_rule.OPEN, scan_rule.GONE, scan_rule.LAGGING)
            continue
        if code != scan_rule.OPEN:
            found[number] = KINDS[code]
    for number, kind in found.items():
        # Scans see no times to live.
        seen = [without_lives(first[number]), without_lives(second[number])]
        told = judge(seen, suspicion=suspected[number], grace_s=GRACE_S)
        assert told and told.kind is kind, (number, kind, first[number], second[number])


def without_lives(look: Look) -> Look:
    base, view = look.base, look.view
    derived = replace(base.derived, lives=()) if base and base.derived else None
    return replace(
        look,
        view=replace(view, lives=()) if view else None,
        base=replace(base, derived=derived, key_lives=(), other_lives=()) if base else None,
    )


def _address(number: int, *, keyed: bool) -> int:
    return int(_record(number, keyed=keyed)[0])


def _key(number: int, *, keyed: bool) -> int:
    return int(_record(number, keyed=keyed)[1])


def _record(number: int, *, keyed: bool) -> list[int]:
    row = (*((HOME,) if keyed else ()), number.to_bytes(4, "big"), None, None, None, None)
    return [int(word) for word in records(KEYED_VIEW if keyed else PLAIN_VIEW, [row])[0]]


def test_rows_that_nobody_writes_are_settled_by_two_scans() -> None:
    old = bytes(7) + b"\1"
    row, wrong = Cells((b"five", b"five"), (old, old)), Cells((b"five", b"six!"), (old, bytes(7) + b"\2"))
    base = BaseRow(row, others=(old,))
    seen = [(None, base), (wrong, base), (row, None), (row, base)] * 10
    looks = [Look(view, its_base, 0, 0) for view, its_base in seen]
    scan = scan_of(looks, keyed=False)
    codes = settled(differing(scan), scan, scan, all_timed=True, moving=False)
    assert Counter(codes.tolist()) == {scan_rule.LOST: 10, scan_rule.MISMATCH: 10, scan_rule.ORPHAN: 10}
    untimed = settled(differing(scan), scan, scan, all_timed=False, moving=False)
    assert Counter(untimed.tolist()) == {scan_rule.LOST: 10, scan_rule.OPEN: 10, scan_rule.ORPHAN: 10}
    healed = scan_of([Look(row, base, 0, 0)] * 40, keyed=False)
    assert set(settled(differing(scan), scan, healed, all_timed=True, moving=False).tolist()) == {
        scan_rule.LAGGING
    }


def test_what_the_base_derived_and_no_side_has_later_is_gone() -> None:
    """Of rows lost, wrong and too many, at every place: those that are nowhere later, and those that one side has."""
    old = bytes(7) + b"\1"
    row, wrong = Cells((b"five", b"five"), (old, old)), Cells((b"five", b"six!"), (old, old))
    base = BaseRow(row, others=(old,))
    faults = [(None, base), (wrong, base), (row, None)]
    scan = scan_of([Look(view, its_base, 0, 0) for view, its_base in faults * 4], keyed=False)
    units = differing(scan)
    derived = (units.base >= 0).tolist()
    assert Counter(derived) == {True: 8, False: 4}
    nothing = Scan(scan.base[:0], scan.view[:0])
    assert derived_and_gone(units, nothing).tolist() == derived
    for later in (scan, Scan(scan.base, scan.view[:0])):
        assert not derived_and_gone(units, later).any()
    back = scan_of([Look(row, None, 0, 0)] * 12, keyed=False)
    assert not derived_and_gone(units, back).any()


def test_a_base_row_without_a_key_leaves_the_view_row_open() -> None:
    old = bytes(7) + b"\1"
    row = Cells((b"five", b"five"), (old, old))
    elsewhere = Look(row, BaseRow(None, (b"\0\0\0\2",), (old,), (old,)), 0, 0)
    nowhere = Look(row, BaseRow(None, (None,), (None,), (old,)), 0, 0)
    for look, code in ((elsewhere, scan_rule.ORPHAN), (nowhere, scan_rule.OPEN)):
        scan = scan_of([look], keyed=True)
        units = differing(scan)
        codes = settled(units, scan, scan, all_timed=True, moving=True)
        of_view = [c for c, place in zip(codes.tolist(), units.view.tolist(), strict=True) if place >= 0]
        assert of_view == [code]


@pytest.mark.parametrize("side", ["base", "view"])
def test_rows_whose_hashes_meet_are_left_open(side: str) -> None:
    old = bytes(7) + b"\1"
    row = Cells((b"five", b"five"), (old, old))
    scan = scan_of([Look(None, BaseRow(row, others=(old,)), 0, 0), Look(row, None, 0, 0)], keyed=False)
    twice = Scan(
        joined([scan.base] * 2) if side == "base" else scan.base,
        joined([scan.view] * 2) if side == "view" else scan.view,
    )
    codes = settled(differing(twice), twice, twice, all_timed=True, moving=False)
    assert scan_rule.OPEN in codes.tolist()
    assert Counter(codes.tolist())[scan_rule.OPEN] == 2
