"""The one rule of the explorer for which entries count: for accounts, extracts, tables and figures alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from balancebook.ledger.entries import Entries, Flags
from balancebook.moment import milliseconds

RULE = (
    "Now counts every entry in the ledger, whatever its date, as the view and the gateway do; `as_of` counts the "
    "entries dated at most then; entries dated ahead of the clock are listed apart."
)


def clock_now() -> int:
    """This machine's clock, in milliseconds since 1970."""
    return milliseconds(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class When:
    """Which entries count. A balance is that after the newest entry, by sequence, of those that count.

    Now (as_of None) all count: a date is what a writer says, and the balance that customers see is that of the newest
    entry. As of a time (milliseconds since 1970) those dated at most then do, and those without a time do not.
    clock: when it was asked; an entry dated later is dated ahead, one dated exactly then is not.
    """

    as_of: int | None
    clock: int

    def counts(self, entries: Entries) -> Flags:
        """Which of them count."""
        if self.as_of is None:
            return np.ones(len(entries), bool)
        return ~undated(entries) & (entries.other["time"] <= self.as_of)

    def ahead(self, entries: Entries) -> Flags:
        """Which of them are dated ahead of the clock."""
        if "time" not in entries.other:
            return undated(entries)
        return ~undated(entries) & (entries.other["time"] > self.clock)


def undated(entries: Entries) -> Flags:
    """Which of them have no time; none of a ledger without a column for it."""
    if "time" not in entries.other:
        return np.zeros(len(entries), bool)
    return entries.missing["time"]


def rule_of(as_of: str | None) -> str:
    """The rule in a sentence, for now or a time as utc_text writes it."""
    if as_of is None:
        return "Now: every entry counts, whatever its date."
    return f"As of {as_of} UTC: entries dated at most then count."
