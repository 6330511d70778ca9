"""What is read of a view's WHERE, as the server writes it, and what of it is refused."""

from __future__ import annotations

from uuid import UUID

import pytest

from balancebook.errors import BalancebookError
from balancebook.store.schema import Column, Table, View
from balancebook.store.view_filter import ViewFilter, filter_of

BASE = Table(
    "k",
    "t",
    (
        Column("P", "partition_key", 0, "none", "uuid"),
        Column("c", "clustering", 0, "desc", "int"),
        Column("d", "clustering", 1, "asc", "frozen<list<int>>"),
        Column("e", "clustering", 2, "asc", "text"),
        Column("u", "clustering", 3, "asc", "frozen<pair>"),
        Column("v", "regular", -1, "none", "int"),
    ),
    UUID(int=0),
)


def filtered_by(where: str) -> ViewFilter:
    return filter_of(View("k", "view", (), UUID(int=0), "t", where, include_all=True), BASE)


def test_is_not_null_is_no_condition() -> None:
    assert filtered_by('"P" IS NOT NULL AND c IS NOT NULL AND v IS NOT NULL').where == ""


@pytest.mark.parametrize(
    ("text", "columns", "cql_type", "operator", "values"),
    [
        (
            '"P" = d5b1880a-0000-41ee-8000-000000000001',
            ("P",),
            "uuid",
            "=",
            ("d5b1880a-0000-41ee-8000-000000000001",),
        ),
        ("c >= -5", ("c",), "int", ">=", ("-5",)),
        ("e IN ('a AND b', '', '(,')", ("e",), "text", "IN", ("'a AND b'", "''", "'(,'")),
        ("c IN ()", ("c",), "int", "IN", ()),
        ("d IN ([1, 2], [])", ("d",), "frozen<list<int>>", "IN", ("[1, 2]", "[]")),
        ("(c, e) < ((int)2, 'x')", ("c", "e"), "frozen<tuple<int, text>>", "<", ("((int)2, 'x')",)),
        (
            "(c, e) IN ((2, 'x'), (3, ''))",
            ("c", "e"),
            "frozen<tuple<int, text>>",
            "IN",
            ("(2, 'x')", "(3, '')"),
        ),
    ],
)
def test_a_condition_and_its_parts(
    text: str, columns: tuple[str, ...], cql_type: str, operator: str, values: tuple[str, ...]
) -> None:
    found = filtered_by(f"c IS NOT NULL AND {text} AND e IS NOT NULL")
    assert found.where == text
    (one,) = found.conditions
    assert (one.columns, one.cql_type, one.operator, one.values) == (columns, cql_type, operator, values)


@pytest.mark.parametrize(
    "text",
    [
        "e = 'it's'",
        "e = 'it's o'clock'",
        "e = 'a''b'",
        "e IN ('a', 'it's')",
        "c > NULL",
        'c > system."_add"(2, 1)',
        "c < now()",
        "u = {a: 1}",
        "v > 5",
        "e LIKE 'x%'",
        "e != 'x'",
        'token("P") > 5',
        "d[1] = 2",
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(text: str) -> None:
    with pytest.raises(BalancebookError) as refused:
        filtered_by(f"{text} AND c IS NOT NULL")
    assert text in refused.value.message
