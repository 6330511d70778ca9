"""Rows as a pandas frame whose dtypes come from the declared CQL types, never from the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

# Nullable, so that null stays null and 2^63-1 stays exact: inference would make such a column float64.
_DTYPES = {
    "bigint": "Int64",
    "counter": "Int64",
    "int": "Int64",
    "smallint": "Int64",
    "tinyint": "Int64",
    "boolean": "boolean",
    "double": "Float64",
    "float": "Float64",
}


def to_frame(rows: Sequence[tuple[Any, ...]], names: Sequence[str], cql_types: Sequence[str]) -> pd.DataFrame:
    """One column per name. CQL integers (but varint) become Int64, floats Float64, boolean boolean, all nullable;
    everything else (varint, decimal, text, timestamp, ...) stays an object column of what the driver decodes, with
    None for null."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    series = [
        pd.Series(list(values), dtype=_DTYPES.get(cql_type, "object"))
        for values, cql_type in zip(columns, cql_types, strict=True)
    ]
    frame = pd.concat(series, axis=1) if series else pd.DataFrame()
    frame.columns = pd.Index(list(names), dtype="object")
    return frame
