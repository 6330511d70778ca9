"""An account whose base, queries and gateway say something else after each sleep: what a check concludes of it.

The checks' own functions run; only their reads are answered from here, each by the moment it falls into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from balancebook.assets import Asset, Registry
from balancebook.balances import AssetList
from balancebook.checks import answers, g003_gateway_equals_base, judging, q001_latest_row_set, truth
from balancebook.checks.context import Context
from balancebook.checks.truth import Entry
from balancebook.errors import BalancebookError
from balancebook.gateway import GatewayAnswer
from balancebook.gateway_settings import GatewayFields
from balancebook.settings import LedgerSchema, load_profile
from balancebook.store.schema import Column, View

USER = 1001
BTC, USDT, ETH, STRANGE = 1, 2, 3, 77
REGISTRY = Registry((Asset(BTC, "BTC", 8, 3), Asset(USDT, "USDT", 8, 2), Asset(ETH, "ETH", 8, 4)))

Rows = Mapping[Any, Entry]


def at(order: int, available: int | None = 10, held: int | None = 0) -> Entry:
    """An entry of that order; its time is 1000 + order."""
    return Entry(order, available, held, 1000 + order)


@dataclass(frozen=True)
class Moment:
    """What is said until the next sleep: the base's entries by asset, oldest first; the answer of each strategy (of
    those not named, the base's newest rows); the gateway's answer. An error is raised instead."""

    base: Mapping[Any, Sequence[Entry]] | BalancebookError
    queries: Mapping[str, Rows | BalancebookError] = field(default_factory=dict)
    gateway: GatewayAnswer | BalancebookError | None = None
    # Other than those of the base at that moment, where a scan lists the assets.
    listed: Sequence[Any] | None = None
    known: Sequence[Any] = ()


def _or_raise(value: Any) -> Any:
    if isinstance(value, BalancebookError):
        raise value
    return value


class Script:
    """The moments, one after another: a sleep ends each, and the last one lasts."""

    def __init__(self, *moments: Moment) -> None:
        self.moments = moments
        self.slept: list[float] = []
        self.asked: list[tuple[str, Any]] = []

    @property
    def now(self) -> Moment:
        return self.moments[min(len(self.slept), len(self.moments) - 1)]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def entries(self, asset: Any) -> Sequence[Entry]:
        found: Sequence[Entry] = _or_raise(self.now.base).get(asset, ())
        return found

    def newest(self, _ctx: Context, _account: Any, assets: Iterable[Any]) -> dict[Any, Entry]:
        return {asset: self.entries(asset)[-1] for asset in assets if self.entries(asset)}

    def between(self, _ctx: Context, _account: Any, asset: Any, low: int, high: int) -> list[Entry]:
        # Whatever order they come in.
        return [entry for entry in reversed(self.entries(asset)) if low <= entry.order <= high]

    def answer(self, _ctx: Context, strategy: str, account: Any, _assets: Sequence[Any]) -> Rows:
        self.asked.append((strategy, account))
        rows = self.now.queries.get(strategy)
        if rows is None:
            rows = {asset: entries[-1] for asset, entries in _or_raise(self.now.base).items()}
        return dict(_or_raise(rows))

    def listing(self, _ctx: Context, _account: Any, source: str) -> AssetList:
        base = _or_raise(self.now.base)
        listed = self.now.known if source == "known" else self.now.listed
        return AssetList(tuple(base if listed is None else listed), source, "none")

    def balance(self, _account: object) -> GatewayAnswer:
        answer: GatewayAnswer = _or_raise(self.now.gateway)
        return answer

    def context(
        self,
        patch: pytest.MonkeyPatch,
        *,
        fields: Mapping[str, Any] | None = None,
        held: str | None = "frozen",
        partition: Sequence[str] = ("user_id",),
    ) -> Context:
        """A context of the demo's profile whose reads are answered from here."""
        for module in (judging, q001_latest_row_set, g003_gateway_equals_base, truth):
            patch.setattr(module, "newest_entries", self.newest)
        for module in (judging, g003_gateway_equals_base):
            patch.setattr(module, "entries_between", self.between)
        for module in (judging, g003_gateway_equals_base, q001_latest_row_set, answers):
            patch.setattr(module, "read_answer", self.answer)
        for module in (q001_latest_row_set, g003_gateway_equals_base):
            patch.setattr(module, "assets_in_base", self.listing)
        profile = load_profile("embedded", env={})
        assert profile.gateway is not None
        ledger = LedgerSchema(**(profile.ledger.model_dump() | {"held": held}))
        gateway = profile.gateway.model_copy(
            update={"fields": GatewayFields(**(profile.gateway.fields.model_dump() | dict(fields or {})))}
        )
        ctx = Context(
            profile.model_copy(update={"ledger": ledger, "gateway": gateway, "registry": REGISTRY}),
            opener=lambda _: "a reader that nobody asks",  # type: ignore[arg-type, return-value]
            sleep=self.sleep,
        )
        patch.setattr(ctx, "account", lambda given, _parameter="user_id": given)
        ctx.__dict__["view"] = _view(partition)
        ctx.__dict__["gateway"] = self
        return ctx


def _view(partition: Sequence[str]) -> View:
    names = ("user_id", "asset_id", "seq")
    columns = [Column(name, "partition_key", place, "none", "bigint") for place, name in enumerate(partition)]
    rest = [name for name in names if name not in partition]
    columns += [Column(name, "clustering", place, "asc", "bigint") for place, name in enumerate(rest)]
    return View("exchange", "balances_by_user", tuple(columns), UUID(int=1), "balance_ledger", "", True)
