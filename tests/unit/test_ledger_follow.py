"""Following entries: what is explained passes, and each break is named, however the entries are cut into pages."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebook.errors import BalancebookError
from balancebook.ledger.breaks import Problem
from balancebook.ledger.entries import roles_of
from balancebook.ledger.rules import MOVEMENTS
from balancebook.ledger.sums import AssetSums, add_sums
from balancebook.profile import LedgerSchema
from ledger_rows import (
    TYPES,
    Row,
    entry,
    followed,
    ledger_of,
    named,
    of_kind,
    table,
    uneven_in,
)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("page", [10_000, 7, 1])
def test_a_sound_ledger_has_no_break(sound: list[Row], descending: bool, page: int) -> None:
    found = followed(sound, descending=descending, page=page)
    assert named(found.breaks) == []
    assert found.entries == len(sound)
    assert found.partitions == len({(row["user_id"], row["asset_id"]) for row in sound})


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("page", [10_000, 3])
def test_each_kind_of_break_is_named(rows: list[Row], descending: bool, page: int) -> None:
    changed = entry(rows, 1004, 2, 100)
    changed["avail"] += 5
    gone = entry(rows, 1001, 1, 9)
    after = entry(rows, 1001, 1, 10)
    rows.remove(gone)
    back = entry(rows, 1003, 2, 8)
    before = entry(rows, 1003, 2, 7)
    back["created_at"] = before["created_at"] - 1
    found = followed(rows, descending=descending, page=page)
    following = entry(rows, 1004, 2, 101)
    expected = [
        (Problem.GAP, 1001, 1, 10, "order", 9, 10),
        (Problem.SUM, 1004, 2, 100, "available", changed["avail"] - 5, changed["avail"]),
        (Problem.SUM, 1004, 2, 101, "available", following["avail"] + 5, following["avail"]),
        (Problem.TIME, 1003, 2, 8, "time", before["created_at"], before["created_at"] - 1),
    ]
    told = named(found.breaks)
    for each in expected:
        assert each in told
    # What is missing is missed by the sum too; nothing else is said.
    rest = [each for each in told if each not in expected]
    assert {each[:4] for each in rest} <= {
        (Problem.SUM, 1001, 1, 10),
        (Problem.NO_LOCK, 1001, 1, 10),
        *((Problem.NO_LOCK, 1001, 1, row["seq"]) for row in rows if row["ref_id"] == gone["ref_id"]),
    }
    assert after["seq"] == 10


@pytest.mark.parametrize(("begin", "late"), [(0, 0), (1, 0), (2, 1), (-1, 1), (7, 1)])
def test_a_partition_begins_with_0_or_1(begin: int, late: int) -> None:
    rows = ledger_of(("deposit", 5, 0, 1), ("deposit", 5, 0, 2))
    moved = [row | {"seq": row["seq"] - 1 + begin} for row in rows]
    breaks = followed(moved).breaks
    assert (breaks.of[Problem.LATE].count, breaks.of[Problem.GAP].count) == (late, 0)
    # What stood before it is not known, unless it is the first.
    wrong = [row | {"avail": row["avail"] + 1} for row in moved]
    assert followed(wrong).breaks.of[Problem.SUM].count == 1 - late


def test_a_missing_beginning_and_a_first_entry_that_does_not_add_up(rows: list[Row]) -> None:
    for seq in (1, 2):
        rows.remove(entry(rows, 1004, 1, seq))
    first = entry(rows, 1002, 3, 1)
    first["avail"] += 1
    found = named(followed(rows).breaks)
    assert (Problem.LATE, 1004, 1, 3, "order", 1, 3) in found
    assert (Problem.SUM, 1002, 3, 1, "available", first["delta_avail"], first["delta_avail"] + 1) in found


def test_negative_balances(rows: list[Row]) -> None:
    row = entry(rows, 1004, 2, 50)
    row["avail"], row["frozen"] = -1, -7
    negative = [each for each in named(followed(rows).breaks) if each[0] is Problem.NEGATIVE]
    assert negative == [
        (Problem.NEGATIVE, 1004, 2, 50, "available", 0, -1),
        (Problem.NEGATIVE, 1004, 2, 50, "held", 0, -7),
    ]


@pytest.mark.parametrize("kind", MOVEMENTS)
def test_a_movement_that_its_kind_does_not_make(rows: list[Row], kind: str) -> None:
    row = of_kind(rows, kind)
    row["delta_avail"], row["delta_frozen"] = row["delta_frozen"] - 3, row["delta_avail"] - 3
    found = named(followed(rows).breaks)
    key = row["user_id"], row["asset_id"], row["seq"]
    assert (Problem.SIGNS, *key, "delta_available", None, row["delta_avail"]) in found


def test_a_type_that_nobody_knows_and_cells_that_are_not_there(rows: list[Row]) -> None:
    row, other = entry(rows, 1004, 2, 50), entry(rows, 1004, 2, 60)
    row["event_type"] = "gift"
    other["avail"] = None
    found = named(followed(rows).breaks)
    assert (Problem.TYPE, 1004, 2, 50, "type", None, "gift") in found
    missing = [each for each in found if each[0] is Problem.MISSING]
    assert [(each[1:5], each[6]) for each in missing] == [((1004, 2, 60, "available"), None)]
    # What kind it is decides which amounts it must have.
    row["delta_avail"] = row["delta_frozen"] = None
    assert followed(rows).breaks.of[Problem.NO_AMOUNT].count == 0
    row["event_type"] = "deposit"
    assert followed(rows).breaks.of[Problem.NO_AMOUNT].count == 2
    # From a balance that is not there nothing is concluded.
    assert not [each for each in found if each[0] is Problem.SUM]


@pytest.mark.parametrize(
    ("cell", "kind", "codes"),
    [
        ("avail", "deposit", {"L001", "L003"}),
        ("frozen", "deposit", {"L001", "L003"}),
        ("delta_avail", "deposit", {"L001", "L006", "L007"}),
        ("delta_frozen", "lock", {"L001", "L006", "L007"}),
        ("delta_avail", "lock", {"L001", "L006", "L007"}),
        ("delta_avail", "trade_credit", {"L001", "L004", "L006", "L007"}),
        ("event_type", "deposit", {"L006", "L007"}),
        ("ref_id", "unlock", {"L006"}),
        ("ref_id", "deposit", set()),
        ("ref_id", "trade_debit", {"L004"}),
        ("created_at", "deposit", {"L005"}),
    ],
)
def test_a_null_is_of_those_checks_alone_that_need_the_cell(
    rows: list[Row], cell: str, kind: str, codes: set[str]
) -> None:
    newest = {
        (row["user_id"], row["asset_id"]): row["seq"] for row in sorted(rows, key=lambda row: row["seq"])
    }
    row = next(
        row
        for row in rows
        if row["event_type"] == kind and 3 < row["seq"] < newest[row["user_id"], row["asset_id"]]
    )
    row[cell] = None
    # One entry a page is the slower way, and no other one.
    follower = followed(rows, page=1 if cell == "event_type" else 10_000)
    found = list(follower.breaks.kept())
    assert {each.problem.code for each in found} == codes
    assert {each.key for each in found} <= {(row["user_id"], row["asset_id"], row["seq"])}
    assert {each.found for each in found} <= {None}
    # Sums that lack an amount prove nothing; nor do those by type that lack a type.
    assert not uneven_in(follower.sums.by_code)


def test_a_newest_balance_that_is_missing_is_missing_in_the_sums(rows: list[Row]) -> None:
    last = max((row for row in rows if row["user_id"] == 1004), key=lambda row: row["seq"])
    last["avail"] = None
    follower = followed(rows)
    found = {each.problem for each in follower.breaks.kept()}
    assert found == {Problem.MISSING, Problem.NO_BALANCE, Problem.UNSUMMED}
    assert not uneven_in(follower.sums.by_code)
    total: dict[int, AssetSums] = {}
    for sign in (1, 1, -1):
        add_sums(total, follower.sums.by_code, sign)
    assert total[last["asset_id"]].missing == 1


def test_an_amount_missing_in_a_lock_is_not_taken_for_zero() -> None:
    rows = ledger_of(("deposit", 100, 0, 1), ("lock", -5, 5, 9), ("unlock", 5, -5, 9))
    rows[1]["delta_frozen"] = None
    assert {each.problem for each in followed(rows).breaks.kept()} == {
        Problem.MISSING,
        Problem.NO_AMOUNT,
        Problem.UNSUMMED,
    }
    # What the other movement shows stays a fault.
    rows[1]["delta_avail"] = 5
    assert Problem.SIGNS in {each.problem for each in followed(rows).breaks.kept()}


@pytest.mark.parametrize("digits", [70, 400, 5_000])
def test_the_last_digit_of_a_large_varint_counts(digits: int) -> None:
    money = ("delta_avail", "delta_frozen", "avail", "frozen")
    rows = ledger_of(("deposit", 10**digits, 0, 1), ("deposit", 1, 0, 2))
    types = TYPES | dict.fromkeys(money, "varint")
    assert followed(rows, types).breaks.count == 0
    rows[1]["avail"] += 1
    one = [each.identity for each in followed(rows, types).breaks.kept()]
    rows[1]["avail"] += 1
    other = [each.identity for each in followed(rows, types).breaks.kept()]
    assert len(one) == len(other) == 1
    assert one != other


@pytest.mark.parametrize("amount", [Decimal("1E+2000000000"), Decimal("1E-2000000000")])
def test_a_decimal_too_large_to_be_added_is_named_and_the_rest_is_followed(amount: Decimal) -> None:
    money = ("delta_avail", "delta_frozen", "avail", "frozen")
    rows = ledger_of(("deposit", 5, 0, 1), ("deposit", 5, 0, 2), ("deposit", 5, 0, 3))
    rows = [row | {name: Decimal(row[name]) for name in money} for row in rows]
    rows[1]["avail"] = amount
    found = list(followed(rows, TYPES | dict.fromkeys(money, "decimal")).breaks.kept())
    assert {(each.problem, each.key[2], each.found) for each in found} == {
        (Problem.MISSING, 2, amount),
        (Problem.NO_BALANCE, 2, amount),
    }


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([("lock", -5, 5, 9), ("unlock", 5, -5, 9)], []),
        ([("lock", -5, 5, 9), ("refund", 2, -2, 9)], []),
        ([("unlock", 5, -5, 9), ("lock", -5, 5, 9)], [(Problem.NO_LOCK, 2, None, 5)]),
        ([("lock", -5, 5, 8), ("unlock", 5, -5, 9)], [(Problem.NO_LOCK, 3, None, 5)]),
        ([("lock", -5, 5, 9), ("refund", 2, -2, 9), ("refund", 1, -1, 9)], [(Problem.TWICE, 4, 0, 1)]),
        ([("lock", -5, 5, 9), ("unlock", 4, -4, 9)], [(Problem.TOO_MUCH, 3, 5, 4)]),
        ([("lock", -5, 5, 9), ("lock", -5, 5, 8), ("refund", 6, -6, 9)], [(Problem.TOO_MUCH, 4, 5, 6)]),
        ([("lock", -5, 5, 9), ("unlock", 5, -5, 9), ("lock", -3, 3, 9), ("unlock", 3, -3, 9)], []),
    ],
)
@pytest.mark.parametrize("page", [100, 1])
def test_what_is_given_back_was_locked(moves: list[Any], expected: list[Any], page: int) -> None:
    rows = ledger_of(("deposit", 100, 0, 1), *moves)
    of_orders = (Problem.NO_LOCK, Problem.TWICE, Problem.TOO_MUCH)
    found = [each for each in named(followed(rows, page=page).breaks) if each[0] in of_orders]
    assert [(problem, seq, wanted, there) for problem, _, _, seq, _, wanted, there in found] == expected


def test_a_sum_beyond_int64_is_an_overflow_even_if_it_wraps_rightly() -> None:
    most = 2**63 - 1
    rows = ledger_of(("deposit", most, 0, 1), ("deposit", 1, 0, 2))
    rows[1]["avail"] = -(2**63)
    found = [each for each in named(followed(rows).breaks) if each[0].code == "L001"]
    assert found == [(Problem.OVERFLOW, 7, 1, 2, "available", most + 1, -(2**63))]


@pytest.mark.parametrize("kind", ["decimal", "varint"])
def test_amounts_of_any_size_and_other_keys(sound: list[Row], kind: str) -> None:
    money = ("delta_avail", "delta_frozen", "avail", "frozen")
    types = TYPES | dict.fromkeys(money, kind) | {"user_id": "uuid", "asset_id": "text"}
    large = Decimal("1E+30") if kind == "decimal" else 10**30
    rows = [
        row
        | {name: row[name] * large for name in money}
        | {"user_id": UUID(int=row["user_id"]), "asset_id": f"A{row['asset_id']}"}
        for row in sound
        if row["user_id"] < 1010
    ]
    assert named(followed(rows, types, page=50).breaks) == []
    wrong = next(row for row in rows if (row["user_id"].int, row["asset_id"], row["seq"]) == (1004, "A2", 40))
    least = Decimal("1E-18") if kind == "decimal" else 1
    with localcontext(prec=100):
        wrong["avail"] += least
        found = named(followed(rows, types, page=50).breaks)
        apart = found[0][6] - found[0][5]
    assert [each[:5] for each in found] == [
        (Problem.SUM, UUID(int=1004), "A2", seq, "available") for seq in (40, 41)
    ]
    assert apart == least


def test_a_ledger_without_held_amounts(sound: list[Row]) -> None:
    schema = LedgerSchema(held=None, delta_held=None, reference=None, time=None)
    deposits = [dict(row) for row in sound if row["user_id"] == 1004 and row["asset_id"] == 1]
    assert followed(deposits, ledger=schema).breaks.count == 0
    deposits[0]["event_type"] = "withdraw"
    assert [each[0] for each in named(followed(deposits, ledger=schema).breaks)] == [Problem.SIGNS]


def unsigned(*moves: int, types: tuple[str, str] = ("credit", "debit"), user: int = 1) -> list[Row]:
    """A correct ledger whose amounts have no sign: the type says whether they come in or go out."""
    stood, found = 0, list[Row]()
    for number, move in enumerate(moves, 1):
        stood += move
        cells = {"user_id": user, "asset_id": 1, "seq": number, "delta_avail": abs(move), "avail": stood}
        found.append({**cells, "event_type": types[move < 0]})
    return found


NO_SIGNS = LedgerSchema(held=None, delta_held=None, reference=None, time=None)
UPS_AND_DOWNS = [100, *([-3, 2] * 12)]


def told(rows: list[Row], ledger: LedgerSchema = NO_SIGNS, **how: Any) -> str:
    """Why the amounts have no signs, of these rows."""
    signs = followed(rows, ledger=ledger, **how).breaks.signs["available"]
    return signs.why_unsigned("avail", "delta_avail")


@pytest.mark.parametrize("types", [("credit", "debit"), ("move", "move"), ("deposit", "withdraw")])
@pytest.mark.parametrize("page", [1, 3, 100])
@pytest.mark.parametrize("descending", [True, False])
def test_amounts_without_signs_are_told(types: tuple[str, str], page: int, descending: bool) -> None:
    rows = unsigned(*UPS_AND_DOWNS, types=types)
    assert followed(rows, ledger=NO_SIGNS).breaks.of[Problem.SUM].count == 12
    found = told(rows, page=page, descending=descending)
    assert "each of the 12 entries after which avail is less took just as much" in found
    # What comes in and what goes out in two columns: of the latter nothing is known.
    for row in rows:
        row["delta_avail"] = row["delta_avail"] if row["event_type"] == types[0] else 0
    if types[0] != types[1]:
        assert "nothing in each of the 12 entries" in told(rows, page=page, descending=descending)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (5, {"avail": 7}),
        (4, {"avail": None}),
        (3, {"delta_avail": -1}),
        (3, {"delta_avail": 0}),
        (4, {"delta_avail": None}),
        (24, {"avail": 2**62, "delta_avail": 5}),
    ],
)
def test_one_entry_that_is_otherwise_is_enough_to_take_them_for_faults(place: int, change: Row) -> None:
    rows = unsigned(*UPS_AND_DOWNS)
    rows[place] |= change
    assert told(rows) == ""


def test_faults_are_not_taken_for_amounts_without_signs(sound: list[Row]) -> None:
    assert followed(sound).breaks.signs["available"].signed
    # Few falls; rare ones; of a kind that adds; a rise of one that takes; none that adds up; a signed amount elsewhere.
    assert told(unsigned(100, *([-3, 2] * 9))) == ""
    assert told(unsigned(*[1] * 300, *([-1] * 10))) == ""
    assert told(unsigned(*UPS_AND_DOWNS, types=("deposit", "deposit"))) == ""
    assert told(unsigned(*UPS_AND_DOWNS, types=("withdraw", "withdraw"))) == ""
    assert told([row for row in unsigned(100, *[-1] * 20) if row["seq"] > 1]) == ""
    other = unsigned(5, user=2)
    other[0] |= {"delta_avail": -5, "avail": -5}
    assert told([*unsigned(*UPS_AND_DOWNS), *other]) == ""
    # Also in an entry of which nothing else is known, since its predecessor is not there.
    for change in ({"delta_avail": -5}, {"avail": None}):
        assert (
            told([*unsigned(*UPS_AND_DOWNS), other[0] | {"seq": 9, "delta_avail": 5, "avail": 5} | change])
            == ""
        )
    assert told([*unsigned(*UPS_AND_DOWNS), other[0] | {"seq": 9, "delta_avail": 5, "avail": 5}]) != ""
    wrapped = [*unsigned(2**63 - 1, user=2), {**unsigned(2**63 - 1, user=2)[0], "seq": 2, "avail": -2}]
    assert told([*unsigned(*UPS_AND_DOWNS), *wrapped]) == ""


@given(st.data())
def test_pages_and_directions_make_no_difference(data: st.DataObject) -> None:
    moves = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from([*MOVEMENTS, "?"]),
                st.integers(-2, 2),
                st.integers(-2, 2),
                st.integers(1, 3),
            ),
            max_size=12,
        )
    )
    rows = [row | {"asset_id": asset} for asset in (1, 2) for row in ledger_of(*moves)]
    for row in data.draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []:
        row["seq"] += data.draw(st.integers(20, 25))
    unique = list({(row["asset_id"], row["seq"]): row for row in rows}.values())
    whole = named(followed(unique).breaks)
    for descending in (True, False):
        for page in (1, 2, 5):
            assert named(followed(unique, descending=descending, page=page).breaks) == whole


def test_a_partition_with_a_static_cell_alone_has_no_entry(rows: list[Row]) -> None:
    alone = [dict.fromkeys(rows[0]) | {"user_id": user, "asset_id": 1} for user in (0, 999_999)]
    expected = followed(rows)
    for page in (1, 10_000):
        found = followed([*alone, *rows], page=page)
        assert (found.entries, found.partitions) == (expected.entries, expected.partitions)
        assert found.breaks.count == expected.breaks.count == 0


@pytest.mark.parametrize(
    ("types", "ledger", "said"),
    [
        (TYPES, LedgerSchema(available="balance"), "no column balance"),
        (TYPES | {"seq": "timeuuid"}, LedgerSchema(), "not numbered"),
        (TYPES | {"avail": "double"}, LedgerSchema(), "no exact amounts"),
        (TYPES | {"created_at": "text"}, LedgerSchema(), "in milliseconds"),
        (TYPES, LedgerSchema(account="asset_id", asset="created_at", time=None), "is no ledger"),
    ],
)
def test_what_is_no_ledger_is_refused(types: dict[str, str], ledger: LedgerSchema, said: str) -> None:
    with pytest.raises(BalancebookError, match=said):
        roles_of(table(types), ledger)


SIGNS = {1: "+", 0: "0", -1: "-"}
# As the table in ledger/rules.py has it, for people: kind, available, held, and whether the sum of both stays.
TABLE = {
    ("deposit", "+", "0"), ("withdraw", "-", "0"), ("lock", "-", "+"), ("unlock", "+", "-"),
    ("trade_debit", "0", "-"), ("trade_credit", "+", "0"), ("refund", "+", "-"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVEMENTS)
@pytest.mark.parametrize("available", [1, 0, -1])
@pytest.mark.parametrize("held", [1, 0, -1])
def test_a_kind_moves_both_balances_in_its_own_way_alone(kind: str, available: int, held: int) -> None:
    rows = ledger_of(("deposit", 100, 0, 1), ("lock", -50, 50, 8), (kind, 5 * available, 5 * held, 8))
    signs = {each.key[2] for each in followed(rows).breaks.of[Problem.SIGNS].worst}
    assert signs == (set() if (kind, SIGNS[available], SIGNS[held]) in TABLE else {3})


@pytest.mark.parametrize("kind", ["lock", "unlock", "refund"])
def test_what_moves_between_the_two_keeps_their_sum(kind: str) -> None:
    turn = -1 if kind == "lock" else 1
    for held, sound in ((5, True), (4, False), (6, False)):
        rows = ledger_of(("deposit", 100, 0, 1), ("lock", -50, 50, 8), (kind, 5 * turn, -held * turn, 8))
        assert (not followed(rows).breaks.of[Problem.SIGNS].count) is sound


@pytest.mark.parametrize("page", [3, 4, 5, 100])
def test_partitions_are_told_apart_whatever_follows_them(page: int) -> None:
    # In this order they come, so that the first account has the highest number, and the last one the middle.
    rows = [
        row | {"user_id": user, "asset_id": asset}
        for user, asset in ((10, 1), (2, 1), (2, 3), (9, 1), (9, 2))
        for row in ledger_of(("deposit", 100, 0, 1), ("lock", -5, 5, 9), ("unlock", 5, -5, 9))
    ]
    found = followed(rows, page=page, descending=False).breaks
    assert [
        each for each in named(found) if each[0] in (Problem.NO_LOCK, Problem.TWICE, Problem.TOO_MUCH)
    ] == []
