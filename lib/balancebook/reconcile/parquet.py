"""All differences as a Parquet file: kind, key, base, view, reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from balancebook.reconcile.found import RawDifference
from balancebook.reconcile.values import cell_json
from balancebook.record import whole
from balancebook.store.cql.values import json_text
from balancebook.store.schema import View
from balancebook.verdict import Json

# What is written at a time: so many rows, or about so many bytes of their cells.
_ROWS, _BYTES = 20_000, 16 << 20
_INTEGERS = ("tinyint", "smallint", "int", "bigint", "counter")


def write_parquet(
    path: Path,
    differences: Iterable[RawDifference],
    view: View,
    columns: tuple[Sequence[str], Sequence[str]],
    types: Sequence[Any],
    origin: Mapping[str, str],
) -> int:
    """Write them, and return how many there are. The file appears whole, or not at all. Raises OSError.

    columns: the view's key and its others; `types` the driver's, in that order. kind and reason are text; key, base and
    view are structs of those columns (base and view null where the row is not there, and true where it is if the view
    has no others: Parquet has no empty structs): integers as int64, boolean as bool, all else as text, as in the JSON
    of `reconcile --json` (collections as JSON). origin: kept as the file's metadata.
    """
    cql_types = {column.name: column.cql_type for column in view.columns}
    key, values = ([pa.field(name, _arrow(cql_types[name])) for name in names] for names in columns)
    row = pa.struct(values) if values else pa.bool_()
    fields = [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("key", pa.struct(key), nullable=False),
        pa.field("base", row),
        pa.field("view", row),
        pa.field("reason", pa.string(), nullable=False),
    ]
    schema = pa.schema(fields, metadata=dict(origin))
    written = 0
    with whole(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for some in _groups(differences):
            documents = [_document(each, columns, cql_types, types) for each in some]
            writer.write_table(pa.Table.from_pylist(documents, schema=schema))
            written += len(documents)
    return written


def _groups(differences: Iterable[RawDifference]) -> Iterator[list[RawDifference]]:
    some: list[RawDifference] = []
    size = 0
    for difference in differences:
        some.append(difference)
        size += difference.size
        if len(some) >= _ROWS or size >= _BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _arrow(cql_type: str) -> pa.DataType:
    if cql_type in _INTEGERS:
        return pa.int64()
    return pa.bool_() if cql_type == "boolean" else pa.string()


def _document(
    difference: RawDifference,
    columns: tuple[Sequence[str], Sequence[str]],
    cql_types: Mapping[str, str],
    types: Sequence[Any],
) -> dict[str, Any]:
    decoded = difference.decoded(types)

    def struct(names: Sequence[str], cells: Sequence[Any] | None) -> dict[str, Any] | bool | None:
        if cells is None:
            return None
        if not names:
            # Parquet has no structs without fields.
            return True
        return {
            name: _value(cell_json(cell, cql_types[name]), cql_types[name])
            for name, cell in zip(names, cells, strict=True)
        }

    return {
        "kind": decoded.kind.value,
        "key": struct(columns[0], decoded.key),
        "base": struct(columns[1], decoded.base),
        "view": struct(columns[1], decoded.view),
        "reason": decoded.reason,
    }


def _value(value: Json, cql_type: str) -> Any:
    if cql_type in (*_INTEGERS, "boolean"):
        # An empty cell, which CQL allows of a number too, is no number of that column.
        return None if isinstance(value, str) else value
    return None if value is None else json_text(value)
