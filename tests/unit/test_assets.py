"""Exact amounts over the whole int64 range, and the asset registry."""

from decimal import Decimal, getcontext, localcontext
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from balancebook.assets import (
    AmountError,
    Asset,
    Registry,
    exact_sum,
    format_amount,
    format_exact,
    label,
    parse_amount,
    to_decimal,
    to_raw,
    to_units,
)

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
DECIMALS = st.integers(min_value=0, max_value=18)
BTC, USDT = Asset(1, "BTC", 8, 3), Asset(2, "USDT", 8, 2)


@given(INT64, DECIMALS)
def test_raw_survives_the_way_there_and_back(raw: int, decimals: int) -> None:
    assert to_raw(to_decimal(raw, decimals), decimals) == raw
    assert to_raw(parse_amount(format_exact(raw, decimals)), decimals) == raw


@given(INT64, DECIMALS)
def test_to_decimal_is_exact_under_a_short_context(raw: int, decimals: int) -> None:
    with localcontext() as context:
        context.prec = 3
        amount = to_decimal(raw, decimals)
    with localcontext() as context:
        context.prec = 60
        assert amount * 10**decimals == raw


@given(INT64, DECIMALS)
def test_text_is_in_normal_form(raw: int, decimals: int) -> None:
    text = format_exact(raw, decimals)
    assert "e" not in text.lower()
    assert text == "0" or not text.startswith("-0") or text.startswith("-0.")
    assert "." not in text or text[-1] not in "0."
    assert parse_amount(text) == to_decimal(raw, decimals)


@given(INT64, st.integers(min_value=0, max_value=17))
def test_a_digit_too_many_is_refused_not_rounded(raw: int, decimals: int) -> None:
    amount = to_decimal(raw, decimals + 1)
    if raw % 10:
        with pytest.raises(AmountError):
            to_raw(amount, decimals)
    else:
        assert to_raw(amount, decimals) * 10 == raw


@pytest.mark.parametrize(
    ("raw", "decimals", "text"),
    [
        (910000000000, 8, "9100"),
        (1, 8, "0.00000001"),
        (-5, 1, "-0.5"),
        (0, 18, "0"),
        (100, 0, "100"),
        (2**63 - 1, 18, "9.223372036854775807"),
        (-(2**63), 0, "-9223372036854775808"),
        (np.int64(7), 1, "0.7"),
    ],
)
def test_format(raw: int, decimals: int, text: str) -> None:
    assert format_exact(raw, decimals) == text


# fmt: off
NOT_PLAIN = [
    "", " 1", "1 ", "1\n", "\u0661", "-", "+", "+1", "1e3", "1E-8", "NaN", "Infinity", "-inf",
    "1_000", "007", "-0", "-0.0", ".5", "5.", "0x10", "1,000", "--1", "1.2.3", "00", "-00.1",
]
# fmt: on


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_text_that_is_no_plain_decimal(text: str) -> None:
    with pytest.raises(AmountError, match="plain decimal"):
        parse_amount(text)


@pytest.mark.parametrize("value", [1, 1.0, None, Decimal(1), b"1"])
def test_only_text_is_parsed(value: object) -> None:
    with pytest.raises(AmountError):
        parse_amount(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "amount"), [("0", "0"), ("9100.00", "9100"), ("-0.5", "-0.5"), ("0.0", "0")]
)
def test_plain_text(text: str, amount: str) -> None:
    assert parse_amount(text) == Decimal(amount)


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "0.000000001", "1E+999999999", "1E-999999999"]
)
def test_to_raw_refuses_what_is_not_exact(amount: str) -> None:
    with pytest.raises(AmountError):
        to_raw(Decimal(amount), 8)


def test_to_raw_of_zeros_and_exponents() -> None:
    assert to_raw(Decimal("0E-30"), 8) == 0
    assert to_raw(Decimal("0E+999999"), 8) == 0
    assert to_raw(Decimal("-0"), 8) == 0
    assert to_raw(Decimal("1E+2"), 8) == 10_000_000_000
    assert to_raw(Decimal("0.10000000000000000000000000000000"), 8) == 10_000_000


@pytest.mark.parametrize("raw", [1.0, True, "1", Decimal(1), None])
def test_raw_amounts_are_integers(raw: object) -> None:
    with pytest.raises(AmountError, match="not an integer"):
        to_decimal(raw, 8)  # type: ignore[arg-type]
    with pytest.raises(AmountError, match="not an integer"):
        format_exact(raw, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("decimals", [-1, 256, 1.0, True])
def test_decimals_have_a_range(decimals: int) -> None:
    with pytest.raises(AmountError, match="decimals"):
        to_decimal(1, decimals)


def test_registry_finds_and_keeps_order() -> None:
    registry = Registry((USDT, BTC))
    assert list(registry) == [USDT, BTC]
    assert registry.by_id(1) is BTC
    assert registry.by_id(Decimal(2)) is USDT
    assert registry.by_symbol("BTC") is BTC
    assert registry.by_id(77) is None
    assert registry.by_symbol("btc") is None
    assert Registry().by_id(1) is None


def test_ids_of_other_types_are_found_by_their_text() -> None:
    number = UUID(int=5)
    assert Registry((Asset(str(number), "X", 0, 0),)).by_id(number) is not None


@pytest.mark.parametrize(
    ("assets", "named"),
    [
        ((BTC, Asset(1, "XBT", 8, 3)), "asset id '1'"),
        ((BTC, Asset("1", "XBT", 8, 3)), "asset id '1'"),
        ((BTC, Asset(9, "BTC", 8, 3)), "asset symbol 'BTC'"),
    ],
)
def test_a_duplicate_is_refused(assets: tuple[Asset, ...], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Registry(assets)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": True, "symbol": "X", "decimals": 8, "shown": 2},
        {"id": 1.0, "symbol": "X", "decimals": 8, "shown": 2},
        {"id": 1, "symbol": "", "decimals": 8, "shown": 2},
        {"id": 1, "symbol": "#7", "decimals": 8, "shown": 2},
        {"id": 1, "symbol": " X", "decimals": 8, "shown": 2},
        {"id": 1, "symbol": "X", "decimals": "8", "shown": 2},
        {"id": 1, "symbol": "X", "decimals": 256, "shown": 2},
        {"id": 1, "symbol": "X", "decimals": 2, "shown": 3},
        {"id": 1, "symbol": "X", "decimals": 2, "shown": -1},
    ],
)
def test_a_bad_asset_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Asset(**fields)  # type: ignore[arg-type]


def test_a_registry_is_a_field_of_settings() -> None:
    class Settings(BaseModel):
        registry: Registry

    assets = [{"id": 1, "symbol": "BTC", "decimals": 8, "shown": 3}]
    assert Settings.model_validate({"registry": {"assets": assets}}).registry.by_id(1) == BTC
    with pytest.raises(ValidationError):
        Settings.model_validate({"registry": {"assets": assets * 2}})


def test_unknown_assets_are_shown() -> None:
    registry = Registry((BTC,))
    assert label(1, registry) == "BTC"
    assert label(77, registry) == "#77"


@given(INT64, DECIMALS)
def test_an_amount_has_one_normal_form(raw: int, decimals: int) -> None:
    assert format_amount(to_decimal(raw, decimals)) == format_exact(raw, decimals)


@pytest.mark.parametrize(
    ("amount", "text"), [("1E+3", "1000"), ("-0.00", "0"), ("1E-18", "0.000000000000000001"), ("10", "10")]
)
def test_an_amount_is_never_shown_with_an_exponent(amount: str, text: str) -> None:
    assert format_amount(Decimal(amount)) == text


@given(INT64, DECIMALS, st.integers(min_value=0, max_value=30))
def test_trailing_zeros_change_nothing(raw: int, decimals: int, zeros: int) -> None:
    """1.10 is 1.1, in text and as a Decimal."""
    text = format_exact(raw, decimals)
    longer = text + ("" if "." in text else ".") + "0" * zeros if zeros else text
    assert parse_amount(longer) == parse_amount(text)
    assert to_raw(parse_amount(longer), decimals) == raw
    assert format_amount(parse_amount(longer)) == text


@given(st.integers(min_value=1, max_value=2**63 - 1), DECIMALS)
def test_an_exponent_is_no_amount_s_spelling(raw: int, decimals: int) -> None:
    amount = to_decimal(raw, decimals)
    with pytest.raises(AmountError):
        parse_amount(f"{amount:E}")
    assert to_raw(Decimal(f"{amount:E}"), decimals) == raw


@given(DECIMALS)
def test_the_smallest_unit_of_each_scale(decimals: int) -> None:
    amount = Decimal(f"1E-{decimals}")
    assert to_raw(amount, decimals) == 1
    assert to_decimal(1, decimals) == amount
    assert to_raw(parse_amount(format_amount(amount)), decimals) == 1
    assert format_exact(-0, decimals) == format_amount(-to_decimal(0, decimals)) == "0"


def test_decimals_are_whole_units_already() -> None:
    registry = Registry((BTC,))
    assert to_units(910_000_000_000, 1, registry) == 9100
    assert to_units(Decimal("1.10"), 1, registry) == Decimal("1.1")
    assert to_units(Decimal("1.10"), 77, registry) == Decimal("1.1")
    assert to_units(5, 77, registry) == 5


def test_a_sum_beyond_what_int64_holds() -> None:
    column = pd.Series([2**63 - 1, None, 1], dtype="Int64")
    assert exact_sum(column) == 2**63
    assert type(exact_sum(column)) is int
    assert exact_sum(np.array([2**63 - 1, 1])) == 2**63
    # What it is for: pandas wraps in silence.
    assert int(column.sum()) != 2**63


def test_a_sum_that_no_context_rounds() -> None:
    amounts = [Decimal("1E-18"), Decimal("123456789012345678901234567890"), None, Decimal("1.10"), pd.NA]
    with localcontext() as context:
        context.prec = 3
        total = exact_sum(pd.Series(amounts, dtype=object))
    assert format_amount(total) == "123456789012345678901234567891.100000000000000001"  # type: ignore[arg-type]
    assert exact_sum([Decimal("0.1")] * 10 + [2]) == 3
    assert exact_sum([]) == exact_sum([None, pd.NA]) == 0
    assert getcontext().prec == 28


@given(st.lists(INT64), st.lists(st.tuples(INT64, DECIMALS)))
def test_a_sum_is_that_of_its_integers(whole: list[int], scaled: list[tuple[int, int]]) -> None:
    total = exact_sum([*whole, *(to_decimal(raw, decimals) for raw, decimals in scaled)])
    expected = sum(whole) * 10**18 + sum(raw * 10 ** (18 - decimals) for raw, decimals in scaled)
    assert (total * 10**18 if isinstance(total, int) else to_raw(total, 18)) == expected


@pytest.mark.parametrize(
    "amount", [1.0, float("nan"), Decimal("NaN"), Decimal("-Infinity"), "1", True, np.float64(1)]
)
def test_what_is_no_amount_is_in_no_sum(amount: object) -> None:
    with pytest.raises(AmountError):
        exact_sum([1, amount])


def test_a_sum_of_too_many_digits_is_an_error() -> None:
    with pytest.raises(AmountError, match="digits"):
        exact_sum([Decimal("1E+200000"), Decimal(1)])
