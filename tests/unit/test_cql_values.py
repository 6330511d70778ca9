"""Values of CQL types: decoded, sent back, compared and written without the driver's slips."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import pytest
from cassandra.cqltypes import (
    DateType,
    DecimalType,
    DoubleType,
    Int32Type,
    ListType,
    MapType,
    SetType,
    TimeType,
    TupleType,
    UserType,
    UTF8Type,
)
from cassandra.util import Date, OrderedMapSerializedKey, SortedSet
from hypothesis import given
from hypothesis import strategies as st

from balancebook.assets import Registry, label
from balancebook.core.short_text import shortened
from balancebook.reconcile.values import hashable_key, order_key
from balancebook.store.cql.decoding import Undecoded, _MapAsPairs, _plain, _SetAsTuple, readable
from balancebook.store.cql.values import cell_json, milliseconds, text_of, to_json
from balancebook.store.errors import StoreError
from balancebook.store.raw import decode, encode
from balancebook.tables import cell_text

HUGE = 7 * 10**5000
EPOCH = datetime(1970, 1, 1)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (DateType, (253_402_300_800_000).to_bytes(8, "big")),
        (DateType, b"\x80" + b"\0" * 7),
        (DateType, b"\0\1"),
        (TimeType, (25 * 3600 * 10**9).to_bytes(8, "big")),
        (DecimalType, pack(">i", 0) + b"\x77" * 3000),
        (UTF8Type, b"\xff"),
        (Int32Type, b"\0"),
        (Int32Type, b""),
        (_SetAsTuple.apply_parameters((DateType,)), pack(">ii", 1, 8) + b"\x7f" * 8),
    ],
)
def test_what_cannot_be_decoded_is_its_bytes(kind: Any, cell: bytes) -> None:
    (value,) = decode([kind], [cell])
    assert isinstance(value, Undecoded)
    assert str(value) == repr(value) == text_of(value) == to_json(value) == f"0x{cell.hex()}"
    assert cell_text(value) == shortened(str(value))
    assert encode(kind, value) == cell
    with pytest.raises(StoreError, match=f"The amount cannot be read: its value is 0x{cell.hex()[:58]}"):
        readable(value, "The amount")
    assert decode([kind, kind], [None, cell]) == (None, value)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_every_millisecond_that_can_be_decoded_is_exact(moment: int) -> None:
    """The driver's own rounding loses one millisecond of some years, and as a key finds another row, or none."""
    cell = moment.to_bytes(8, "big", signed=True)
    (value,) = decode([DateType], [cell])
    assert encode(DateType, value) == cell
    assert to_json(value) == f"{(EPOCH + timedelta(milliseconds=moment)).isoformat(timespec='milliseconds')}Z"


def test_a_time_that_a_person_gives_is_cut_off_to_its_millisecond() -> None:
    assert milliseconds(datetime(1970, 1, 1, 0, 0, 0, 1900, tzinfo=UTC)) == 1
    assert milliseconds(datetime(1969, 12, 31, 23, 59, 59, 999500)) == -1


def test_sets_and_maps_keep_the_servers_order_and_every_element() -> None:
    doubles = _SetAsTuple.apply_parameters((DoubleType,))
    maps = _MapAsPairs.apply_parameters((DateType, doubles))
    cell = pack(">i", 2) + pack(">id", 8, -0.0) + pack(">id", 8, 0.0)
    assert repr(decode([doubles], [cell])) == "((-0.0, 0.0),)"
    assert len(SetType.apply_parameters((DoubleType,)).from_binary(cell, 4)) == 1
    mapped = pack(">i", 1) + pack(">iq", 8, 16_725_225_600_123) + pack(">i", len(cell)) + cell
    ((pair,),) = decode([maps], [mapped])
    assert to_json(pair) == ["2500-01-01T00:00:00.123Z", ["-0.0", "0.0"]]
    assert encode(maps, (pair,)) == encode(maps, dict([pair])) == mapped
    assert hash(pair)


def test_the_drivers_own_collections_are_written_too() -> None:
    """As a session that only writes decodes them."""
    mapped = MapType.apply_parameters((DateType, Int32Type))
    value = mapped.from_binary(pack(">iiqii", 1, 8, 16_725_225_600_123, 4, 5), 4)
    assert isinstance(value, OrderedMapSerializedKey)
    assert to_json(value) == [["2500-01-01T00:00:00.123Z", 5]]
    assert to_json(SortedSet([b"\xca", b""])) == ["0x", "0xca"]
    assert hashable_key((SortedSet([2, 1]), value)) == ((1, 2), ((value._items[0][0], 5),))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (-0.0, "-0.0"),
        (Date(2_932_897), "2932897 days since 1970-01-01"),
        (Date(-719_163), "-719163 days since 1970-01-01"),
        (Date(-719_162), "0001-01-01"),
        ((1, [b"\x01", {"ü": None}]), '[1, ["0x01", [["ü", null]]]]'),
    ],
)
def test_a_value_as_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_varint_of_thousands_of_digits_is_written() -> None:
    assert text_of(HUGE) == "7" + 5000 * "0"
    assert text_of((-HUGE,)) == f'["-7{5000 * "0"}"]'


def test_a_varint_is_text_in_json_however_deep() -> None:
    assert cell_json((1, [2, True]), "frozen<tuple<varint, list<varint>>>") == ["1", ["2", True]]
    assert cell_json(HUGE, "varint") == "7" + 5000 * "0"


def test_a_varint_of_thousands_of_digits_is_compared() -> None:
    assert sorted([(HUGE + 1,), (HUGE,)], key=order_key) == [(HUGE,), (HUGE + 1,)]


def test_an_unknown_asset_is_shown_by_its_bytes() -> None:
    assert label(b"\xca\xfe", Registry(())) == "#0xcafe"


def test_types_within_types_are_plain_too() -> None:
    """As of a statement that the driver prepared by its own types."""
    sets = SetType.apply_parameters((Int32Type,))
    nested = TupleType.apply_parameters((Int32Type, ListType.apply_parameters((sets,))))
    own = UserType.make_udt_class(
        "k", "part", ("a", "b"), (Int32Type, MapType.apply_parameters((Int32Type, nested)))
    )
    kind = _plain(own)
    value = (1, ((2, (3, [(5, 4)])),))
    cell = encode(kind, value)
    assert decode([kind], [cell]) == (value,)
    assert to_json(own.from_binary(cell, 4)) == [1, [[2, [3, [[4, 5]]]]]]
    assert _plain(kind) is kind
    assert _plain(DoubleType) is DoubleType
