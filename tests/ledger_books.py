"""Books of an exchange that a test writes in and damages, and what the ledger checks say of them."""

from __future__ import annotations

from typing import Any

from cassandra.cluster import Session

from balancebook.checks.context import Context
from balancebook.demo.generate import LedgerEntry
from balancebook.demo.schema import LEDGER, TRADES
from balancebook.settings import Profile
from balancebook.verdict import Result
from checking import Ask, run_check
from small_exchange import ENTRIES

CODES = ("L001", "L002", "L003", "L004", "L005", "L006", "L007")
USDT = 2


class Books:
    """Writes entries at the end of accounts, as the application would, and damages what is there."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session, self._keyspace = session, keyspace
        self._last = {(each.user_id, each.asset_id): each for each in ENTRIES}

    def entry(
        self, user: int, asset: int, kind: str, available: int, held: int = 0, **other: Any
    ) -> LedgerEntry:
        last = self._last[user, asset]
        made = LedgerEntry(
            user,
            asset,
            last.seq + 1,
            available,
            held,
            last.avail + available,
            last.frozen + held,
            kind,
            other.get("ref_id", -1),
            last.created_at + 1,
        )._replace(**other)
        self.write(made)
        self._last[user, asset] = made
        return made

    def write(self, made: LedgerEntry) -> None:
        names, places = ", ".join(made._fields), ", ".join(["%s"] * len(made))
        self._session.execute(f"INSERT INTO {self._keyspace}.{LEDGER} ({names}) VALUES ({places})", made)

    def balance(self, user: int, asset: int) -> int:
        return self._last[user, asset].avail

    def run(self, cql: str, *values: object) -> None:
        names = {"ledger": f"{self._keyspace}.{LEDGER}", "trades": f"{self._keyspace}.{TRADES}"}
        self._session.execute(cql.format(**names), values)


def named(result: Result) -> list[tuple[Any, ...]]:
    names = ("problem", "account", "asset", "entry", "expected", "found")
    return [tuple(sample[name] for name in names) for sample in result.samples]


def all_checks(profile: Profile, ask: Ask = run_check, **ways: Any) -> dict[str, Result]:
    """What each check says, by one audit."""
    ctx = Context(profile, **ways)
    try:
        return {code: ask(code, profile, within=ctx) for code in CODES}
    finally:
        ctx.close()
