"""Going once over the newest row of every partition of the base, to choose accounts by: drawn, and the awkward ones.

Whatever the order in which the rows come, the same rows and the same seed choose the same accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from heapq import heappush, heapreplace
from typing import Any

from balancebook.assets import Registry
from balancebook.balances.asset_list import MOST_KEPT

MOST_ASSETS = "most assets"
ONE_ASSET = "one asset"
DEEPEST = "deepest"
UNKNOWN_ASSET = "an asset not in the registry"
HELD_ONLY = "held, and nothing available"
DRAWN = "drawn"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest row of one partition, as far as it says what an account is like; amounts None where null or absent."""

    account: Any
    asset: Any
    order: Any
    available: Any
    held: Any


@dataclass(slots=True)
class _Best:
    """The account of the greatest rank; of several, that whose lot is the least."""

    rank: Any = None
    lot: bytes = b""
    account: Any = None

    def offer(self, rank: Any, lot: bytes, account: Any) -> None:
        if self.rank is None or rank > self.rank or (rank == self.rank and lot < self.lot):
            self.rank, self.lot, self.account = rank, lot, account


@dataclass(frozen=True, slots=True)
class Chosen:
    """Accounts, each with the reasons why it was chosen; and what could not be found, in sentences."""

    reasons: dict[Any, tuple[str, ...]]
    accounts: int | None
    missing: tuple[str, ...]


@dataclass
class Survey:
    """Takes rows one by one; memory is bounded (see asset_list.MOST_KEPT).

    `held_known`: whether the rows can tell what is held. `order_known`: whether their order is that of the newest row.
    """

    registry: Registry
    draws: int
    seed: int
    held_known: bool = True
    order_known: bool = True
    _drawn: list[tuple[int, Any]] = field(default_factory=list)
    _in_draw: set[Any] = field(default_factory=set)
    _grouped: dict[Any, tuple[int, int]] | None = field(default_factory=dict)
    _deepest: _Best = field(default_factory=_Best)
    _unknown: _Best = field(default_factory=_Best)
    _held_only: _Best = field(default_factory=_Best)

    def add(self, row: Newest) -> None:
        """Take one row into account."""
        ticket = lot(row.account, self.seed)
        depth = row.order if self.order_known and isinstance(row.order, int) else 0
        self._draw(row.account, ticket)
        self._group(row.account, depth)
        if depth:
            self._deepest.offer(depth, ticket, row.account)
        if self.registry.by_id(row.asset) is None:
            self._unknown.offer(0, ticket, row.account)
        held = row.held if isinstance(row.held, int | Decimal) else 0
        if self.order_known and held > 0 and not row.available:
            self._held_only.offer(0, ticket, row.account)

    def _draw(self, account: Any, ticket: bytes) -> None:
        """Keeps the accounts of the least lots: one that belongs to them in the end does so from its first row on."""
        rank = -int.from_bytes(ticket, "big")
        if not self.draws or account in self._in_draw:
            return
        if len(self._drawn) < self.draws:
            heappush(self._drawn, (rank, account))
        elif rank > self._drawn[0][0]:
            self._in_draw.discard(heapreplace(self._drawn, (rank, account))[1])
        else:
            return
        self._in_draw.add(account)

    def _group(self, account: Any, depth: int) -> None:
        if self._grouped is None:
            return
        assets, total = self._grouped.get(account, (0, 0))
        self._grouped[account] = (assets + 1, total + depth)
        if len(self._grouped) > MOST_KEPT:
            self._grouped = None

    def chosen(self) -> Chosen:
        """The accounts of the least lots, and of each awkward sort one. No account stands there twice."""
        reasons: dict[Any, list[str]] = {}
        for why, account in [
            *self._awkward(),
            *((DRAWN, account) for _, account in sorted(self._drawn)[::-1]),
        ]:
            reasons.setdefault(account, []).append(why)
        found = {account: tuple(whys) for account, whys in reasons.items()}
        count = None if self._grouped is None else len(self._grouped)
        return Chosen(found, count, tuple(self._missing({why for whys in reasons.values() for why in whys})))

    def _awkward(self) -> Iterator[tuple[str, Any]]:
        for why, best in ((UNKNOWN_ASSET, self._unknown), (HELD_ONLY, self._held_only)):
            if best.rank is not None:
                yield why, best.account
        grouped = self._grouped
        if grouped is None:
            if self._deepest.rank is not None:
                yield DEEPEST, self._deepest.account
            return
        yield from self._by_group(grouped)

    def _by_group(self, grouped: dict[Any, tuple[int, int]]) -> Iterator[tuple[str, Any]]:
        most, single, deepest = _Best(), _Best(), _Best()
        decades: dict[int, _Best] = {}
        for account, (assets, depth) in grouped.items():
            ticket = lot(account, self.seed)
            most.offer(assets, ticket, account)
            if assets == 1:
                single.offer(0, ticket, account)
            if depth > 0:
                deepest.offer(depth, ticket, account)
                decades.setdefault(len(str(depth)), _Best()).offer(0, ticket, account)
        for why, best in ((MOST_ASSETS, most), (ONE_ASSET, single), (DEEPEST, deepest)):
            if best.rank is not None:
                yield why, best.account
        for digits, best in sorted(decades.items()):
            yield f"order {10 ** (digits - 1):,} to {10**digits - 1:,}", best.account

    def _missing(self, there: Iterable[str]) -> Iterator[str]:
        if self._grouped is None:
            yield f"{MOST_ASSETS}, {ONE_ASSET}: not told, there are more than {MOST_KEPT:,} accounts"
        elif ONE_ASSET not in there:
            yield f"{ONE_ASSET}: there is no such account"
        if DEEPEST not in there:
            yield f"{DEEPEST}: not told, the newest row's order is no count of entries that could be read cheaply"
        if UNKNOWN_ASSET not in there:
            yield f"{UNKNOWN_ASSET}: there is no such account"
        if not self.held_known or not self.order_known:
            yield f"{HELD_ONLY}: not told, " + (
                "the base's first rows are not the newest"
                if self.held_known
                else "the ledger has no such column"
            )
        elif HELD_ONLY not in there:
            yield f"{HELD_ONLY}: there is no such account"


def lot(account: Any, seed: int) -> bytes:
    """What an account draws: the same for the same seed, wherever and whenever it is met."""
    return blake2b(f"{seed}:{account}".encode(), digest_size=16).digest()
