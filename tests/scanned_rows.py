"""Rows as a confirming scan reads them, and the columns that it is told of."""

from __future__ import annotations

from collections.abc import Sequence

from cassandra.cqltypes import Int32Type

from balancebook.reconcile.confirm.columns import LookColumns
from balancebook.reconcile.model.identity import KeyIdentity

RowCells = tuple[bytes | None, ...]


def columns(moving: Sequence[str] = (), unselected: Sequence[str] = ()) -> LookColumns:
    """Keys k and p, of which p is the base's; values a, b, c, of which a and b have write times."""
    identity = KeyIdentity([Int32Type, Int32Type], {0})
    return LookColumns(
        names=("k", "p", "a", "b", "c"), keys=2, timed=("a", "b"), moving=tuple(moving),
        unselected=tuple(unselected), identity=identity, base_identity=KeyIdentity([Int32Type], {0}),
        address=(1,), base_partition=(1,),
    )  # fmt: skip


def row_bytes(row: RowCells) -> bytes:
    """As a page has them: the length of each cell and its bytes."""
    return b"".join(
        (-1).to_bytes(4, "big", signed=True) if cell is None else len(cell).to_bytes(4, "big") + cell
        for cell in row
    )
