"""Every notebook on an exchange that is unlike the first: uuid owners, text coins, decimal money, nothing held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook import balances
from balancebook.assets import exact_sum
from balancebook.balances import AccountRefused
from balancebook.checks.context import Context
from balancebook.checks.judging import judge
from balancebook.demo import wallets
from balancebook.demo.faults.inject import Injector, delete
from balancebook.demo.load import ensure_wallets_loaded
from balancebook.demo.node import Node
from balancebook.demo.wallets import JournalEntry, generate
from balancebook.record import Record
from balancebook.runs import command
from balancebook.runs.catalogue import Entry, find_entry, list_entries
from balancebook.runs.values import ACCOUNT
from balancebook.settings import EMBEDDED_WALLETS, Profile, load_profile, retarget
from balancebook.store.reader import open_reader
from checking import run_check
from nbval_process import nbval
from notebooks.conftest import found

SEVERAL, NOBODY = str(wallets.SEVERAL_COINS), str(wallets.NOBODY)
Run = Callable[..., tuple[Record, Path]]


@pytest.fixture(scope="module")
def second(server: Node, environment: dict[str, str]) -> Profile:
    """The profile of the second exchange, loaded."""
    assert server.alive
    profile = load_profile(EMBEDDED_WALLETS, env=environment)
    assert ensure_wallets_loaded(profile).trades > 100
    return profile


@pytest.fixture(scope="module")
def run(
    second: Profile, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """run("mv_checks", "view=...") -> its record, and the folder of the run, by the library's own runner; once each."""
    out = tmp_path_factory.mktemp("runs")

    @cache
    def made(name: str, *assignments: str) -> tuple[Record, Path]:
        return command.run(
            name, assignments, profile_name=second.name, out=out, timeout_s=300, progress=lambda _: None
        )

    with found(second, environment), pytest.MonkeyPatch.context() as patch:
        patch.setenv("BALANCEBOOK_STATE", environment["BALANCEBOOK_STATE"])
        yield made


def parameters(entry: Entry) -> list[str]:
    """An account of this exchange for each parameter that names one; a quick measurement."""
    accounts = [each.name for each in entry.parameters if each.kind == ACCOUNT and each.default is not None]
    given = [f"{name}={NOBODY if name.startswith('unknown') else SEVERAL}" for name in accounts]
    short = {"latency_analysis": ["rounds=5", "calls=1"], "balance_queries": ["sample=2", "repeats=1"]}
    return given + short.get(entry.name, [])


def test_it_is_loaded_once(second: Profile) -> None:
    assert not ensure_wallets_loaded(second).fresh


@pytest.mark.parametrize("entry", list_entries(), ids=lambda entry: entry.name)
def test_every_notebook_runs_on_it(run: Run, entry: Entry) -> None:
    record, _ = run(entry.name, *parameters(entry))
    assert record.status == "completed", record.error
    assert [result.code for result in record.results] == [*entry.required, *entry.optional]
    verdicts = {result.verdict for result in record.results}
    assert verdicts == {"pass"}, [(each.code, each.message) for each in record.results]
    assert record.optional_missing == []


@pytest.mark.soak
@pytest.mark.parametrize("name", ["balance_explorer", "balance_queries", "ledger_audit"])
def test_it_says_the_same_again(run: Run, environment: dict[str, str], name: str) -> None:
    record, folder = run(name, *parameters(find_entry(name)))
    assert record.exit_code == 0, record.results
    again = nbval(folder / record.files["notebook"], environment | {"BALANCEBOOK_PROFILE": EMBEDDED_WALLETS})
    assert again.returncode == 0, again.stdout[-4000:] + again.stderr[-2000:]


@pytest.mark.usefixtures("run")
def test_an_account_of_the_first_exchange_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for given, parameter in (((), "user_id"), ((f"user_id={SEVERAL}",), "unknown_user_id")):
        with pytest.raises(AccountRefused, match=r"no uuid: wallet_journal\.owner is uuid") as refused:
            command.run(
                "readiness", given, profile_name=EMBEDDED_WALLETS, out=tmp_path, timeout_s=60, progress=print
            )
        assert refused.value.parameter == parameter
        assert refused.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("owner", wallets.ENDS)
def test_every_right_query_returns_the_awkward_owners_balances(second: Profile, owner: object) -> None:
    ends = {second.registry.by_id(coin): amount for coin, amount in wallets.ENDS[owner].items()}  # type: ignore[index]
    ctx = Context(second.model_copy(update={"grace_s": 0.1}))
    try:
        judged = judge(ctx, user_id=str(owner), unknown_user_id=NOBODY, sample=0, seed=1)
        frame = balances.current(ctx.reader, ctx.target, "skip_scan", str(owner), ctx.registry)
    finally:
        ctx.close()
    wrong = {name for name, found in judged.by_strategy.items() if found[owner].verdict != "pass"}
    assert wrong == ({"seed_limit_one"} if len(ends) > 1 else set())
    named = {asset.symbol if asset else "#pepe": amount for asset, amount in ends.items()}
    assert dict(zip(frame["asset"], frame["available"], strict=True)) == named
    assert {type(amount) for amount in frame["available"]} == {Decimal}
    assert set(frame["held"]) == {None}
    assert set(frame["unit"]) == {"whole"}


@pytest.mark.parametrize("assets_from", ["scan", "known"])
def test_an_owner_of_many_coins(second: Profile, assets_from: str) -> None:
    asked: dict[str, Any] = {
        "strategy": "group_by",
        "user_id": str(wallets.MANY_COINS),
        "assets_from": assets_from,
    }
    for code, count in (("Q001", "returned"), ("Q003", "rows")):
        result = run_check(code, second, **asked)
        assert (result.verdict, result.counts[count]) == ("pass", wallets.COINS), result


def test_nobody_has_nothing(second: Profile) -> None:
    assert run_check("Q002", second, strategy="skip_scan", unknown_user_id=NOBODY).verdict == "pass"


@pytest.fixture(scope="module")
def damaged(second: Profile, session: Session, server: Node) -> str:
    """A second load of it, with a row that the view has lost, a wrong sum, an odd movement and a lost fill."""
    name = f"wallets_{os.getpid()}"
    profile = retarget(second, keyspace=name)
    ensure_wallets_loaded(profile)
    with server.admin() as admin:
        key = {"owner": wallets.ONE_COIN, "coin": wallets.ETH, "entry_no": 21}
        Injector(session.execute, admin, name).import_cells(profile.view, [delete(key)])
    # Prepared, since the driver writes a Decimal into a statement's text as a float.
    where = "WHERE owner = ? AND coin = ? AND entry_no = ?"
    for cql, values in (
        (
            f"UPDATE {name}.wallet_journal SET balance = ? {where}",
            (exact_sum([TOO_MUCH.balance, Decimal("1E-18")]), *TOO_MUCH[:3]),
        ),
        (f"UPDATE {name}.wallet_journal SET kind = 'out' {where}", ODD[:3]),
        (f"DELETE FROM {name}.fills WHERE fill_id = ?", (FILL.reference,)),
    ):
        session.execute(session.prepare(cql), values)
    with open_reader(profile) as reader:
        assert (
            len(
                reader.rows(
                    f"SELECT entry_no FROM {name}.wallets_by_owner WHERE owner = ?", (wallets.ONE_COIN,)
                )
            )
            == 20
        )
    return name


_ENTRIES = [each for each in generate() if isinstance(each, JournalEntry)]
TOO_MUCH = next(each for each in _ENTRIES if each[:3] == (wallets.SEVERAL_COINS, wallets.SHIB, 21))
ODD = next(
    each for each in _ENTRIES if each.owner == wallets.DEEP and each.kind == "in" and each.entry_no > 5
)
FILL = next(each for each in _ENTRIES if each.kind == "trade_in")


def test_a_row_that_the_view_lost_is_named(run: Run, damaged: str) -> None:
    record, _ = run("mv_checks", f"keyspace={damaged}")
    found = {result.code: result for result in record.results}
    assert (record.exit_code, found["V005"].verdict, found["V005"].counts["LOST"]) == (10, "fail", 1)
    [sample] = found["V005"].samples
    assert sample["key"] == f"owner={wallets.ONE_COIN}, coin=eth, entry_no=21"
    lost = run_check("Q001", retarget(load_profile(EMBEDDED_WALLETS), keyspace=damaged), **_OF_ONE)
    assert [(each["asset"], each["problem"]) for each in lost.samples] == [("ETH", "stale")]


_OF_ONE: dict[str, Any] = {"strategy": "group_by", "user_id": str(wallets.ONE_COIN)}


def test_breaks_of_the_ledger_are_named_exactly(run: Run, damaged: str) -> None:
    record, _ = run("ledger_audit", f"keyspace={damaged}")
    found = {result.code: result for result in record.results}
    assert record.exit_code == 10
    assert {code for code, result in found.items() if result.verdict == "fail"} == {
        "L001",
        "L004",
        "L006",
        "L007",
    }
    assert [_named(sample) for sample in found["L001"].samples] == [
        (
            SEVERAL,
            "SHIB",
            21,
            "1234567890123456789.123456789012345678",
            "1234567890123456789.123456789012345679",
        )
    ]
    (odd,) = found["L006"].samples
    assert (odd["account"], odd["asset"], odd["entry"]) == (str(ODD.owner), "USDT", ODD.entry_no)
    assert found["L004"].counts["no_such_trade"] == 4
    assert [(sample["asset"], sample["of"]) for sample in found["L007"].samples] == [
        ("SHIB", "newest balances")
    ]
    assert {sample["of"] for sample in found["L004"].samples} == {f"trade {FILL.reference}"}


def _named(sample: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(sample[name] for name in ("account", "asset", "entry", "expected", "found"))
