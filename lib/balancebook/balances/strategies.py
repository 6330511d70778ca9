"""The ways to ask for an account's balances. All return the same frame, and one is known to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from balancebook.balances.target import Shape, Target, key_text, shape_of
from balancebook.errors import BalancebookError, UsageError
from balancebook.profile import LedgerSchema
from balancebook.store.cql.decoding import Undecoded
from balancebook.store.names import close_name
from balancebook.store.reader import Reader, Row
from balancebook.store.schema import quote

if TYPE_CHECKING:
    import pandas as pd

# ScyllaDB refuses more partition keys in one statement (max_partition_key_restrictions_per_query).
_KEYS_PER_QUERY = 100

Fetch: TypeAlias = Callable[[Reader, Target, Any, Sequence[Any]], list[Row]]


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to read the newest row of each asset.

    `fetch(reader, target, account, assets)` returns rows of `target.selected` in no order. `reads` is what it reads,
    `cost` what its time grows with, `needs_assets` whether it must be told the assets (else they are ignored),
    `known_wrong` why its answer is wrong, or None. `a_partition_an_asset`: whether it needs a base whose partitions are
    each of one account and one asset.
    """

    name: str
    reads: Literal["view", "base"]
    needs_assets: bool
    cost: str
    fetch: Fetch
    known_wrong: str | None = None
    a_partition_an_asset: bool = False

    def fits(self, shape: Shape, ledger: LedgerSchema) -> bool:
        """Whether tables of this shape can be asked so."""
        if self.reads == "view":
            return shape.view_by_account
        partition = {column.name for column in shape.base.partition_key}
        return shape.base_by_asset and (
            not self.a_partition_an_asset or partition == {ledger.account, ledger.asset}
        )


def fitting(reader: Reader, target: Target) -> list[str]:
    """The names of the strategies that can be asked of the target, without those known to be wrong. Raises StoreError,
    BalancebookError."""
    shape = shape_of(reader, target)
    return [
        name for name, each in STRATEGIES.items() if each.fits(shape, target.ledger) and not each.known_wrong
    ]


def require_fitting(reader: Reader, target: Target, name: str) -> Strategy:
    """The strategy of that name. Raises UsageError for an unknown one, BalancebookError, with those that can be asked
    of the target, if it cannot; StoreError."""
    strategy, shape = strategy_named(name), shape_of(reader, target)
    if not strategy.fits(shape, target.ledger):
        table = shape.view if strategy.reads == "view" else shape.base
        others = ", ".join(fitting(reader, target))
        raise BalancebookError(
            f"{name} cannot be asked of {table.cql_name}, whose primary key is {key_text(table)}.",
            f"What can be asked of this view and base: {others or 'none of the strategies'}.",
        )
    return strategy


def read(
    reader: Reader, target: Target, strategy: str, account: object, assets: Sequence[object]
) -> pd.DataFrame:
    """The balances of an account by the strategy of that name.

    Columns asset, order, available, held, time; one row an asset, sorted by asset; a role that the ledger lacks is
    all null. dtypes are those of the CQL types (Int64 for int, bigint; object for varint, decimal, text, timestamp;
    never inferred), for no rows too. Amounts are raw. Raises StoreError, UsageError for an unknown strategy,
    BalancebookError for one that does not fit the target.
    """
    rows = require_fitting(reader, target, strategy).fetch(reader, target, account, assets)
    # A partition of the base that holds a static cell alone has a row without an order, and no entry.
    order = target.selected.index(target.ledger.order)
    return _frame(reader, target, [row for row in rows if row[order] is not None])


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises UsageError with the likely one."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    raise UsageError(
        f"There is no strategy {name!r}.",
        f"Take one of {', '.join(STRATEGIES)}.",
        parameter="strategy",
        suggestion=close_name(name, STRATEGIES),
    )


def _frame(reader: Reader, target: Target, rows: list[Row]) -> pd.DataFrame:
    # pandas takes 0.3 s to import; a caller that only wants a strategy's rows need not wait for it.
    from balancebook.store.frames import to_frame  # noqa: PLC0415

    ledger, types = target.ledger, shape_of(reader, target).types(target.selected)
    frame = to_frame(rows, target.selected, types)
    roles = {"asset": ledger.asset, "order": ledger.order, "available": ledger.available}
    roles |= {name: column for name, column in (("held", ledger.held), ("time", ledger.time)) if column}
    frame.columns = list(roles)
    for absent in ("held", "time"):
        if absent not in roles:
            frame[absent] = to_frame([(None,)] * len(rows), [absent], ["bigint"])[absent]
    ordered = frame[["asset", "order", "available", "held", "time"]]
    return ordered.sort_values(["asset", "order"], kind="stable", ignore_index=True, key=_sortable)


def _sortable(column: pd.Series[Any]) -> pd.Series[Any]:
    """What could not be decoded comes last."""
    if not any(isinstance(each, Undecoded) for each in column):
        return column
    return column.map(lambda each: (isinstance(each, Undecoded), each))


def _select(target: Target, table: str, tail: str) -> str:
    columns = ", ".join(quote(column) for column in target.selected)
    return f"SELECT {columns} FROM {table} WHERE {quote(target.ledger.account)} = ? {tail}".rstrip()


def _group_by(reader: Reader, target: Target, account: Any, _assets: Sequence[Any]) -> list[Row]:
    keys = f"{quote(target.ledger.account)}, {quote(target.ledger.asset)}"
    newest_first = shape_of(reader, target).view_order
    return reader.rows(_select(target, target.view_name, f"GROUP BY {keys} {newest_first}"), (account,))


def _skip_scan(reader: Reader, target: Target, account: Any, _assets: Sequence[Any]) -> list[Row]:
    shape = shape_of(reader, target)
    beyond = "<" if shape.assets_descend else ">"
    newest = f"{shape.view_order} LIMIT 1".lstrip()
    first = _select(target, target.view_name, newest)
    next_asset = _select(target, target.view_name, f"AND {quote(target.ledger.asset)} {beyond} ? {newest}")
    found = reader.rows(first, (account,))
    rows = list(found)
    while found:
        found = reader.rows(next_asset, (account, found[0][0]))
        rows += found
    return rows


def _in_assets(reader: Reader, target: Target, account: Any, assets: Sequence[Any]) -> list[Row]:
    shape, ledger = shape_of(reader, target), target.ledger
    newest = f"{shape.base_order} PER PARTITION LIMIT 1".lstrip()
    cql = _select(target, target.base_name, f"AND {quote(ledger.asset)} IN ? {newest}")
    # Unpaged: a row an asset, and the servers refuse to page through the answer to an IN that they sort.
    answers = (reader.pages(cql, (account, chunk), page_size=0) for chunk in _chunks(assets))
    return [row for pages in answers for page in pages for row in page]


def _per_asset_parallel(reader: Reader, target: Target, account: Any, assets: Sequence[Any]) -> list[Row]:
    cql, rows = _newest_of_one(target), []
    for chunk in _chunks(assets):
        pending = [reader.execute_async(cql, (account, asset)) for asset in chunk]
        rows += [row for answer in pending for row in answer.rows()]
    return rows


def _per_asset_sequential(reader: Reader, target: Target, account: Any, assets: Sequence[Any]) -> list[Row]:
    cql = _newest_of_one(target)
    return [row for chunk in _chunks(assets) for asset in chunk for row in reader.rows(cql, (account, asset))]


def _seed_limit_one(reader: Reader, target: Target, account: Any, _assets: Sequence[Any]) -> list[Row]:
    return reader.rows(_select(target, target.view_name, "PER PARTITION LIMIT 1"), (account,))


def _newest_of_one(target: Target) -> str:
    newest = f"ORDER BY {quote(target.ledger.order)} DESC LIMIT 1"
    return _select(target, target.base_name, f"AND {quote(target.ledger.asset)} = ? {newest}")


def _chunks(assets: Sequence[Any]) -> Iterator[list[Any]]:
    once = list(dict.fromkeys(assets))
    return (once[at : at + _KEYS_PER_QUERY] for at in range(0, len(once), _KEYS_PER_QUERY))


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "group_by", "view", False, "the account's whole history: it reads every row of it", _group_by
        ),
        Strategy(
            "skip_scan",
            "view",
            False,
            "the account's assets: one round trip each, one after another",
            _skip_scan,
        ),
        Strategy(
            "in_assets",
            "base",
            True,
            "the assets asked for, read by one coordinator at once",
            _in_assets,
            a_partition_an_asset=True,
        ),
        Strategy(
            "per_asset_parallel", "base", True, "the slowest of the assets asked for", _per_asset_parallel
        ),
        Strategy(
            "per_asset_sequential",
            "base",
            True,
            "the assets asked for: one round trip each",
            _per_asset_sequential,
        ),
        Strategy(
            "seed_limit_one",
            "view",
            False,
            "nothing: it reads one row",
            _seed_limit_one,
            known_wrong="PER PARTITION LIMIT 1 returns one row per partition, and the view's partition is the "
            "account: of all its assets only the first comes back.",
        ),
    )
}
