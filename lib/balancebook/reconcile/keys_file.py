"""The partitions to compare, from a CSV file: its header names the partition key of the view, or that of the base."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NoReturn

from balancebook.errors import UsageError
from balancebook.reconcile.values import Cells
from balancebook.store.cql_text import parse_value
from balancebook.store.names import close_name, did_you_mean
from balancebook.store.schema import Table, View

MOST_ROWS = 100_000
_LONGEST_LINE = 2**20
_SHOWN = 60
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Keys:
    """Partitions of one table. columns: its partition key, in its order; partitions: each once, as first named.

    `repeated` counts the rows of the file that name a partition again.
    """

    side: Literal["base", "view"]
    columns: tuple[str, ...]
    partitions: tuple[Cells, ...]
    repeated: int = 0


def read_keys(path: Path, view: View, base: Table, *, most_rows: int = MOST_ROWS) -> Keys:
    """The partitions that a CSV file (UTF-8) asks for; nothing else is read.

    The header names all columns of the view's partition key, or all of the base's, in any order; if both have the same
    columns it is taken for the view's. Cells are read by their column's type (see store.cql_text). Raises UsageError,
    which names the file, the line and the column, for a file that is empty, cannot be understood or has more than
    `most_rows` rows.
    """
    try:
        with path.open("rb") as file:
            return _File(path, view, base, most_rows).read(file)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Name a CSV file.", parameter="keys"
        ) from error


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    view: View
    base: Table
    most_rows: int

    def read(self, file: IO[bytes]) -> Keys:
        rows = self._rows(file)
        _, header = next(rows, (0, None))
        if header is None:
            self._refuse("", "is empty", f"Begin it with a header: {self._wanted()}.")
        side, table = self._side(header)
        types = {column.name: column.cql_type for column in table.partition_key}
        places = [header.index(name) for name in types]
        partitions: dict[str, Cells] = {}
        count = 0
        for line, row in rows:
            count += 1
            if count > self.most_rows:
                self._refuse("", f"has more than {self.most_rows:,} rows", "Compare all: --depth full.")
            if len(row) != len(header):
                self._refuse(
                    f", line {line}",
                    f"has {len(row)} cells where the header has {len(header)}",
                    "Give one cell for each column of the header.",
                )
            partition = tuple(
                self._cell(line, place, name, types[name], row[place])
                for name, place in zip(types, places, strict=True)
            )
            # As text, since decimal 1.0 and 1.00 are two partitions.
            partitions.setdefault(repr(partition), partition)
        if not partitions:
            self._refuse("", "has a header and no rows", "Give one partition a row.")
        return Keys(side, tuple(types), tuple(partitions.values()), count - len(partitions))

    def _rows(self, file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each row, blank lines left out."""
        rows = csv.reader(self._lines(file), strict=True)
        line = 1
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                if "new-line character" in str(error):
                    at = f", line {rows.line_num}"
                    self._refuse(at, "has a carriage return alone", "End its lines with LF or CRLF.")
                self._refuse(f", line {rows.line_num}", f"is no CSV: {error}", "Correct the line.")
            if row is None:
                return
            if row:
                yield line, row
            line = rows.line_num + 1

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        """The lines as text. Each is decoded alone, so that a wrong byte is found in its line."""
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                self._refuse(f", line {number}", "is longer than 1 MiB", "Give one partition a line.")
            try:
                yield (line.removeprefix(_BOM) if number == 1 else line).decode()
            except UnicodeDecodeError:
                self._refuse(f", line {number}", "is not UTF-8", "Save the file as UTF-8.")

    def _side(self, header: Sequence[str]) -> tuple[Literal["base", "view"], Table]:
        if sorted(header) == sorted(_partition_key(self.view)):
            return "view", self.view
        if sorted(header) == sorted(_partition_key(self.base)):
            return "base", self.base
        return self._refuse_header(header)

    def _refuse_header(self, header: Sequence[str]) -> NoReturn:
        known = dict.fromkeys((*_partition_key(self.view), *_partition_key(self.base)))
        for place, name in enumerate(header):
            at = f", line 1, column {place + 1}"
            if name not in known:
                hint = did_you_mean(name, known)
                self._refuse(
                    at,
                    f"{_short(name)} is no column of a partition key.{hint}".removesuffix("."),
                    f"Name {self._wanted()}.",
                    close_name(name, known),
                )
            if name in header[:place]:
                self._refuse(at, f"{name} is named twice", f"Name {self._wanted()}.")
        self._refuse(", line 1", f"names only {', '.join(header)}", f"Name {self._wanted()}.")

    def _cell(self, line: int, place: int, name: str, cql_type: str, text: str) -> object:
        try:
            return parse_value(text, cql_type)
        except ValueError as error:
            self._refuse(
                f", line {line}, column {place + 1} ({name})", f"{_short(text)} {error}", "Correct the cell."
            )

    def _wanted(self) -> str:
        of_view, of_base = ", ".join(_partition_key(self.view)), ", ".join(_partition_key(self.base))
        if sorted(_partition_key(self.view)) == sorted(_partition_key(self.base)):
            return of_view
        return f"{of_view} (the partition key of {self.view.name}) or {of_base} (that of {self.base.name})"

    def _refuse(self, where: str, what: str, remedy: str, suggestion: str | None = None) -> NoReturn:
        end = "" if what.endswith("?") else "."
        raise UsageError(
            f"{self.path}{where}{':' if where else ''} {what}{end}",
            remedy,
            parameter="keys",
            suggestion=suggestion,
        )


def _partition_key(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.partition_key)


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
