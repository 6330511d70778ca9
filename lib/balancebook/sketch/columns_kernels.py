"""The loops over columns: one takes a page's cells apart, for `columns`, one sums them, for ledger.sums."""

from __future__ import annotations

import numpy as np

from balancebook.sketch.compiler import kernel
from balancebook.sketch.layout import LEFT_OVER, OK, Page, Places
from balancebook.sketch.rows import hash_bytes, next_row, number_before

# Of hashes that are only compared within one process; two values are taken for one by a chance of 2^-64 each.
_ONE, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_LOW = 0xFFFFFFFF


@kernel
def hash_cell(raw: Page) -> np.int64:
    """What stands for a cell, given with its length field."""
    return np.int64(hash_bytes(raw, 0, raw.size, _ONE, _OTHER)[0])


@kernel
def columns(  # noqa: PLR0913, PLR0917 (C has no other way)
    body: Page, at: int, rows: int, widths: Places, values: Places, there: Page, starts: Places, ends: Places
) -> int:
    """Fill values and `there` (columns, rows), zeros yet, starts and ends (rows, columns). Returns a code."""
    count = widths.size
    for row in range(rows):
        code, end, _ = next_row(body, at, widths, 0, starts[row], ends[row])
        if code != OK:
            return code
        for column in range(count):
            size = ends[row, column] - starts[row, column]
            if ends[row, column] < 0 or (size == 0 and widths[column] > 0):
                continue
            there[column, row] = 1
            if widths[column] == size:
                values[column, row] = number_before(body, ends[row, column], widths[column])
            else:
                first = starts[row, column] - 4
                values[column, row] = np.int64(hash_bytes(body, first, ends[row, column], _ONE, _OTHER)[0])
        at = end
    return OK if at == body.size else LEFT_OVER


@kernel
def totals(codes: Places, what: Places, amounts: Places, first: Places, high: Places, low: Places) -> int:
    """For each code the row where it first is, and by `what` the sums of the upper halves of its amounts and of the
    lower ones: of fewer than 2^31 rows neither overflows. first: (groups), high and low: (groups, kinds), zeros yet, of
    at least as many groups as there are runs of one code. Returns how many codes there are."""
    count = at = 0
    for row in range(codes.size):
        if row == 0 or codes[row] != codes[row - 1]:
            at = 0
            while at < count and codes[first[at]] != codes[row]:
                at += 1
            if at == count:
                first[at] = row
                count += 1
        high[at, what[row]] += amounts[row] >> 32
        low[at, what[row]] += amounts[row] & _LOW
    return count
