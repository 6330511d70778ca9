"""What an audit finds: breaks, counted exactly by problem; of each problem the first and the worst are kept."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from balancebook.ledger.entries import SUMS
from balancebook.ledger.signs import Signs

Hashes = npt.NDArray[np.uint64]
Key = tuple[Any, Any, int | None]
"""Account, asset and order; without an order for an entry that is not there, nor an account for an asset as a whole."""
KEPT = 100


class Problem(Enum):
    """What can be wrong: the code of the check that reports it, and how it is named.

    One with a third value, False, proves nothing wrong: a cell is missing without which the check cannot decide.
    """

    SUM = "L001", "does not add up"
    OVERFLOW = "L001", "overflow"
    MISSING = "L001", "amount missing"
    GAP = "L002", "gap"
    LATE = "L002", "begins late"
    NEGATIVE = "L003", "negative"
    NO_BALANCE = "L003", "balance missing", False
    LEG_LOST = "L004", "no such entry"
    LEG_SPARE = "L004", "no such trade"
    LEG_CELL = "L004", "incomplete entry"
    TRADE_CELL = "L004", "incomplete trade"
    TIME = "L005", "time goes back"
    NO_TIME = "L005", "time missing", False
    SIGNS = "L006", "impossible movement"
    TYPE = "L006", "unknown type"
    NO_LOCK = "L006", "nothing was locked"
    TWICE = "L006", "given back twice"
    TOO_MUCH = "L006", "not what was locked"
    NO_AMOUNT = "L006", "amount missing", False
    NO_REFERENCE = "L006", "reference missing", False
    UNEQUAL = "L007", "does not conserve"
    UNSUMMED = "L007", "cell missing", False
    MOVING = "L007", "keeps changing", False

    @property
    def code(self) -> str:
        return str(self.value[0])

    @property
    def text(self) -> str:
        return str(self.value[1])

    @property
    def proves(self) -> bool:
        """Whether it is a fault; else the check cannot decide."""
        return all(self.value[2:])


PROBLEMS = tuple(Problem)
CODES = tuple(dict.fromkeys(each.code for each in PROBLEMS))


@dataclass(frozen=True, slots=True)
class Break:
    """One entry, or asset, that is not explained. What was expected of `what`, and what is there (None: nothing).

    identity: equal in two audits if they see the same. size: how bad it is, for the order of breaks of one problem.
    """

    problem: Problem
    key: Key
    what: str
    expected: Any
    found: Any
    time: int | None
    size: float
    identity: int


@dataclass
class Findings:
    """The breaks of one problem: which (by their identities), the worst of them, the first by time or else order."""

    identities: list[Hashes] = field(default_factory=list)
    worst: list[Break] = field(default_factory=list)
    first: Break | None = None

    @property
    def count(self) -> int:
        return sum(len(each) for each in self.identities)

    def add(self, identities: Hashes, some: Sequence[Break]) -> None:
        """Breaks; `some` are at least the KEPT worst of them and the first."""
        self.identities.append(identities)
        self._keep(some, some)

    def merge(self, other: Findings) -> None:
        """Add those of another part of the ledger."""
        self.identities += other.identities
        self._keep(other.worst, [other.first] if other.first else [])

    def _keep(self, worst: Sequence[Break], firsts: Sequence[Break]) -> None:
        self.worst = heapq.nsmallest(KEPT, [*self.worst, *worst], key=_worst_first)
        self.first = min([*firsts, *([self.first] if self.first else [])], key=_earliest, default=None)


def _worst_first(each: Break) -> tuple[float, str]:
    return -each.size, repr(each.key)


def _earliest(each: Break) -> tuple[int, int, str]:
    return each.time if each.time is not None else 2**63, each.key[2] or 0, repr(each.key)


@dataclass
class Breaks:
    """All findings, by problem. signs: by the role of the balance, whether its amounts have signs."""

    of: dict[Problem, Findings] = field(default_factory=lambda: {each: Findings() for each in PROBLEMS})
    signs: dict[str, Signs] = field(default_factory=lambda: {balance: Signs() for balance, _ in SUMS})

    @property
    def count(self) -> int:
        return sum(each.count for each in self.of.values())

    def count_of(self, code: str) -> int:
        """How many are told by the check of that code."""
        return sum(each.count for problem, each in self.of.items() if problem.code == code)

    def merge(self, other: Breaks) -> None:
        for problem, findings in other.of.items():
            self.of[problem].merge(findings)
        for balance, signs in other.signs.items():
            self.signs[balance].merge(signs)

    def fewer(self, lasting: Breaks) -> dict[str, int]:
        """By code of the check, how many more these are than those that have lasted."""
        fewer = dict.fromkeys(CODES, 0)
        for problem, findings in self.of.items():
            fewer[problem.code] += max(0, findings.count - lasting.of[problem].count)
        return fewer

    def kept(self) -> Iterator[Break]:
        """Those that are known by name."""
        for findings in self.of.values():
            yield from findings.worst

    def lasting(self, again: Breaks) -> Breaks:
        """Those that a second audit has seen too."""
        lasting = Breaks()
        for problem, findings in self.of.items():
            seen = _joined(again.of[problem].identities)
            both = np.intersect1d(_joined(findings.identities), seen)
            still = set(both.tolist())
            named = [each for each in again.of[problem].worst if each.identity in still]
            firsts = [each for each in (again.of[problem].first, findings.first) if each]
            first = next((each for each in firsts if each.identity in still), None)
            lasting.of[problem] = Findings([both], named, first or min(named, key=_earliest, default=None))
        return lasting


def _joined(parts: Sequence[Hashes]) -> Hashes:
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def noted(
    breaks: Breaks,
    problem: Problem,
    identities: Hashes,
    sizes: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64] | None,
    made: Callable[[int], Break],
) -> None:
    """Note breaks that are given as columns; `made(n)` says the n-th in full, asked for the few that are kept."""
    count = len(identities)
    if not count:
        return
    chosen = np.arange(count) if count <= KEPT else np.argpartition(-sizes, KEPT)[:KEPT]
    first = int(np.argmin(times)) if times is not None else 0
    breaks.of[problem].add(identities, [made(int(each)) for each in dict.fromkeys([*chosen.tolist(), first])])


def identity_of(*columns: npt.NDArray[Any]) -> Hashes:
    """A hash of each row of some columns of equal length; objects by their whole text."""
    mixed = np.full(len(columns[0]), 0x9E3779B97F4A7C15, np.uint64)
    for column in columns:
        mixed = _mixed(mixed ^ _words(column))
    return mixed


def size_of(amount: Any) -> float:
    """How large an amount is, without its sign: for the order of breaks alone, so a float will do."""
    try:
        return abs(float(amount))
    except OverflowError:
        return math.inf


def sizes_of(amounts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """As size_of, of each of a column."""
    if amounts.dtype == object:
        return np.array([size_of(each) for each in amounts], np.float64)
    return np.abs(amounts.astype(np.float64))


def _words(column: npt.NDArray[Any]) -> Hashes:
    if column.dtype == object:
        digests = (hashlib.blake2b(_text(each).encode(), digest_size=8).digest() for each in column)
        return np.frombuffer(b"".join(digests), np.uint64)
    return np.ascontiguousarray(column, np.int64).view(np.uint64)


def _text(value: object) -> str:
    # Python refuses to write an int of more than 4,300 digits in decimal.
    return hex(value) if isinstance(value, int) else str(value)


def _mixed(words: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
