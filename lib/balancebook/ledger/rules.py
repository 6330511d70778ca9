"""What may happen to an account, and how each kind of entry moves its two balances.

| entry        | available | held | what it is                                                              |
|--------------|-----------|------|-------------------------------------------------------------------------|
| deposit      | +         | 0    | comes in from outside                                                   |
| withdraw     | -         | 0    | leaves                                                                  |
| lock         | -         | +    | an order reserves it; the sum of both stays                             |
| unlock       | +         | -    | the order is cancelled, its reserve free again; the sum stays           |
| trade_debit  | 0         | -    | a settled trade takes what was reserved                                 |
| trade_credit | +         | 0    | a settled trade brings what was bought                                  |
| refund       | +         | -    | a filled order gives back what it reserved too much; the sum stays      |

A ledger that has no held balance moves the available one alone: deposit and trade_credit add, withdraw and trade_debit
take; of the others, which move between the two, it says nothing that could be judged.

An unlock or refund belongs to one earlier lock by the reference of both, and each lock is given back once at the most:
an unlock gives back all of it, a refund no more than it.
"""

from __future__ import annotations

from typing import NamedTuple


class Movement(NamedTuple):
    """The signs (-1, 0, 1) of the two deltas of one kind of entry, and whether the sum of both stays."""

    available: int
    held: int
    keeps_sum: bool


MOVEMENTS: dict[str, Movement] = {
    "deposit": Movement(1, 0, keeps_sum=False),
    "withdraw": Movement(-1, 0, keeps_sum=False),
    "lock": Movement(-1, 1, keeps_sum=True),
    "unlock": Movement(1, -1, keeps_sum=True),
    "trade_debit": Movement(0, -1, keeps_sum=False),
    "trade_credit": Movement(1, 0, keeps_sum=False),
    "refund": Movement(1, -1, keeps_sum=True),
}
LOCK, UNLOCK, REFUND = "lock", "unlock", "refund"
DEBIT, CREDIT = "trade_debit", "trade_credit"
DEPOSIT, WITHDRAW = "deposit", "withdraw"
