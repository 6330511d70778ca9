"""Cells of the ledger in the samples of a result, whatever their types."""

from __future__ import annotations

from decimal import Decimal

from balancebook.assets import format_amount
from balancebook.reconcile.values import to_json
from balancebook.verdict import Json


def as_json(cell: object) -> Json:
    """A decoded cell in its exact JSON form: integers and text as they are, a Decimal in normal form as text ("1.1"
    for 1.10), all else as `to_json` has it."""
    return format_amount(cell) if isinstance(cell, Decimal) else to_json(cell)
