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
from balancebook.balances.target import Target, key_text, require_by_asset, shape_of
from balancebook.errors import BalancebookError, UsageError
from balancebook.store.ranges import ScanReport
from balancebook.store.reader import Reader
from balancebook.store.scan import scan
from balancebook.store.schema import Table, quote

SOURCES = ("scan", "known")
# Of a larger base only the accounts asked for are kept, so that memory stays bounded (about 50 MB).
MOST_KEPT = 250_000


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
    require_source(source)
    if source == "known":
        _require_known(reader, target)
    if source == "scan":
        found = set(_scanned(reader, target, (account,))[account])
    else:
        registered = (asset_of(reader, target, asset) for asset in registry)
        found = {*registered, *_in_view(reader, target, account), *named}
    return AssetList(tuple(sorted(found)), source, _BLIND_SPOT[source])


def list_for_all(
    reader: Reader, target: Target, accounts: Iterable[Any], source: str, registry: Registry
) -> dict[Any, AssetList]:
    """The assets of several accounts, each as `assets_of` gives them, by one scan at the most; raises as it does."""
    wanted = tuple(accounts)
    require_source(source)
    if source == "scan":
        _scanned(reader, target, wanted)
    return {account: assets_of(reader, target, account, source, registry) for account in wanted}


def require_source(source: str) -> None:
    """Raises UsageError for a source of assets that is not known."""
    if source not in SOURCES:
        raise UsageError(
            f"assets_from {source!r} is not known.",
            f"Take one of {', '.join(SOURCES)}.",
            parameter="assets_from",
        )


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


def _scanned(reader: Reader, target: Target, accounts: Sequence[Any]) -> dict[Any, tuple[Any, ...]]:
    """The assets of these accounts, by one scan if they are not known yet."""
    with _scans_lock:
        kept = _scans.setdefault(reader, {}).setdefault(target, _Scanned())
    with kept.lock:
        if not kept.whole and not kept.assets.keys() >= set(accounts):
            found, kept.whole = _gathered(_partition_keys(reader, target), accounts)
            kept.assets.update((owner, tuple(assets)) for owner, assets in found.items())
        return {account: kept.assets.get(account, ()) for account in accounts}


def _gathered(keys: Iterable[tuple[Any, Any]], accounts: Iterable[Any]) -> tuple[dict[Any, set[Any]], bool]:
    """The assets by account, and whether all accounts are there; if they are too many, of those asked for."""
    asked: dict[Any, set[Any]] = {account: set() for account in accounts}
    found, size, whole = dict(asked), 0, True
    for owner, asset in keys:
        if whole or owner in asked:
            found.setdefault(owner, set()).add(asset)
            size += 1
        if whole and size > MOST_KEPT:
            found, whole = asked, False
    return found, whole


def _partition_keys(reader: Reader, target: Target) -> Iterator[tuple[Any, Any]]:
    """(account, asset) of every partition of the base. Raises BalancebookError if any could not be read."""
    base = partitioned_by_asset(reader, target)
    names = (target.ledger.account, target.ledger.asset)
    partition = [column.name for column in base.partition_key]
    budget = reader.profile.limits.max_rows
    keys = scan(reader, base, partition, budget_rows=budget, distinct=True)
    account, asset = (partition.index(name) for name in names)
    for rows in keys:
        yield from ((row[account], row[asset]) for row in rows)
    require_complete(reader, target, keys.report, budget)


def partitioned_by_asset(reader: Reader, target: Target) -> Table:
    """The base, whose partitions are each of one account and one asset. Raises BalancebookError if they are not."""
    base, ledger = shape_of(reader, target).base, target.ledger
    partition = [column.name for column in base.partition_key]
    if not {ledger.account, ledger.asset} <= set(partition):
        require_by_asset(reader, target)
        raise BalancebookError(
            f"{target.base_name} is partitioned by {', '.join(partition)}, not by account and asset.",
            "Set assets_from to known." if _can_know(reader, target) else _UNLISTED,
        )
    return base


_UNLISTED = (
    "The assets of an account cannot be listed here: assets_from=known needs a view whose primary key begins with the "
    "account alone, then the asset and the order."
)


def _can_know(reader: Reader, target: Target) -> bool:
    shape = shape_of(reader, target)
    return shape.base_by_asset and shape.view_by_account


def _require_known(reader: Reader, target: Target) -> None:
    require_by_asset(reader, target)
    shape, ledger = shape_of(reader, target), target.ledger
    if not shape.view_by_account:
        by_scan = {ledger.account, ledger.asset} <= {column.name for column in shape.base.partition_key}
        raise BalancebookError(
            f"{target.view_name} cannot be asked for the assets of one account: its primary key is "
            f"{key_text(shape.view)}.",
            "Set assets_from to scan." if by_scan else _UNLISTED,
        )


def require_assets(reader: Reader, target: Target, source: str) -> None:
    """Raises, without a scan, what `assets_of` would for a source that cannot work on the target."""
    require_source(source)
    require_by_asset(reader, target)
    if source == "known":
        _require_known(reader, target)
    else:
        partitioned_by_asset(reader, target)


def require_complete(reader: Reader, target: Target, report: ScanReport, budget: int) -> None:
    """Raises BalancebookError unless every partition of the base was seen."""
    why = report.why_incomplete(target.base_name, budget, "partitions")
    if why:
        remedy = (
            "raise limits.max_rows in the profile" if report.truncated else "run again when the cluster is up"
        )
        known = "set assets_from to known, or " if _can_know(reader, target) else ""
        remedy = known + remedy
        raise BalancebookError(
            f"The assets could not be listed: {why[0]}.", f"{remedy[0].upper()}{remedy[1:]}."
        )
