"""A file of partitions: its header says whose they are, its cells are read by the columns' types, or refused."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cassandra.cqltypes import DateType
from cassandra.util import Date, Time

from balancebook.errors import UsageError
from balancebook.reconcile.keys_file import Keys, read_keys
from balancebook.store.cql_text import parse_value
from balancebook.store.raw import encode
from balancebook.store.schema import Column, Table, View


def columns(**types: str) -> tuple[Column, ...]:
    """Partition key columns."""
    return tuple(
        Column(name, "partition_key", n, "none", kind) for n, (name, kind) in enumerate(types.items())
    )


def by(**types: str) -> View:
    return View("k", "by_user", columns(**types), UUID(int=1), "ledger", "", False)


LEDGER = Table("k", "ledger", columns(user_id="bigint", asset_id="int"), UUID(int=2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.csv"


def read(file: Path, text: str | bytes, view: View | None = None, **options: Any) -> Keys:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_keys(file, view or by(user_id="bigint"), LEDGER, **options)


def test_the_header_says_whose_partitions_they_are(file: Path) -> None:
    assert read(file, "user_id\n5\n-9223372036854775808\n") == Keys("view", ("user_id",), ((5,), (-(2**63),)))
    assert read(file, "asset_id,user_id\r\n1,5\r\n") == Keys("base", ("user_id", "asset_id"), ((5, 1),))
    same = by(asset_id="int", user_id="bigint")
    assert read(file, "user_id,asset_id\n5,1", same) == Keys("view", ("asset_id", "user_id"), ((1, 5),))


def test_each_partition_counts_once_and_blank_lines_not_at_all(file: Path) -> None:
    assert read(file, b"\xef\xbb\xbfuser_id\n5\n\n5\n6\n5\n") == Keys("view", ("user_id",), ((5,), (6,)), 2)
    decimals = read(file, "user_id\n1.0\n1.00\n1.0\n", by(user_id="decimal"))
    assert (len(decimals.partitions), decimals.repeated) == (2, 1)


def test_text_may_be_empty_and_hold_lines(file: Path) -> None:
    found = read(file, 'user_id\n""\n"a ""b"", c\nd"\n', by(user_id="text"))
    assert found.partitions == (("",), ('a "b", c\nd',))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "accounts.csv is empty. Begin it with a header: user_id (the partition key of by_user) or"),
        ("\n\n", "is empty"),
        ("user_id\n", "has a header and no rows"),
        (
            "user_idd\n1\n",
            "line 1, column 1: 'user_idd' is no column of a partition key. Did you mean user_id?",
        ),
        ("user_id,seq\n1,1\n", "line 1, column 2: 'seq' is no column of a partition key. Name"),
        ("asset_id\n1\n", "line 1: names only asset_id. Name user_id"),
        ("user_id,user_id\n1,1\n", "line 1, column 2: user_id is named twice"),
        ("user_id\n1\n1,2\n", "line 3: has 2 cells where the header has 1"),
        ('user_id,asset_id\n1,2\n\n3,"4\n4"\n', "line 4, column 2 (asset_id): '4\\n4' is no int"),
        (
            "asset_id,user_id\n1,x\n",
            "line 2, column 2 (user_id): 'x' is no bigint: write a whole number of -92",
        ),
        ('user_id\n"1\n', "line 2: is no CSV"),
        ("user_id\r5\r7\r", "line 1: has a carriage return alone"),
        (b"user_id\n1\n\xff\n", "line 3: is not UTF-8"),
        (b"user_id\n" + b"1" * 2**20, "line 2: is longer than 1 MiB"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(file, text)
    assert f"{file}" in str(refused.value)
    assert said in str(refused.value)
    assert refused.value.parameter == "keys"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_keys(path, by(user_id="bigint"), LEDGER)


def test_more_rows_than_are_taken_want_the_full_depth(file: Path) -> None:
    assert len(read(file, "user_id\n1\n2\n3\n", most_rows=3).partitions) == 3
    with pytest.raises(UsageError, match=r"more than 3 rows.*full"):
        read(file, "user_id\n1\n2\n3\n3\n", most_rows=3)


AN_ID = "0e84f3a0-98b7-11ef-8c2a-0242ac120002"
INSTANT = datetime(2025, 1, 31, 11, 0, 0, 123000)


@pytest.mark.parametrize(
    ("cql_type", "text", "value"),
    [
        ("tinyint", "-128", -128),
        ("varint", "-1" + "0" * 40, -(10**40)),
        ("decimal", "1.00", Decimal("1.00")),
        ("decimal", "-3E+2", Decimal("-3E+2")),
        ("double", "0.1", 0.1),
        ("float", "0.1", 0.10000000149011612),
        ("boolean", "True", True),
        ("text", " é", " é"),
        ("uuid", AN_ID.upper(), UUID(AN_ID)),
        ("timeuuid", AN_ID, UUID(AN_ID)),
        ("timestamp", "2025-01-31T12:00:00.123+01:00", INSTANT),
        ("timestamp", "2025-01-31 11:00:00.123Z", INSTANT),
        ("timestamp", "1738321200123", INSTANT),
        ("timestamp", "-1", datetime(1969, 12, 31, 23, 59, 59, 999000)),
        ("date", "2025-01-31", Date("2025-01-31")),
        ("time", "23:59:59.5", Time(86_399_500_000_000)),
        ("inet", "2001:DB8::1", "2001:db8::1"),
        ("inet", "::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("blob", "0x00fF", b"\x00\xff"),
        ("blob", "0x", b""),
    ],
)
def test_a_cell_becomes_what_the_driver_would_read(cql_type: str, text: str, value: object) -> None:
    assert repr(parse_value(text, cql_type)) == repr(value)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("9" * 18, 10**18 - 1),
        ("253402300800000", 253_402_300_800_000),
        ("2262-01-01T00:00:00.001Z", 9_214_646_400_001),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_a_far_timestamp_is_carried_exactly(text: str, milliseconds: int) -> None:
    """The driver rounds those beyond the year 2242, and cannot decode those beyond 9999."""
    assert encode(DateType, parse_value(text, "timestamp")) == milliseconds.to_bytes(8, "big")


@pytest.mark.parametrize(
    ("cql_type", "texts"),
    [
        ("tinyint", ["128", "", "1.0"]),
        ("int", ["2147483648", "007", "+1", "-0", "1_0", " 1", "٣", "1e2"]),
        ("bigint", ["9223372036854775808", "true", "0x1", "9" * 5000]),
        ("decimal", ["", "1.", ".5", "NaN", "1,5", "Infinity", "1e9999999999"]),
        ("double", ["nan", "inf", "1e999", ""]),
        ("float", ["1e39"]),
        ("boolean", ["1", "yes", ""]),
        ("ascii", ["é"]),
        ("uuid", ["", AN_ID.replace("-", ""), "{" + AN_ID + "}", AN_ID + "0"]),
        ("timeuuid", ["00000000-0000-4000-8000-000000000000"]),
        ("timestamp", ["2025-01-31T12:00:00", "2025-01-31", "now", "2025-01-31T12:00:00.1234Z"]),
        ("timestamp", ["9223372036854775808", "10000-01-01T00:00:00Z"]),
        ("date", ["2025-02-30", "31.01.2025", "20250131", ""]),
        ("time", ["24:00:00", "1:2:3", "12:60:00", "12:00:00.1234567890"]),
        ("inet", ["1.2.3", "localhost", "fe80::1%eth0", ""]),
        ("blob", ["ff", "0xf", "0xgg"]),
        ("frozen<list<int>>", ["[1]"]),
    ],
)
def test_a_cell_that_is_not_plainly_of_its_type_is_refused(cql_type: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=r"is no |has no plain text|cannot carry exactly"):
            parse_value(text, cql_type)
