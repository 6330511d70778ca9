"""A reproducible sample of accounts: the one named, those drawn by lot, the awkward ones, and nobody's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from balancebook.assets import Registry
from balancebook.balances.asset_list import (
    AssetList,
    list_for_all,
    partitioned_by_asset,
    require_complete,
    require_source,
)
from balancebook.balances.strategies import STRATEGIES
from balancebook.balances.survey import Chosen, Newest, Survey
from balancebook.balances.target import Target, shape_of
from balancebook.store.cql.values import text_of
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import quote, read_view

NAMED = "named"
NOBODY = "does not exist"
# Of tokens drawn one after another many may fall to the same account.
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Sampled:
    """An account of the sample: why it is there, its assets, and how many entries the base has of them."""

    account: Any
    why: tuple[str, ...]
    assets: tuple[Any, ...]
    entries: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Accounts, the named one first; and in sentences what cannot be seen, and what else is to be said of it."""

    accounts: tuple[Sampled, ...] = ()
    blind_spot: str = ""
    notes: tuple[str, ...] = ()


def draw(  # noqa: PLR0913  (each of them decides who is in it)
    reader: Reader,
    target: Target,
    registry: Registry,
    *,
    named: Any,
    nobody: Any,
    size: int,
    seed: int,
    assets_from: str = "scan",
) -> Sample:
    """`size` accounts drawn by lot, the awkward ones of all that are seen, `named` and `nobody`.

    By `scan` they are those of the base, by one reading of each partition's first row; by `known` those of the view
    that are met at tokens drawn at random, and awkward are the most awkward of these. All accounts together have at the
    most limits.max_rows entries, so that a query that reads all of them stays within it: those beyond are left out.
    Raises BalancebookError if the base's partitions could not be listed, UsageError for another source.
    """
    require_source(assets_from)
    survey = Survey(registry, size, seed, held_known=target.ledger.held is not None)
    look = _by_scan if assets_from == "scan" else _by_tokens
    found, seen = look(reader, target, registry, survey)
    reasons: dict[Any, tuple[str, ...]] = {named: (NAMED, *found.reasons.get(named, ()))}
    reasons |= {account: why for account, why in found.reasons.items() if account != named}
    reasons.setdefault(nobody, (NOBODY,))
    listed = list_for_all(reader, target, reasons, assets_from, registry)
    kept, beyond = _within(reader, target, reasons, listed)
    missing = (f"Not in it, {what}." for what in found.missing)
    blind = f"Not seen: {listed[named].blind_spot}."
    return Sample(tuple(_rightly(kept)), blind, (seen, *missing, *beyond))


def _rightly(kept: Iterable[Sampled]) -> Iterator[Sampled]:
    """Who was said not to exist and does is in the sample all the same, under another name."""
    for each in kept:
        if NOBODY in each.why and each.entries:
            yield Sampled(each.account, ("named as one who does not exist",), each.assets, each.entries)
        else:
            yield each


def _by_scan(reader: Reader, target: Target, _registry: Registry, survey: Survey) -> tuple[Chosen, str]:
    base, ledger = partitioned_by_asset(reader, target), target.ledger
    first = base.clustering_key[0]
    survey.order_known = first.name == ledger.order and first.clustering_order == "desc"
    columns = [ledger.account, ledger.asset, ledger.order, ledger.available, *filter(None, [ledger.held])]
    budget = reader.profile.limits.max_rows
    partitions = scan(reader, base, columns, budget_rows=budget, first_rows=True)
    for rows in partitions:
        for account, asset, order, available, *held in rows:
            survey.add(Newest(account, asset, order, available, held[0] if held else None))
    require_complete(reader, target, partitions.report, budget)
    found = survey.chosen()
    count = "more accounts than are kept" if found.accounts is None else f"{found.accounts:,} accounts"
    return found, f"Drawn from {count} of {target.base}, by a scan of its partitions."


def _by_tokens(reader: Reader, target: Target, registry: Registry, survey: Survey) -> tuple[Chosen, str]:
    view = read_view(reader, target.keyspace, target.view)
    if view is None or [column.name for column in view.partition_key] != [target.ledger.account]:
        return survey.chosen(), f"Nobody is drawn: {target.view} is not partitioned by account alone."
    met = _met(reader, target, survey)
    for account, listed in list_for_all(reader, target, met, "known", registry).items():
        for newest in newest_rows(reader, target, account, listed.assets):
            survey.add(newest)
    return survey.chosen(), (
        f"Drawn by random tokens of {target.view}: accounts that the base has and the view has not are not among them, "
        "and awkward ones only if they were drawn."
    )


def _met(reader: Reader, target: Target, survey: Survey) -> list[Any]:
    """The accounts at random tokens of the view, as many as are to be drawn if there are so many."""
    account = quote(target.ledger.account)
    beyond = f"SELECT {account} FROM {target.view_name} WHERE token({account}) > ? LIMIT 1"
    first = f"SELECT {account} FROM {target.view_name} LIMIT 1"
    met: dict[Any, None] = {}
    for number in range(_TRIES * survey.draws):
        drawn = blake2b(f"{survey.seed}:token {number}".encode(), digest_size=8).digest()
        token = max(int.from_bytes(drawn, "big", signed=True), 1 - 2**63)
        rows = reader.rows(beyond, (token,)) or reader.rows(first)
        met |= dict.fromkeys(row[0] for row in rows)
        if len(met) == survey.draws:
            break
    return list(met)


def newest_rows(reader: Reader, target: Target, account: Any, assets: Sequence[Any]) -> list[Newest]:
    """The newest row of each of these assets that the account has, from the base."""
    rows = STRATEGIES["per_asset_parallel"].fetch(reader, target, account, assets)
    held = target.selected.index(target.ledger.held) if target.ledger.held else None
    return [Newest(account, row[0], row[1], row[2], None if held is None else row[held]) for row in rows]


def _within(
    reader: Reader, target: Target, reasons: dict[Any, tuple[str, ...]], listed: dict[Any, AssetList]
) -> tuple[list[Sampled], list[str]]:
    """The accounts whose entries fit into the budget, counted; and of those that do not, a sentence each."""
    budget = left = reader.profile.limits.max_rows
    kept, beyond = [], []
    for account, why in reasons.items():
        assets = listed[account].assets
        entries = count_entries(reader, target, account, assets, left)
        if entries > left:
            beyond.append(
                f"{text_of(account)} ({', '.join(why)}) is left out: with it the sample has more than {budget:,} "
                "entries, limits.max_rows."
            )
        else:
            kept.append(Sampled(account, why, assets, entries))
            left -= entries
    return kept, beyond


def count_entries(reader: Reader, target: Target, account: Any, assets: Sequence[Any], most: int) -> int:
    """How many rows the base has of these assets of the account; counting ends beyond `most`."""
    ledger = target.ledger
    shape_of(reader, target)
    cql = (
        f"SELECT {quote(ledger.order)} FROM {target.base_name} "
        f"WHERE {quote(ledger.account)} = ? AND {quote(ledger.asset)} = ?"
    )
    count = 0
    for asset in assets:
        for page in reader.pages(cql, (account, asset)):
            count += len(page)
            if count > most:
                return count
    return count
