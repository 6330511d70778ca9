"""Accounts of any CQL type: what a parameter's number or text means in the ledger's account column."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from cassandra.cluster import Session

from balancebook import balances, notebook
from balancebook.balances import AccountRefused
from balancebook.checks.context import Context
from balancebook.settings import Profile, retarget
from checking import Ask

A_UUID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
# Type -> (a person's spelling, its value), and what is no account of that type. Others: unit/test_keys_file.py.
TYPES: dict[str, tuple[list[tuple[int | str, Any]], list[Any]]] = {
    "bigint": (
        [(1001, 1001), ("1001", 1001), (-(2**63), -(2**63)), (0, 0)],
        [
            "007",
            "5.0",
            "+5",
            " 5",
            "-0",
            "1e3",
            "\u0665",
            "x",
            "",
            "True",
            True,
            5.0,
            2**63,
            "1; DROP",
            UUID(A_UUID),
        ],
    ),
    "varint": ([(2**100, 2**100), ("-7", -7)], ["007", "1.5"]),
    "uuid": (
        [(A_UUID, UUID(A_UUID)), (A_UUID.upper(), UUID(A_UUID))],
        [1001, "f47ac10b58cc4372a5670e02b2c3d479", f"{{{A_UUID}}}", f"{A_UUID} ", ""],
    ),
    "text": ([("alice", "alice"), (1001, "1001"), ("007", "007"), ("Größe", "Größe")], [True, 5.0, None]),
    "inet": ([("10.0.0.7", "10.0.0.7"), ("::1", "::1")], [7, "10.0.0", "10.0.0.07", "localhost"]),
    "blob": ([("0xcafe", b"\xca\xfe")], ["cafe", "0xcaf", 7]),
}
ACCEPTED = [(kind, given, value) for kind, (good, _) in TYPES.items() for given, value in good]
REFUSED = [(kind, given) for kind, (_, bad) in TYPES.items() for given in bad]


@pytest.fixture(scope="module")
def place(session: Session) -> str:
    """A keyspace with a ledger by each type of account, of which `good` accounts have an entry; and their views."""
    name = f"accounts_{os.getpid()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    for kind, (good, _) in TYPES.items():
        session.execute(
            f"CREATE TABLE {name}.of_{kind} (owner {kind}, asset_id int, seq bigint, avail bigint, frozen bigint, "
            "created_at bigint, PRIMARY KEY ((owner, asset_id), seq)) WITH CLUSTERING ORDER BY (seq DESC)"
        )
        session.execute(
            f"CREATE MATERIALIZED VIEW {name}.by_{kind} AS SELECT * FROM {name}.of_{kind} WHERE owner IS NOT NULL "
            "AND asset_id IS NOT NULL AND seq IS NOT NULL PRIMARY KEY (owner, asset_id, seq) "
            "WITH CLUSTERING ORDER BY (asset_id ASC, seq DESC)"
        )
        insert = session.prepare(
            f"INSERT INTO {name}.of_{kind} (owner, asset_id, seq, avail, frozen) VALUES (?, 1, 1, 5, 0)"
        )
        for _, value in good:
            session.execute(insert, (value,))
    return name


def of(profile: Profile, place: str, kind: str) -> Profile:
    ledger = profile.ledger.model_copy(update={"account": "owner"})
    return retarget(profile.model_copy(update={"ledger": ledger}), keyspace=place, view=f"by_{kind}")


@pytest.fixture(scope="module")
def contexts(impatient: Profile, place: str) -> Iterator[dict[str, Context]]:
    """A context by each type."""
    made = {kind: Context(of(impatient, place, kind)) for kind in TYPES}
    yield made
    for ctx in made.values():
        ctx.close()


@pytest.mark.parametrize(("kind", "given", "value"), ACCEPTED)
def test_what_a_person_writes_is_the_account_of_that_row(
    contexts: dict[str, Context], kind: str, given: int | str, value: object
) -> None:
    ctx = contexts[kind]
    found = ctx.account(given)
    assert (type(found), found) == (type(value), value)
    assert ctx.account(found) == value
    frame = balances.current(ctx.reader, ctx.target, "in_assets", given, ctx.registry)
    assert frame["asset"].tolist() == ["BTC"]


@pytest.mark.parametrize(("kind", "given"), REFUSED)
def test_what_is_no_account_is_refused_by_name(contexts: dict[str, Context], kind: str, given: Any) -> None:
    with pytest.raises(AccountRefused) as refused:
        contexts[kind].account(given, "whose")
    error = refused.value
    assert error.parameter == "whose"
    assert error.message.startswith("whose is ")
    assert f"of_{kind}.owner is {kind}." in error.message
    assert ", for example " in error.remedy


@pytest.mark.parametrize(
    "code", ["Q001", "Q002", "Q003", "G003", "G004", "G006", "L001", "L002", "L003", "L004", "L005", "L006"]
)
def test_a_check_does_not_take_it_for_an_unreadable_database(contexts: dict[str, Context], code: str) -> None:
    params = {"user_id": "007"} if code != "Q002" else {}
    params |= {"strategy": "group_by"} if code.startswith("Q") else {}
    params |= {"unknown_user_id": "007"} if code in ("Q002", "G004") else {}
    with pytest.raises(AccountRefused, match="'007', which is no bigint"):
        notebook.Book(contexts["bigint"]).check(code, **params)


def test_a_table_to_look_at_refuses_it_too(contexts: dict[str, Context]) -> None:
    ctx = contexts["uuid"]
    with pytest.raises(AccountRefused, match="which is no uuid"):
        notebook.Book(ctx).show(
            lambda ctx: balances.current(ctx.reader, ctx.target, "group_by", 7, ctx.registry)
        )


@pytest.mark.parametrize("kind", ["text", "uuid", "inet", "blob"])
def test_the_queries_are_judged_whatever_the_type(
    impatient: Profile, place: str, ask: Ask, kind: str
) -> None:
    profile = of(impatient, place, kind)
    given = TYPES[kind][0][0][0]
    for code in ("Q001", "Q003"):
        assert ask(code, profile, strategy="group_by", user_id=given).verdict == "pass"
    assert ask("Q001", profile, strategy="group_by", user_id=given, assets_from="known").verdict == "pass"
