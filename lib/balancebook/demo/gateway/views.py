"""The two views that the gateway reads, each by its own CQL."""

from __future__ import annotations

from uuid import UUID

from balancebook.demo.gateway.database import Database, Row, Unreadable


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


class _View:
    def __init__(self, database: Database, keyspace: str, view: str) -> None:
        self._database, self._names = database, (keyspace, view)
        self._table = f"{_quoted(keyspace)}.{_quoted(view)}"

    def health(self) -> str:
        """Missing, Rebuilding n % or Healthy."""
        return self._database.health(*self._names)


class TradingView(_View):
    """The balances of users by number: integers in the smallest unit, available and frozen."""

    def newest_by_asset(self, user_id: int) -> list[Row]:
        """(asset_id, avail, frozen) of each of the user's assets: the first row of a group has the highest seq."""
        tail = "GROUP BY user_id, asset_id"
        return [_complete(row) for row in self._select(user_id, tail)]

    def newest_of_partition(self, user_id: int) -> list[Row]:
        """What the report's gateway asked for: one row, since the view's partition is the user, not the asset."""
        return self._select(user_id, "PER PARTITION LIMIT 1")

    def _select(self, user_id: int, tail: str) -> list[Row]:
        cql = f"SELECT asset_id, avail, frozen FROM {self._table} WHERE user_id = %s {tail}"
        return self._database.rows(cql, (user_id,))


class WalletsView(_View):
    """The balances of owners by uuid: decimals in whole units, nothing frozen."""

    def newest_by_coin(self, owner: UUID) -> list[Row]:
        """(coin, balance) of each of the owner's coins: the first row of a group is the newest."""
        return [_complete(row) for row in self._select(owner, "GROUP BY owner, coin")]

    def newest_of_partition(self, owner: UUID) -> list[Row]:
        """One row, as `TradingView.newest_of_partition`."""
        return self._select(owner, "PER PARTITION LIMIT 1")

    def _select(self, owner: UUID, tail: str) -> list[Row]:
        cql = f"SELECT coin, balance FROM {self._table} WHERE owner = %s {tail}"
        return self._database.rows(cql, (owner,))


def _complete(row: Row) -> Row:
    if None in row:
        raise Unreadable(f"the newest row of asset {row[0]} has no value")
    return row
