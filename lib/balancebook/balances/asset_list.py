"""Which assets an account has. The base cannot say it cheaply: its partition is one account and one asset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from balancebook.assets import Registry
from balancebook.balances.keys import asset_of
from balancebook.balances.strategies import Strategy
from balancebook.balances.target import Target, shape_of
from balancebook.errors import BalancebookError, UsageError
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import quote

SOURCES = ("scan", "known")
# Of a larger base only the accounts asked for are kept, so that memory stays bounded (about 50 MB).
_MOST_KEPT = 250_000


@dataclass(frozen=True, slots=True)
class AssetList:
    """The asset ids of an account, sorted; where they come from; and what that source cannot see.

    From `scan` they are those with a partition in the base, from `known` candidates, which may have no row there.
    """

    assets: tuple[Any, ...]
    source: str
    blind_spot: str

    @property
    def note(self) -> str:
        """Source and blind spot in one sentence."""
        return f"Assets from {_SOURCE_TEXT[self.source]}; not seen: {self.blind_spot}."


_SOURCE_TEXT = {
    "scan": "a scan of the base's partition keys",
    "known": "the registry, the view and those named",
}
_BLIND_SPOT = {
    "scan": "an asset first booked after the scan",
    "known": "an asset of the base that none of these three holds",
}


def assets_of(
    reader: Reader, target: Target, account: Any, source: str, registry: Registry, named: Sequence[Any] = ()
) -> AssetList:
    """The assets of an account: by `scan` of the base's partition keys (once per reader and target, then from
    memory), or the `known` ones: the registry's, the view's and those `named`, without a scan.

    Raises UsageError for another source, BalancebookError if the scan is not complete (a part could not be read, or
    there are more partitions than limits.max_rows), if the base is not partitioned by account and asset, or if an id of
    the registry is no value of the asset column.
    """
    if source == "scan":
        found = set(_scanned(reader, target, account))
    elif source == "known":
        registered = (asset_of(reader, target, asset) for asset in registry)
        found = {*registered, *_in_view(reader, target, account), *named}
    else:
        raise UsageError(
            f"assets_from {source!r} is not known.",
            f"Take one of {', '.join(SOURCES)}.",
            parameter="assets_from",
        )
    return AssetList(tuple(sorted(found)), source, _BLIND_SPOT[source])


def assets_for(
    strategy: Strategy, reader: Reader, target: Target, account: Any, registry: Registry, source: str
) -> tuple[Any, ...]:
    """What a strategy must be told: the account's assets, or nothing, unread, if it finds them itself."""
    return assets_of(reader, target, account, source, registry).assets if strategy.needs_assets else ()


def _in_view(reader: Reader, target: Target, account: Any) -> Iterator[Any]:
    account_column, asset = quote(target.ledger.account), quote(target.ledger.asset)
    cql = f"SELECT {asset} FROM {target.view_name} WHERE {account_column} = ? GROUP BY {account_column}, {asset}"
    return (row[0] for row in reader.rows(cql, (account,)))


class _Scanned:
    """Accounts and their assets as one scan found them. `whole` says whether every account is kept."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.assets: dict[Any, tuple[Any, ...]] = {}
        self.whole = False


_scans: WeakKeyDictionary[Reader, dict[Target, _Scanned]] = WeakKeyDictionary()
_scans_lock = Lock()


def _scanned(reader: Reader, target: Target, account: Any) -> tuple[Any, ...]:
    with _scans_lock:
        kept = _scans.setdefault(reader, {}).setdefault(target, _Scanned())
    with kept.lock:
        if account not in kept.assets and not kept.whole:
            found, kept.whole = _gathered(_partition_keys(reader, target), account)
            kept.assets.update((owner, tuple(assets)) for owner, assets in found.items())
        return kept.assets.get(account, ())


def _gathered(keys: Iterable[tuple[Any, Any]], account: Any) -> tuple[dict[Any, set[Any]], bool]:
    """The assets by account, and whether all accounts are there; if they are too many, of the one asked for."""
    found: dict[Any, set[Any]] = {account: set()}
    size, whole = 0, True
    for owner, asset in keys:
        if whole or owner == account:
            found.setdefault(owner, set()).add(asset)
            size += 1
        if whole and size > _MOST_KEPT:
            found, whole = {account: found[account]}, False
    return found, whole


def _partition_keys(reader: Reader, target: Target) -> Iterator[tuple[Any, Any]]:
    """(account, asset) of every partition of the base. Raises BalancebookError if any could not be read."""
    base, ledger = shape_of(reader, target).base, target.ledger
    partition = [column.name for column in base.partition_key]
    if not {ledger.account, ledger.asset} <= set(partition):
        raise BalancebookError(
            f"{target.base_name} is partitioned by {', '.join(partition)}, not by account and asset.",
            "Set assets_from to known.",
        )
    budget = reader.profile.limits.max_rows
    keys = scan(reader, base, partition, budget_rows=budget, distinct=True)
    account, asset = partition.index(ledger.account), partition.index(ledger.asset)
    for rows in keys:
        yield from ((row[account], row[asset]) for row in rows)
    if not keys.report.complete:
        raise _incomplete(target, keys.report, budget)


def _incomplete(target: Target, report: ScanReport, budget: int) -> BalancebookError:
    if report.truncated:
        why = f"it has more than {budget} partitions, the budget"
        remedy = "Set assets_from to known, or raise limits.max_rows in the profile."
    else:
        why = f"{len(report.unknown_ranges)} token ranges could not be read ({'; '.join(report.reasons)})"
        remedy = "Set assets_from to known, or run again when the cluster is up."
    return BalancebookError(f"The assets could not be listed from {target.base_name}: {why}.", remedy)
