"""Frames take their dtypes from the declared types."""

from __future__ import annotations

from decimal import Decimal

import pytest

from balancebook.store.frames import to_frame
from balancebook.store.names import close_name, did_you_mean, quote, quote_if_needed


def test_integers_beyond_a_float_s_precision_survive_beside_null() -> None:
    frame = to_frame([(2**63 - 1,), (None,), (2**53 + 1,)], ["n"], ["bigint"])
    assert str(frame["n"].dtype) == "Int64"
    assert [None if value is frame["n"].iloc[1] else int(value) for value in frame["n"]] == [
        2**63 - 1,
        None,
        2**53 + 1,
    ]


DTYPES = [
    ("bigint", 1, "Int64"),
    ("counter", 1, "Int64"),
    ("int", 1, "Int64"),
    ("smallint", 1, "Int64"),
    ("tinyint", 1, "Int64"),
    ("boolean", True, "boolean"),
    ("double", 0.5, "Float64"),
    ("float", 0.5, "Float64"),
    ("varint", 2**80, "object"),
    ("decimal", Decimal("1.00"), "object"),
    ("text", "x", "object"),
]


@pytest.mark.parametrize(("cql_type", "value", "dtype"), DTYPES)
@pytest.mark.parametrize("rows", ["none", "null", "value"])
def test_the_dtype_is_that_of_the_type_whatever_the_rows(
    cql_type: str, value: object, dtype: str, rows: str
) -> None:
    choices: dict[str, list[tuple[object]]] = {"none": [], "null": [(None,)], "value": [(value,)]}
    values = choices[rows]
    frame = to_frame(values, ["c"], [cql_type])
    assert str(frame["c"].dtype) == dtype
    assert len(frame) == len(values)
    if rows == "value":
        assert frame["c"].iloc[0] == value


def test_a_column_named_twice_stays_twice() -> None:
    assert list(to_frame([(1, 2)], ["a", "a"], ["int", "int"]).columns) == ["a", "a"]


def test_names() -> None:
    assert quote('a"b') == '"a""b"'
    assert [quote_if_needed(name) for name in ("a_1", "Ab", "1a")] == ["a_1", '"Ab"', '"1a"']
    assert close_name("USER_BALANCE", ["user_balances", "trades"]) == "user_balances"
    assert did_you_mean("tradin", ["trading"]) == " Did you mean trading?"
    assert did_you_mean("zzz", ["trading"]) == ""
