"""Breaks: which of them prove a fault, which are the worst, and which is the first."""

from __future__ import annotations

import itertools

import numpy as np

from balancebook.ledger.breaks import CODES, Break, Breaks, Findings, Problem, _mixed, identity_of


def test_what_is_only_missing_proves_nothing() -> None:
    assert {problem for problem in Problem if not problem.proves} == {
        Problem.NO_BALANCE,
        Problem.NO_TIME,
        Problem.NO_AMOUNT,
        Problem.NO_REFERENCE,
        Problem.UNSUMMED,
        Problem.MOVING,
    }
    assert tuple(f"L{number:03}" for number in range(1, 8)) == CODES


def made(size: float = 1.0, time: int | None = None, seq: int | None = 1, account: int = 1) -> Break:
    return Break(Problem.SUM, (account, 2, seq), "available", 1, 2, time, size, 7)


def findings(*breaks: Break) -> Findings:
    found = Findings()
    found.add(np.array([each.identity for each in breaks], np.uint64), breaks)
    return found


def test_the_first_is_the_earliest() -> None:
    # By time, then by its number, then by its key; one without a time comes last, one without a number first.
    ordered = [
        made(time=5, seq=None), made(time=5, seq=1), made(time=5, seq=3), made(time=5, seq=3, account=2),
        made(time=6, seq=1), made(time=2**62, seq=1), made(seq=1), made(seq=2),
    ]  # fmt: skip
    for one, other in itertools.combinations(ordered, 2):
        assert findings(other, one).first == one
        merged = findings(other)
        merged.merge(findings(one))
        assert merged.first == one
        kept = findings(one)
        kept.merge(findings(other))
        assert kept.first == one


def test_the_worst_come_first() -> None:
    some = [made(size=float(size), account=account) for size in (1, 9, 5) for account in (2, 1)]
    worst = [(each.size, each.key[0]) for each in findings(*some).worst]
    assert worst == [(9.0, 1), (9.0, 2), (5.0, 1), (5.0, 2), (1.0, 1), (1.0, 2)]
    assert findings(*some).count == 6


def test_counts_are_of_all_parts() -> None:
    one, other = Breaks(), Breaks()
    one.of[Problem.SUM].add(np.array([1, 2], np.uint64), [made(), made()])
    other.of[Problem.SUM].add(np.array([3], np.uint64), [made()])
    other.of[Problem.GAP].add(np.array([4], np.uint64), [made()])
    one.merge(other)
    assert (one.count, one.count_of("L001"), one.count_of("L002"), one.count_of("L003")) == (4, 3, 1, 0)


def test_identities_tell_cells_and_places_apart() -> None:
    numbers = [np.array([1, 2, 1, 3]), np.array([2, 1, 2, 3])]
    one = identity_of(*numbers)
    assert (one[0] == one[2], len(set(one.tolist()))) == (True, 3)
    assert identity_of(numbers[1], numbers[0]).tolist() != one.tolist()
    texts = np.array(["a", "b", "a", ""], object)
    found = identity_of(texts, numbers[0])
    assert (found[0] == found[2], len(set(found.tolist()))) == (True, 3)
    # What differs in one bit of one column differs in about half of the bits.
    spread = identity_of(np.arange(1000), np.zeros(1000, np.int64))
    assert len(set((spread & np.uint64(0xFFFFFF)).tolist())) > 990
    assert len(set((spread >> np.uint64(40)).tolist())) > 990


def test_hashes_are_mixed_as_splitmix64_does() -> None:
    """Its first number from the state 0 (Steele, Lea, Flood 2014; Vigna's splitmix64.c)."""
    assert int(_mixed(np.array([0x9E3779B97F4A7C15], np.uint64))[0]) == 0xE220A8397B1DCDAF
