"""Balance queries as calls to time: only the query, no frame built around its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from balancebook.assets import Registry
from balancebook.balances.asset_list import assets_for
from balancebook.balances.keys import account_of
from balancebook.balances.strategies import STRATEGIES, Strategy, fitting, require_fitting
from balancebook.balances.target import Target
from balancebook.store.reader import Reader, Row


def right_queries(
    reader: Reader, target: Target, account: object, assets: Sequence[object]
) -> dict[str, Callable[[], list[Row]]]:
    """One call a strategy, by its name. What is known to be wrong is left out, since its speed means nothing, and so is
    what cannot be asked of the target."""
    return {
        name: _call(STRATEGIES[name], reader, target, account, assets) for name in fitting(reader, target)
    }


def query(
    reader: Reader,
    target: Target,
    strategy: str,
    account: object,
    registry: Registry,
    assets_from: str = "scan",
) -> Callable[[], list[Row]]:
    """One strategy's query as a call, the assets that it needs listed beforehand. `account`: as in
    `account_of`. Raises UsageError, BalancebookError for a strategy that does not fit the target, StoreError."""
    chosen, account = require_fitting(reader, target, strategy), account_of(reader, target, account)
    assets = assets_for(chosen, reader, target, account, registry, assets_from)
    return _call(chosen, reader, target, account, assets)


def _call(
    strategy: Strategy, reader: Reader, target: Target, account: object, assets: Sequence[object]
) -> Callable[[], list[Row]]:
    return lambda: strategy.fetch(reader, target, account, assets)
