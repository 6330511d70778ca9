"""Balances of one account: the newest ledger row of each of its assets, by several strategies.

Q001-Q003 judge the strategies; latency times them.
"""

from balancebook.balances.asset_list import AssetList, assets_of
from balancebook.balances.choice import Choice, choose
from balancebook.balances.keys import AccountRefused, account_of, asset_of
from balancebook.balances.people import current
from balancebook.balances.strategies import STRATEGIES, Strategy, read, strategy_named
from balancebook.balances.target import Target
from balancebook.balances.timing import query, right_queries

__all__ = [
    "STRATEGIES",
    "AccountRefused",
    "AssetList",
    "Choice",
    "Strategy",
    "Target",
    "account_of",
    "asset_of",
    "assets_of",
    "choose",
    "current",
    "query",
    "read",
    "right_queries",
    "strategy_named",
]
