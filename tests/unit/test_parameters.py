"""Strict parameters: what each kind of text and value gets, and what a malformed parameters cell gets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from balancebook.errors import UsageError
from balancebook.runs.parameters import check_values, parse_assignments
from balancebook.runs.schema import read_schema
from balancebook.runs.scrub import Scrubber
from balancebook.runs.values import Parameter

CELL = """\
user_id: int = 1001  # whose balances [0..9223372036854775807]
assets_from: str = "scan"  # how its assets are found {scan|known}
keyspace: str | None = None  # of the profile unless given
rate: float = 0.5  # share [0..1]
dry_run: bool = True
note: str = "#1 [x]"
"""
NO_SECRETS = Scrubber()


def notebook(*cells: str, tag: str = "parameters") -> dict[str, Any]:
    return {
        "cells": [{"cell_type": "code", "metadata": {"tags": [tag]}, "source": source} for source in cells]
    }


SCHEMA = read_schema(notebook(CELL), "demo")


def parse(*assignments: str, schema: tuple[Parameter, ...] = SCHEMA) -> dict[str, Any]:
    return dict(parse_assignments(assignments, schema, NO_SECRETS))


def test_schema_is_the_cell() -> None:
    assert [(p.name, p.type_text, p.default, p.help, str(p.limits or "")) for p in SCHEMA] == [
        ("user_id", "int", 1001, "whose balances", "[0..9223372036854775807]"),
        ("assets_from", "str", "scan", "how its assets are found", "{scan|known}"),
        ("keyspace", "str | None", None, "of the profile unless given", ""),
        ("rate", "float", 0.5, "share", "[0..1]"),
        ("dry_run", "bool", True, "", ""),
        ("note", "str", "#1 [x]", "", ""),
    ]


def test_defaults_fill_what_is_not_given() -> None:
    assert parse("user_id=5") == {
        "user_id": 5,
        "assets_from": "scan",
        "keyspace": None,
        "rate": 0.5,
        "dry_run": True,
        "note": "#1 [x]",
    }


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("user_id=0", 0),
        ("user_id=9223372036854775807", 2**63 - 1),
        ("rate=1", 1.0),
        ("rate=0.25", 0.25),
        ("dry_run=false", False),
        ("keyspace=", None),
        ("keyspace=none", None),
        ("keyspace=trading", "trading"),
        ("note=", ""),
        ("note=none", "none"),
        ("note=[1, 2]", "[1, 2]"),
        ("note={x.__class__} {{}} %s", "{x.__class__} {{}} %s"),
        ("note=a=b", "a=b"),
        ("note='; import os  #\"\\", "'; import os  #\"\\"),
        ("note=Größe", "Größe"),
    ],
)
def test_texts_that_are_values(assignment: str, value: object) -> None:
    name = assignment.partition("=")[0]
    found = parse(assignment)[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "007",
            "1_000",
            "+5",
            " 5",
            "5 ",
            "5.0",
            "5e3",
            "0x10",
            "\u0663",
            "\uff15",
            "\u00b2",
            "",
            "none",
            "True",
        ),
        *("nan", "[1]", "1; DROP", "-1", "9223372036854775808", "1" * 5000, "5\n"),
    ],
)
def test_texts_that_are_no_user_id(text: str) -> None:
    with pytest.raises(UsageError, match=r"^user_id is ") as refused:
        parse(f"user_id={text}")
    assert refused.value.parameter == "user_id"
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "assignment",
    [
        *("dry_run=False", "dry_run=1", "dry_run=yes", "dry_run=", "dry_run=none"),
        *("rate=nan", "rate=inf", "rate=1.5", "rate=.5", "rate=1e-1", "rate=0,5", f"rate={'9' * 390}"),
        *("assets_from=all", "assets_from=Scan", "assets_from="),
        *("note=a\x00b", "note=a\nb", "note=\x1b[2J", "note=\u202eabc", "note=\ud800", "note=\u2028"),
    ],
)
def test_texts_that_are_refused(assignment: str) -> None:
    name = assignment.partition("=")[0]
    with pytest.raises(UsageError) as refused:
        parse(assignment)
    assert refused.value.parameter == name
    assert str(refused.value).isprintable()


def test_a_violation_says_the_range_or_the_choices() -> None:
    with pytest.raises(UsageError, match=r"\[0\.\.9223372036854775807\]"):
        parse("user_id=-1")
    with pytest.raises(UsageError, match=r"\{scan\|known\}"):
        parse("assets_from=everything")
    with pytest.raises(UsageError) as refused:
        parse("assets_from=knwon")
    assert refused.value.suggestion == "known"


@pytest.mark.parametrize(
    ("assignment", "suggestion"),
    [("user_idd=1", "user_id"), ("dryrun=true", "dry_run"), ("zzz=1", None)],
)
def test_unknown_names_get_a_suggestion(assignment: str, suggestion: str | None) -> None:
    with pytest.raises(UsageError, match="no parameter") as refused:
        parse(assignment)
    assert refused.value.suggestion == suggestion


@pytest.mark.parametrize(
    "assignment", ["user_id=1;open('x','w')#=1", "user_id;import os=1", "__import__('os')=1", "=1", "user_id"]
)
def test_a_name_with_code_is_refused(assignment: str) -> None:
    if assignment.startswith("user_id=1"):
        assert_refused(assignment, "user_id")
    else:
        with pytest.raises(UsageError):
            parse(assignment)


def assert_refused(assignment: str, parameter: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(assignment)
    assert refused.value.parameter == parameter


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse("user_id=1", "user_id=1")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"user_id": True}, "user_id"),
        ({"user_id": 5.0}, "user_id"),
        ({"user_id": "5"}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"user_id": 2**63}, "user_id"),
        ({"rate": math.nan}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"rate": True}, "rate"),
        ({"dry_run": 1}, "dry_run"),
        ({"dry_run": "false"}, "dry_run"),
        ({"note": 1}, "note"),
        ({"note": ["a"]}, "note"),
        ({"user": 1}, "user"),
    ],
)
def test_python_values_that_are_refused(values: dict[str, object], name: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_values(values, SCHEMA, NO_SECRETS)
    assert refused.value.parameter == name


def test_a_float_takes_an_int_only_if_exact() -> None:
    schema = read_schema(notebook("x: float = 0.0"), "demo")
    assert check_values({"x": 2}, schema, NO_SECRETS) == {"x": 2.0}
    with pytest.raises(UsageError, match="exactly"):
        check_values({"x": 2**53 + 1}, schema, NO_SECRETS)


def test_a_value_that_holds_a_secret_is_refused_and_not_repeated() -> None:
    scrubber = Scrubber(["s3cr3t-word"])
    for assignment in ("note=my s3cr3t-word", "user_id=s3cr3t-word", "s3cr3t-word=1", "s3cr3t-word"):
        with pytest.raises(UsageError) as refused:
            parse_assignments([assignment], SCHEMA, scrubber)
        assert "s3cr3t" not in str(refused.value) + str(refused.value.parameter)
    with pytest.raises(UsageError):
        check_values({"note": "s3cr3t-word"}, SCHEMA, scrubber)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("user_id = 1001", "without a type"),
        ("user_id: int", "no default"),
        ("user_id: int = -1  # [0..5]", "outside the range"),
        ("user_id: list = []", "type list"),
        ("user_id: int | bytes = 1", r"type int \| bytes"),
        ("user_id: int = True", "bool"),
        ("user_id: int = 5.0", "float"),
        ("user_id: int = None", "NoneType"),
        ("user_id: int = int('5')", "code, not a value"),
        ("import os", "code"),
        ("user_id: int = 1\nprint(user_id)", "line 2"),
        ("self.x: int = 1", "code"),
        ("_x: int = 1", "cannot name"),
        ("x: int = 1\nx: int = 2", "twice"),
        ("x: int = ", "no Python"),
        ("x: int = 1\x00", "no Python"),
        ("x: int = 1  # [5..1]", "empty"),
        ("x: int = 1  # [a..b]", "range"),
        ("x: int = 1  # [0..1.5]", "range"),
        ("x: str = 'a'  # [0..1]", "range is of numbers"),
        ("x: bool = True  # {true|false}", "choices are of text"),
        ("x: str = 'c'  # {a|b}", "not one of"),
        ("x: str = 'a\\x00'", "invisible"),
        ("x: float = 1e999", "finite"),
        ("d\u0435f: int = 1", "cannot name"),
    ],
)
def test_malformed_cells(cell: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refused:
        read_schema(notebook(cell), "demo")
    assert str(refused.value).startswith("demo: the parameters cell")


def test_two_tagged_cells_are_refused_and_none_means_no_parameters() -> None:
    with pytest.raises(UsageError, match="2 cells"):
        read_schema(notebook("x: int = 1", "y: int = 1"), "demo")
    assert read_schema(notebook("x = 1", tag="other"), "demo") == ()


def test_the_cell_is_never_executed(tmp_path: Any) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(UsageError):
        read_schema(notebook(f"x: int = open({str(marker)!r}, 'w').write('x')"), "demo")
    assert not marker.exists()


ACCOUNTS = read_schema(
    notebook("whose: int | str = 1001  # an account\nother: int | str | None = None  # perhaps another"),
    "demo",
)


def test_an_account_is_a_type_of_its_own() -> None:
    assert [(p.type_text, p.optional, p.default) for p in ACCOUNTS] == [
        ("int | str", False, 1001),
        ("int | str | None", True, None),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1001", 1001),
        ("-5", -5),
        ("0", 0),
        (str(2**200), 2**200),
        # Whether these are accounts, the column says.
        *(
            (text, text)
            for text in ("007", "5.0", "+5", "-0", " 5", "1e3", "\u0665", "alice", "True", "1" * 500)
        ),
        ("f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
    ],
)
def test_an_account_is_a_number_in_its_only_spelling_or_text(text: str, value: object) -> None:
    found = parse(f"whose={text}", schema=ACCOUNTS)["whose"]
    assert (type(found), found) == (type(value), value)
    checked = check_values({"other": value}, ACCOUNTS, NO_SECRETS)["other"]
    assert (type(checked), checked) == (type(value), value)


@pytest.mark.parametrize("value", [True, 5.0, "", None, [1], b"x", "a\u200bb"])
def test_values_that_are_no_account(value: object) -> None:
    with pytest.raises(UsageError, match="whose"):
        check_values({"whose": value}, ACCOUNTS, NO_SECRETS)


def test_texts_that_are_no_account() -> None:
    assert parse("other=", schema=ACCOUNTS)["other"] is None
    for text in ("", "a\nb"):
        with pytest.raises(UsageError, match="whose") as refused:
            parse(f"whose={text}", schema=ACCOUNTS)
        assert refused.value.remedy == "It takes int | str."


@pytest.mark.parametrize("limits", ["[0..5]", "{a|b}"])
def test_an_account_has_neither_range_nor_choices(limits: str) -> None:
    with pytest.raises(UsageError, match=r"this is int \| str"):
        read_schema(notebook(f"whose: int | str = 1  # x {limits}"), "demo")


@pytest.mark.parametrize(
    "annotation", ["str | int", "int | None | str", "int | str | float", "None", "int | None | None"]
)
def test_no_other_mixture_is_a_type(annotation: str) -> None:
    with pytest.raises(UsageError, match="is not one of"):
        read_schema(notebook(f"whose: {annotation} = 1  # x"), "demo")


TIMES = read_schema(notebook("as_of: str | None = None  # then; now, unless given <time>"), "demo")


def test_a_time_has_its_offset() -> None:
    assert TIMES[0].help == "then; now, unless given"
    for text in ("2025-06-01T00:00:00+02:00", "2025-06-01T09:30:00Z", "2025-06-01"):
        assert parse(f"as_of={text}", schema=TIMES) == {"as_of": text}
    assert parse(schema=TIMES) == {"as_of": None}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2025-06-01T00:00:00", "no offset"),
        ("today", "not a time"),
        ("9999-12-31T23:59:59-23:59", "years 1 to 9999"),
    ],
)
def test_a_time_without_an_offset_is_refused_before_anything_runs(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        parse(f"as_of={text}", schema=TIMES)
    assert refused.value.parameter == "as_of"
    assert "+00:00" in refused.value.remedy


def test_only_text_is_a_time() -> None:
    with pytest.raises(UsageError, match="a time is text"):
        read_schema(notebook("as_of: int = 1  # then <time>"), "demo")
