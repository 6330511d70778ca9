"""What the entries of a page are, and whether they move what such entries move (rules.MOVEMENTS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from balancebook.ledger.entries import Flags, Money, Numbers
from balancebook.ledger.rules import CREDIT, DEBIT, DEPOSIT, MOVEMENTS, WITHDRAW

_ANY = 2
# Without held balances a reserve is not told from what is free, so nothing is said of the other kinds.
_WITHOUT_HELD = {DEPOSIT: 1, WITHDRAW: -1, DEBIT: -1, CREDIT: 1}


class Kinds:
    """The kinds of a ledger's entries. codes: what stands for them in the column of the type -> the kind.

    A kind's place is its place among the sorted codes; `unknown` is that of all types that are no kind.
    """

    def __init__(self, codes: Mapping[int, str], *, held: bool) -> None:
        ordered = sorted(codes)
        self.kinds = [codes[code] for code in ordered]
        self.unknown = len(ordered)
        self._codes = np.array(ordered, np.int64)
        moves = [MOVEMENTS[kind] for kind in self.kinds]
        available = (
            [move.available for move in moves]
            if held
            else [_WITHOUT_HELD.get(kind, _ANY) for kind in self.kinds]
        )
        self._signs = {
            "delta_available": np.array([*available, _ANY], np.int8),
            "delta_held": np.array([*(move.held for move in moves), _ANY], np.int8),
        }
        self._keeps_sum = np.array([*(move.keeps_sum for move in moves), False], bool)

    def places(self, types: Numbers) -> Numbers:
        """The place of each entry's kind."""
        if not self.unknown:
            return np.zeros(len(types), np.int64)
        places = np.minimum(np.searchsorted(self._codes, types), self.unknown - 1)
        found: Numbers = np.where(self._codes[places] == types, places, self.unknown)
        return found

    def table(self, values: Mapping[str, Any], otherwise: Any) -> Numbers:
        """By place: the value of its kind."""
        return np.array([*(values.get(kind, otherwise) for kind in self.kinds), otherwise], np.int64)

    def signs(self, role: str, places: Numbers) -> npt.NDArray[np.int8]:
        """The sign of what each kind moves: -1, 0 or 1; another number where nothing is said of it."""
        found: npt.NDArray[np.int8] = self._signs[role][places]
        return found

    def otherwise(self, role: str, places: Numbers, moved: Money) -> Flags:
        """Whether what is moved has another sign than its kind's."""
        wanted = self._signs[role][places]
        sign = np.asarray(moved > 0, bool).astype(np.int8) - np.asarray(moved < 0, bool)
        differs: Flags = (wanted != _ANY) & (wanted != sign)
        return differs

    def keeps_sum(self, places: Numbers) -> Flags:
        """Whether both movements of such an entry sum to zero."""
        kept: Flags = self._keeps_sum[places]
        return kept
