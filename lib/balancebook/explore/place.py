"""Where balances are explored: what a notebook's context has, as far as it is needed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from balancebook.assets import Registry, label
from balancebook.balances import Target, assets_of
from balancebook.core.short_text import enumerated, shortened
from balancebook.errors import NotThere
from balancebook.ledger.source import Source, open_source
from balancebook.profile import Profile
from balancebook.store.reader import Reader
from balancebook.store.schema import View


class Place(Protocol):
    """One target, open for reading."""

    @property
    def profile(self) -> Profile: ...

    @property
    def reader(self) -> Reader: ...

    @property
    def target(self) -> Target: ...

    @property
    def view(self) -> View: ...

    @property
    def registry(self) -> Registry: ...

    def account(self, given: int | str, parameter: str = "user_id") -> Any: ...


_sources: WeakKeyDictionary[Reader, dict[Target, Source]] = WeakKeyDictionary()


def source_of(place: Place) -> Source:
    """The ledger behind the place, its schema read once per reader. Raises StoreError, BalancebookError."""
    known = _sources.setdefault(place.reader, {})
    if place.target not in known:
        known[place.target] = open_source(place.reader, place.target.base, place.profile)
    return known[place.target]


@dataclass(frozen=True, slots=True)
class Holder:
    """An account as the store has it, and its assets, sorted; note: where they are from, and what is not seen."""

    account: Any
    assets: tuple[Any, ...]
    note: str


def holder_of(place: Place, user_id: int | str, assets_from: str) -> Holder:
    """The account and its assets. Raises UsageError, StoreError, BalancebookError."""
    account = place.account(user_id)
    listed = assets_of(place.reader, place.target, account, assets_from, place.registry)
    return Holder(account, listed.assets, listed.note)


def asset_named(name: str | int | None, assets: Sequence[Any], registry: Registry) -> Any:
    """The one of these assets with that symbol, `#id` or id; the first of them for None.

    Raises NotThere, with the likely one, if there is none.
    """
    labels = {label(asset, registry): asset for asset in assets}
    by_id = {str(asset): asset for asset in assets}
    if name is None and assets:
        return assets[0]
    found = labels.get(str(name), by_id.get(str(name)))
    if name is None or found is None:
        close = next(iter(get_close_matches(str(name), labels, n=1)), None)
        raise NotThere(
            f"There is no asset {shortened(str(name), 60)!r} here."
            if name is not None
            else "There is no asset here.",
            f"Did you mean {close}?" if close else f"There are: {enumerated(list(labels)) or 'none'}.",
            parameter="asset",
            suggestion=close,
        )
    return found
