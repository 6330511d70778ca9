"""Confirming what a scan suspects. Writers do not wait: only what two reads, a grace apart, show alike counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.sides import Side
from balancebook.reconcile.values import Cells, same_cells
from balancebook.store.errors import StoreError
from balancebook.store.reader import Reader

Sides: TypeAlias = tuple[Side, Side]
Seen: TypeAlias = tuple[Cells | None, Cells | None]
SCAN_CONSISTENCY = "LOCAL_ONE"
BY_KEY_CONSISTENCY = "LOCAL_QUORUM"
_IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of one candidate, and the cells (base, view) last seen."""

    kind: Kind
    seen: Seen
    reason: str = ""


def kind_of(seen: Seen) -> Kind | None:
    """What is wrong with a row seen so on (base, view), or None."""
    base, view = seen
    if base is None or view is None:
        return Kind.ORPHAN if view is not None else Kind.LOST if base is not None else None
    return None if same_cells(base, view) else Kind.MISMATCH


def settle(first: Seen, second: Seen) -> Confirmation:
    """The judgement over two reads of both sides."""
    kind = kind_of(second)
    if kind is None:
        return Confirmation(Kind.LAGGING, second, "healed before it was confirmed")
    if repr(first) != repr(second):
        return Confirmation(Kind.LAGGING, second, "changed between the confirming reads")
    return Confirmation(kind, second)


def confirm_by_key(
    reader: Reader,
    sides: Sides,
    candidates: Mapping[Cells, Seen],
    grace_s: float,
    sleep: Callable[[float], None],
) -> Iterator[tuple[Cells, Confirmation]]:
    """Reads each candidate on both sides, waits, and reads it again. What cannot be read is UNKNOWN."""
    if not candidates:
        return
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="confirm") as pool:

        def observed() -> list[Seen | StoreError]:
            return list(pool.map(lambda key: _observe(reader, sides, key), candidates))

        first = observed()
        sleep(grace_s)
        second = observed()
    for key, before, after in zip(candidates, first, second, strict=True):
        if isinstance(before, StoreError) or isinstance(after, StoreError):
            unread = before if isinstance(before, StoreError) else after
            yield key, Confirmation(Kind.UNKNOWN, candidates[key], str(unread))
        else:
            yield key, settle(before, after)


def _observe(reader: Reader, sides: Sides, key: Cells) -> Seen | StoreError:
    base, view = sides
    try:
        return base.read_one(reader, key, BY_KEY_CONSISTENCY), view.read_one(reader, key, BY_KEY_CONSISTENCY)
    except StoreError as error:
        return error
