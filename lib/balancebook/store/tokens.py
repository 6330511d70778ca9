"""Token ranges of the Murmur3 ring: cut up, put together, and as a WHERE."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from balancebook.store.names import quote
from balancebook.store.schema import Table

LOWEST = -(2**63)
HIGHEST = 2**63 - 1

TokenRange = tuple[int, int]


def split_ring(count: int) -> list[TokenRange]:
    """`count` ranges (lo, hi] of nearly equal size from -2^63 to 2^63-1, in order, that meet without gap or overlap."""
    if count < 1:
        raise ValueError(f"{count} ranges: at least one is needed")
    return split_range((LOWEST, HIGHEST), count)


def split_range(whole: TokenRange, count: int) -> list[TokenRange]:
    """(lo, hi] in at most `count` parts, none of them empty."""
    lo, hi = whole
    count = max(1, min(count, hi - lo))
    cuts = [lo + (hi - lo) * part // count for part in range(count + 1)]
    return list(pairwise(cuts))


def merge_ranges(ranges: Iterable[TokenRange]) -> list[TokenRange]:
    """The same tokens in as few ranges as can be, in order."""
    merged: list[TokenRange] = []
    for lo, hi in sorted(ranges):
        if merged and merged[-1][1] == lo:
            merged[-1] = (merged[-1][0], hi)
        else:
            merged.append((lo, hi))
    return merged


def range_clause(table: Table, tokens: TokenRange) -> tuple[str, tuple[int, ...]]:
    """The WHERE of a range and its parameters; empty for the whole ring.

    -2^63 is never sent: to the server it means no bound at all, and it is the token of an empty partition key, so the
    first range has only an upper bound and so holds it. The last has only a lower one.
    """
    token = f"token({', '.join(quote(column.name) for column in table.partition_key)})"
    lo, hi = tokens
    bounds = [(f"{token} > ?", lo)] if lo > LOWEST else []
    bounds += [(f"{token} <= ?", hi)] if hi < HIGHEST else []
    where = " AND ".join(clause for clause, _ in bounds)
    return (f" WHERE {where}" if where else ""), tuple(value for _, value in bounds)


def filtered(clause: str, where: str, limit: int | None = None) -> str:
    """A WHERE, or nothing, with conditions besides (see store.view_filter), which the server checks row by row; and a
    LIMIT."""
    end = "" if limit is None else f" LIMIT {limit}"
    if not where:
        return clause + end
    return f"{clause} {'AND' if clause else 'WHERE'} {where}{end} ALLOW FILTERING"
