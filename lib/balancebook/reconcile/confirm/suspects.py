"""Rows of the view that look wrong, each once, by the normal form of its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import KeyIdentity, RawKey
from balancebook.reconcile.sides import BASE, VIEW


@dataclass(slots=True)
class Suspect:
    """A row of the view that looks wrong: its key in normal form, and as each side was seen to write it."""

    key: RawKey
    base: RawKey | None = None
    view: RawKey | None = None
    several: bool = False
    """Whether the base has several rows of that key, in other bytes."""

    @property
    def suspicion(self) -> Kind:
        """The difference that was seen."""
        if self.base is None or self.view is None:
            return Kind.ORPHAN if self.view is not None else Kind.LOST
        return Kind.MISMATCH

    @property
    def respelled(self) -> bool:
        """Whether both sides have it, in other bytes: decimal 1.0 and 1.00 are one key."""
        return self.base is not None and self.view is not None and self.base != self.view

    def spelled(self, side: int) -> RawKey:
        """The key's bytes as a side has them, or else as the other has."""
        first, second = (self.base, self.view) if side == BASE else (self.view, self.base)
        return first or second or self.key


@dataclass
class Suspects:
    """All of them, in the order in which they were noted first."""

    identity: KeyIdentity
    by_key: dict[RawKey, Suspect] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_key)

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self.by_key.values())

    def note(self, side: int, raw: RawKey) -> Suspect:
        """A row of one side that the other has not, or has otherwise."""
        key = self.identity.of(raw)
        suspect = self.by_key.setdefault(key, Suspect(key))
        if side == VIEW:
            suspect.view = raw
        else:
            suspect.several |= suspect.base not in (None, raw)
            suspect.base = raw
        return suspect
