"""What may happen to an account (one user, one asset), and how each event moves its two balances.

Every ledger entry carries a delta of the available and of the frozen balance. The allowed signs, by type:

| event type    | available | frozen | what it is                                                            |
|---------------|-----------|--------|-----------------------------------------------------------------------|
| deposit       | +         | 0      | money comes in from outside the exchange                              |
| withdraw      | -         | 0      | money leaves the exchange                                             |
| lock          | -         | +      | an order reserves what it may cost; the sum of both stays             |
| unlock        | +         | -      | an order is cancelled: its reserve is free again; the sum stays       |
| trade_debit   | 0         | -      | a settled trade takes what the order had reserved                     |
| trade_credit  | +         | 0      | a settled trade brings what was bought, ready to use                  |
| refund        | +         | -      | a filled order gives back what it had reserved too much; the sum stays|

A delta of zero where the table has a sign is not allowed: an entry that moves nothing is no entry.
A settled trade is exactly four entries, all with the trade's id as reference: the buyer's debit in the quote asset and
credit in the base asset, the seller's debit in the base asset and credit in the quote asset. Over these four each
asset's deltas (available plus frozen) sum to zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class EventType(StrEnum):
    """The closed set of `event_type` in the ledger."""

    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    LOCK = "lock"
    UNLOCK = "unlock"
    TRADE_DEBIT = "trade_debit"
    TRADE_CREDIT = "trade_credit"
    REFUND = "refund"


class Signs(NamedTuple):
    """The signs (-1, 0 or 1) of a type's two deltas, and whether available plus frozen stays the same."""

    available: int
    frozen: int
    keeps_sum: bool


SIGNS: dict[EventType, Signs] = {
    EventType.DEPOSIT: Signs(1, 0, keeps_sum=False),
    EventType.WITHDRAW: Signs(-1, 0, keeps_sum=False),
    EventType.LOCK: Signs(-1, 1, keeps_sum=True),
    EventType.UNLOCK: Signs(1, -1, keeps_sum=True),
    EventType.TRADE_DEBIT: Signs(0, -1, keeps_sum=False),
    EventType.TRADE_CREDIT: Signs(1, 0, keeps_sum=False),
    EventType.REFUND: Signs(1, -1, keeps_sum=True),
}


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def allowed(event_type: EventType, delta_avail: int, delta_frozen: int) -> bool:
    """Whether an event of this type may move the balances by these deltas (raw units)."""
    signs = SIGNS[event_type]
    if signs.keeps_sum and delta_avail + delta_frozen != 0:
        return False
    return (_sign(delta_avail), _sign(delta_frozen)) == (signs.available, signs.frozen)
