"""One reading of a ledger and its trades: all of it, in the order of tokens and in bounded memory; or some accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np

from balancebook.ledger.breaks import Break, Breaks, Hashes, Problem, size_of
from balancebook.ledger.entries import Entries, EntryReader, Flags, Numbers, plain
from balancebook.ledger.follow import Follower
from balancebook.ledger.legs import LAYOUT, EntryLegs, Legs, among, leg_identities
from balancebook.ledger.source import Source, TradeTable
from balancebook.ledger.sums import AssetSums, add_sums
from balancebook.ledger.trades import TradePage, TradeReader
from balancebook.sketch.sketch import Sketch
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace
from balancebook.store.ranges import RangeScan, RangeTask, ScanReport, tasks_by_turns
from balancebook.store.raw import RawPage
from balancebook.store.raw_scan import raw_scan
from balancebook.store.schema import Table

T = TypeVar("T")
# So many cells name some 8,000 legs that differ.
CELLS = 12_288
_NOTHING = np.empty(0, np.uint64)


@dataclass
class Piece:
    """What some whole partitions come to. legs: a sketch of their entries'; named: those of the wanted legs."""

    breaks: Breaks
    entries: int
    partitions: int
    sums: dict[int, AssetSums]
    legs: Sketch | None
    named: list[Break] = field(default_factory=list)
    kept: list[tuple[Legs, Entries]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Legs, by their identities: those of trades that have no entry, and entries that have no trade."""

    lost: Hashes
    spare: Hashes

    def __len__(self) -> int:
        return len(self.lost) + len(self.spare)


@dataclass
class Reading:
    """What one reading has shown. reasons: why the ledger is not complete, trade_reasons why its trades are not, if so.
    legs: the trades' less the entries'. incomplete: what stands for the ids of trades that lack a cell.

    sums: of what was read, by what stands for the asset. broken: the token ranges with breaks, and what they came to.
    """

    breaks: Breaks = field(default_factory=Breaks)
    entries: int = 0
    partitions: int = 0
    trades: int = 0
    legs: Sketch | None = None
    named: list[Break] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    trade_reasons: list[str] = field(default_factory=list)
    incomplete: list[Numbers] = field(default_factory=list)
    sums: dict[int, AssetSums] = field(default_factory=dict)
    broken: list[tuple[RangeTask, Piece]] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Add what a piece has shown."""
        self.breaks.merge(piece.breaks)
        self.entries += piece.entries
        self.partitions += piece.partitions
        self.named += piece.named
        add_sums(self.sums, piece.sums)
        if self.legs and piece.legs:
            self.legs.subtract(piece.legs)

    def add_trades(self, trades: TradeReader, page: TradePage, manner: Manner) -> None:
        """Add a page of trades, but for its legs."""
        self.trades += len(page.columns)
        self.named += trades.named(page, manner.wanted)
        if len(incomplete := trades.note_incomplete(page, self.breaks)):
            self.incomplete.append(incomplete)

    def of_incomplete(self, codes: Numbers) -> Flags:
        """Which of these trades, by what stands for their ids, lack a cell: their entries cannot all be told."""
        found = np.zeros(len(codes), bool)
        for some in self.incomplete:
            found |= np.isin(codes, some)
        return found

    def without_broken(self) -> Reading:
        """What the ranges without breaks have shown."""
        rest = Reading(
            entries=self.entries,
            partitions=self.partitions,
            trades=self.trades,
            trade_reasons=self.trade_reasons,
        )
        add_sums(rest.sums, self.sums)
        for _, piece in self.broken:
            rest.entries -= piece.entries
            rest.partitions -= piece.partitions
            add_sums(rest.sums, piece.sums, -1)
        return rest


@dataclass(frozen=True)
class Manner:
    """How to read. budget_rows: of each table. seed, cells: of the sketches. wanted: identities of legs to be named.
    keep: whether the legs themselves are kept, beside their sketch. settled: what is dated later (ms) may lack entries
    that belong to it."""

    ranges: int
    budget_rows: int | None
    seed: int
    cells: int = CELLS
    wanted: Hashes = field(default_factory=lambda: _NOTHING)
    keep: bool = False
    settled: int | None = None
    pace: Pace | None = None
    progress: Callable[[Table, ScanReport], None] | None = None

    def sketch(self) -> Sketch:
        """An empty one for legs."""
        return Sketch(LAYOUT, cells=self.cells, seed=self.seed)


class Spare:
    """Sketches by turns: to make one for each range would cost more than what is folded into it."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._free: SimpleQueue[Sketch] = SimpleQueue()

    def take(self) -> Sketch:
        """An empty one. From any thread."""
        try:
            return self._free.get_nowait()
        except Empty:
            return self._manner.sketch()

    def give_back(self, sketch: Sketch | None) -> None:
        """One that is not needed any more."""
        if sketch:
            sketch.clear()
            self._free.put(sketch)


def read_all(source: Source, manner: Manner) -> Reading:
    """All of the ledger, then all trades, at LOCAL_ONE. What could not be read is in `reasons` or `trade_reasons`.

    Raises StoreError for a ledger that no retry reads.
    """
    reading = Reading(legs=manner.sketch() if source.trades else None)
    _read_entries(source, manner, reading)
    if source.trades and not reading.reasons:
        try:
            _read_trades(source, source.trades, manner, reading)
        except StoreError as error:
            reading.trade_reasons.append(str(error))
    return reading


def read_broken(source: Source, manner: Manner, first: Reading) -> Reading:
    """Read those token ranges again in which there were breaks, and take the rest from the first reading."""
    reading = first.without_broken()
    _read_entries(source, manner, reading, [task for task, _ in first.broken])
    return reading


def _read_entries(source: Source, manner: Manner, reading: Reading, tasks: Sequence[RangeTask] = ()) -> None:
    spare = Spare(manner) if reading.legs else None
    pieces = scan_entries(source, manner, tasks, spare)
    for part in pieces:
        piece = part.gathered
        if part.whole:
            reading.add(piece)
        if spare:
            spare.give_back(piece.legs)
        if part.whole and piece.breaks.count:
            reading.broken.append((part.task, replace(piece, legs=None)))
    reading.reasons += pieces.report.why_incomplete(source.base.cql_name, manner.budget_rows)


def follow(source: Source, pages: Iterator[RawPage], manner: Manner, sketch: Sketch | None = None) -> Piece:
    """Follow the entries of whole partitions; their legs are folded into the sketch. Raises StoreError."""
    reader = EntryReader(source.roles, source.types)
    follower = Follower(reader, source.kinds, manner.settled)
    legs = _entry_legs(source, follower)
    piece = Piece(follower.breaks, 0, 0, follower.sums.by_code, sketch)

    for page in pages:
        entries = reader.read(page)
        follower.feed(entries)
        if legs and len(entries):
            some = legs.feed(entries)
            if piece.legs:
                some[0].fold(piece.legs)
            piece.kept += [some] if manner.keep and len(some[0]) else []
            piece.named += _named(reader, *some, manner.wanted)
    follower.finish()
    piece.entries, piece.partitions = follower.entries, follower.partitions
    return piece


def _entry_legs(source: Source, follower: Follower) -> EntryLegs | None:
    if not source.trades:
        return None
    return EntryLegs(follower.kinds, held=source.roles.has("delta_held"), by_text=source.by_text)


def _named(reader: EntryReader, legs: Legs, entries: Entries, wanted: Hashes) -> list[Break]:
    """The wanted legs in full: entries for which there is no trade."""
    if not len(wanted):
        return []
    identities = leg_identities(legs.codes)
    places = np.flatnonzero(among(legs.codes, wanted)).tolist()
    return [_spare(reader, entries, int(legs.place[place]), int(identities[place])) for place in places]


def _spare(reader: EntryReader, entries: Entries, row: int, identity: int) -> Break:
    moved: list[Any] = [
        entries.money[role][row] for role in ("delta_available", "delta_held") if role in entries.money
    ]
    amount = next((each for each in moved if each), 0)
    return Break(
        Problem.LEG_SPARE,
        reader.key(entries, row),
        f"trade {reader.decoded(entries, row, 'reference')}",
        None,
        plain(amount),
        reader.time(entries, row),
        size_of(amount),
        identity,
    )


def _read_trades(source: Source, table: TradeTable, manner: Manner, reading: Reading) -> None:
    trades, spare = TradeReader(source, table), Spare(manner)

    def gathered(pages: Iterator[RawPage]) -> tuple[Reading, Sketch]:
        sketch, some = spare.take(), Reading()
        for page in pages:
            read = trades.read(page)
            read.legs.fold(sketch)
            some.add_trades(trades, read, manner)
        return some, sketch

    parts = _scan(source, table.table, table.columns, manner, gathered)
    for part in parts:
        some, sketch = part.gathered
        reading.trades += some.trades
        reading.named += some.named
        reading.incomplete += some.incomplete
        reading.breaks.merge(some.breaks)
        if reading.legs:
            reading.legs.merge(sketch)
        spare.give_back(sketch)
    reading.trade_reasons += parts.report.why_incomplete(table.table.cql_name, manner.budget_rows)


def scan_entries(
    source: Source, manner: Manner, tasks: Sequence[RangeTask] = (), spare: Spare | None = None
) -> RangeScan[Piece]:
    """A scan of the ledger, by default all of it; each part is what a range's whole partitions come to. spare: where
    the sketches of their legs come from; without it there are none."""

    def gathered(pages: Iterator[RawPage]) -> Piece:
        return follow(source, pages, manner, spare.take() if spare else None)

    return _scan(source, source.base, source.roles.columns, manner, gathered, tasks)


def _scan(
    source: Source,
    table: Table,
    columns: Sequence[str],
    manner: Manner,
    gathered: Callable[[Iterator[RawPage]], T],
    tasks: Sequence[RangeTask] = (),
) -> RangeScan[T]:
    return raw_scan(
        source.reader,
        [table],
        columns,
        lambda _table, pages: gathered(pages),
        tasks or tasks_by_turns(manner.ranges, 1),
        budget_rows=manner.budget_rows,
        progress=partial(manner.progress, table) if manner.progress else None,
        pace=manner.pace,
    )
