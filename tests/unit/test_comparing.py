"""How cells, keys and reads are compared; and the plain comparison, by which the tests judge the other one."""

from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.values import hashable_key, order_key, to_json
from balancebook.verdict import Verdict
from oracle import compare

SIDES = st.dictionaries(
    st.tuples(st.integers(0, 30), st.integers(0, 3)), st.tuples(st.integers(0, 2) | st.none()), max_size=40
)


@given(SIDES, SIDES)
def test_every_row_is_counted_once_and_rightly(base: dict[Any, Any], view: dict[Any, Any]) -> None:
    report = compare(base, view)
    both = base.keys() & view.keys()
    assert report.counts == {
        Kind.LOST: len(base.keys() - view.keys()),
        Kind.ORPHAN: len(view.keys() - base.keys()),
        Kind.MISMATCH: sum(base[key] != view[key] for key in both),
        Kind.REPLICA: 0,
        Kind.UNKNOWN: 0,
        Kind.LAGGING: 0,
    }
    assert (report.rows_base, report.rows_view) == (len(base), len(view))
    assert (report.verdict is Verdict.PASS) == (base == view)
    assert (
        len({sample.key for sample in report.samples}) == len(report.samples) == sum(report.counts.values())
    )
    for sample in report.samples:
        assert (sample.base, sample.view) == (base.get(sample.key), view.get(sample.key))


@given(SIDES, SIDES, st.integers(0, 5))
def test_samples_are_bounded_worst_first_and_counts_stay_exact(
    base: dict[Any, Any], view: dict[Any, Any], samples: int
) -> None:
    whole, bounded = compare(base, view), compare(base, view, samples=samples)
    order = [Kind.LOST, Kind.MISMATCH, Kind.ORPHAN]
    ranks = [(order.index(sample.kind), sample.key) for sample in whole.samples]
    assert ranks == sorted(ranks)
    assert bounded.samples == whole.samples[:samples]
    assert bounded.counts == whole.counts


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, 0, False),
        (0, 0, True),
        (2**63 - 1, 2**63 - 2, False),
        (Decimal("1.0"), Decimal("1.00"), False),
        (Decimal("1.0"), Decimal("1.0"), True),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        (1, True, False),
        (1, 1.0, False),
        ("", None, False),
        (b"1", "1", False),
        ([1, 2], [1, 2], True),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_cells_are_compared_exactly(one: object, other: object, same: bool) -> None:
    assert compare({(1,): (one,)}, {(1,): (other,)}).verdict is (Verdict.PASS if same else Verdict.FAIL)


def test_keys_are_compared_as_cql_does() -> None:
    assert compare({(Decimal("1.0"),): (1,)}, {(Decimal("1.00"),): (1,)}).verdict is Verdict.PASS


def test_keys_of_any_type_sort_and_hash() -> None:
    keys = [
        (10, "b"),
        (9, "c"),
        (9, "a"),
        (Decimal("9.5"), UUID(int=1)),
        (float("nan"), "x"),
        (Decimal("NaN"), "y"),
    ]
    assert sorted(keys, key=order_key)[:4] == [(9, "a"), (9, "c"), (Decimal("9.5"), UUID(int=1)), (10, "b")]
    assert hashable_key((1, [1, {2}], {"a": [3]})) == (1, (1, (2,)), (("a", (3,)),))


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        ("7", "7"),
        (Decimal("1.50"), "1.50"),
        (0.5, "0.5"),
        (b"\x00\xff", "0x00ff"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("::1"), "::1"),
        (datetime(2025, 1, 2, 3, 4, 5, 6000, tzinfo=UTC).replace(tzinfo=None), "2025-01-02T03:04:05.006Z"),
        ([1, b"\x01"], [1, "0x01"]),
        ({"a": Decimal(1)}, [["a", "1"]]),
    ],
)
def test_values_as_json(value: object, json: object) -> None:
    assert to_json(value) == json
