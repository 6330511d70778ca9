"""From what a sketch names to the keys of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY
from balancebook.reconcile.confirm.suspects import Suspects
from balancebook.reconcile.model.identity import RawKey
from balancebook.reconcile.sides import BASE, VIEW, Side
from balancebook.sketch.layout import RowLayout
from balancebook.sketch.sketch import Items, Wanted
from balancebook.store.errors import StoreError
from balancebook.store.names import quote
from balancebook.store.raw import raw_pages
from balancebook.store.reader import Reader
from balancebook.store.tokens import LOWEST, filtered, range_clause

_IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Rows of one side of which a sketch keeps the partition's token and the key's lane: token -> lanes."""

    side: int
    lanes: dict[int, set[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.lanes.values()))


def name_by_key(layout: RowLayout, items: Items, suspects: Suspects) -> None:
    """Note the rows of a sketch that keeps their keys."""
    for sign, name, _ in items:
        suspects.note(BASE if sign > 0 else VIEW, tuple(layout.key_cells(name)))


def unnamed(items: Items) -> list[Unnamed]:
    """The rows of a sketch that keeps only tokens, of base and view."""
    found = [Unnamed(BASE), Unnamed(VIEW)]
    for sign, (base_token, view_token, key), _ in items:
        side, token = (BASE, base_token) if sign > 0 else (VIEW, view_token)
        found[side].lanes.setdefault(_signed(token), set()).add(key)
    return found


@dataclass(frozen=True, slots=True)
class Resolver:
    """Finds rows in their partitions by the lanes of their keys, whatever their cells are by now."""

    reader: Reader
    sides: tuple[Side, Side]
    layout: RowLayout
    seed: int

    def name(self, rows: Unnamed, suspects: Suspects) -> tuple[Unnamed, str]:
        """Note those that are found. Returns the others, and why some could not be looked for, if so."""
        left, reasons = Unnamed(rows.side), dict[str, None]()
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="resolve") as pool:
            for token, outcome in zip(rows.lanes, pool.map(self._in(rows), rows.lanes), strict=True):
                if isinstance(outcome, str):
                    reasons[outcome] = None
                    left.lanes[token] = rows.lanes[token]
                    continue
                for key in outcome.values():
                    suspects.note(rows.side, key)
                if missing := rows.lanes[token] - outcome.keys():
                    left.lanes[token] = missing
        return left, "; ".join(reasons)

    def _in(self, rows: Unnamed) -> Callable[[int], dict[int, RawKey] | str]:
        def found(token: int) -> dict[int, RawKey] | str:
            try:
                return self._partition(rows.side, token, rows.lanes[token])
            except StoreError as error:
                return str(error)

        return found

    def _partition(self, side: int, token: int, lanes: Iterable[int]) -> dict[int, RawKey]:
        """Lane -> key of the wanted rows of the partitions with that token. Raises StoreError."""
        table = self.sides[side].table
        if token == LOWEST:
            # To the server this one means no bound at all: it can be asked for only as a range.
            where, params = range_clause(table, (LOWEST, LOWEST + 1))
        else:
            partition = ", ".join(quote(column.name) for column in table.partition_key)
            where, params = f" WHERE token({partition}) = ?", (token,)
        wanted = Wanted(self.layout, self.seed, lanes)
        columns = (*self.sides[VIEW].key, *self.sides[VIEW].values)
        selected = f"SELECT {', '.join(map(quote, columns))} FROM {table.cql_name}"
        statement = selected + filtered(where, self.sides[side].selected.where)
        keys: dict[int, RawKey] = {}
        for page in raw_pages(self.reader, statement, params, consistency=CONFIRM_CONSISTENCY):
            found, _ = wanted.find(page.body, page.start, page.rows)
            for number in range(len(found)):
                key = found.cells(number)[: self.layout.keys]
                keys[int(found.lanes[number, 0])] = tuple(cell or b"" for cell in key)
        return keys


def _signed(token: int) -> int:
    return token - 2**64 if token >= 2**63 else token


def only_on(items: Items) -> tuple[int, int]:
    """How many of the rows of a sketch are those of base and view."""
    return int(np.count_nonzero(items.signs > 0)), int(np.count_nonzero(items.signs < 0))
