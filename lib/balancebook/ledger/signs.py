"""Do the amounts of a ledger have signs? Where every entry says that they do not, its profile is wrong, not the ledger.

A ledger may keep unsigned amounts, with the direction in another column, or what comes in and what goes out in two
columns. No role describes such a ledger, and each of its debits looks as if it did not add up. That is told from faults
only if all that was read agrees: no amount is negative, some entries add up, and of those that do not every single one
falls, all in the same way, and none is of a kind that adds. Few such entries are faults: see FEWEST and RARE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancebook.ledger.entries import Flags, Money

FEWEST = 10
"""Falls of which fewer are taken for faults: one account may have some with no debit beside them."""
RARE = 20
"""So is a fall if there is none in that many entries: debits are more frequent."""


@dataclass
class Signs:
    """How the entries read move one balance. signed: whether it is settled that its amounts have signs, or are wrong.

    rising: entries that add up, with an amount above zero. by_amount, by_nothing: entries after which the balance is
    less, by just the amount, or with an amount of zero or none.
    """

    signed: bool = False
    rising: int = 0
    by_amount: int = 0
    by_nothing: int = 0

    def see(
        self, difference: Money, moved: Money, missing: Flags, expected_sign: npt.NDArray[np.int8] | None
    ) -> None:
        """Some entries with the balance before and after them. difference: of the two; moved: their amounts, 0 where
        missing; expected_sign: what their kinds say of the amount (-1, 0, 1; anything else: nothing), if they have
        kinds."""
        rise = np.asarray((difference == moved) & (moved > 0), bool)
        by_amount = np.asarray((difference == -moved) & (moved > 0), bool)
        by_nothing = np.asarray((moved == 0) & (difference < 0), bool)
        still = np.asarray((difference == 0) & (moved == 0), bool) & ~missing
        explained = rise | by_amount | by_nothing | still
        contrary = np.zeros(len(rise), bool)
        if expected_sign is not None:
            contrary = (rise & (expected_sign == -1)) | ((by_amount | by_nothing) & (expected_sign == 1))
        self.signed |= not bool(explained.all()) or bool(contrary.any())
        self.rising += int(rise.sum())
        self.by_amount += int(by_amount.sum())
        self.by_nothing += int(by_nothing.sum())

    def merge(self, other: Signs) -> None:
        """Add those of another part of the ledger."""
        self.signed |= other.signed
        self.rising += other.rising
        self.by_amount += other.by_amount
        self.by_nothing += other.by_nothing

    def why_unsigned(self, balance: str, delta: str) -> str:
        """Why these amounts have no signs, in the columns' names; nothing if they have, or if that is not plain."""
        falls = self.by_amount + self.by_nothing
        same_way = not (self.by_amount and self.by_nothing)
        if self.signed or not same_way or not self.rising or falls < FEWEST or falls * RARE < self.rising:
            return ""
        which = f"each of the {falls:,} entries after which {balance} is less"
        if self.by_amount:
            return f"{delta} is never negative, and {which} took just as much: its sign is in another column"
        return f"{delta} is never negative, and nothing in {which}: what goes out is in another column"
