"""Suspects: each row of the view once, by the normal form of its key, and how either side spells it."""

from __future__ import annotations

from cassandra.cqltypes import DecimalType, Int32Type

from balancebook.reconcile.confirm.suspects import Suspect, Suspects
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.model.identity import KeyIdentity
from balancebook.reconcile.sides import BASE, VIEW

# Decimals 1.0 and 1.00 as they are sent: the scale, and the digits.
ONE, ALIKE = b"\0\0\0\1\x0a", b"\0\0\0\2\x64"
P, Q = b"\0\0\0\7", b"\0\0\0\x08"


def suspects() -> Suspects:
    """Of a view with keys (p, d), partitioned by p alone: its decimals are told apart by their value."""
    return Suspects(KeyIdentity([Int32Type, DecimalType], {0}))


def test_a_key_spelled_in_two_ways_is_one() -> None:
    found = suspects()
    base, view = found.note(BASE, (P, ONE)), found.note(VIEW, (P, ALIKE))
    assert base is view
    assert (len(found), list(found)) == (1, [view])
    assert (view.suspicion, view.respelled, view.several) == (Kind.MISMATCH, True, False)
    assert (view.spelled(BASE), view.spelled(VIEW)) == ((P, ONE), (P, ALIKE))


def test_a_side_that_has_it_not_takes_the_other_s_spelling() -> None:
    found = suspects()
    lost, orphan = found.note(BASE, (P, ALIKE)), found.note(VIEW, (Q, ONE))
    assert [each.suspicion for each in found] == [Kind.LOST, Kind.ORPHAN]
    assert (lost.spelled(VIEW), lost.spelled(BASE), lost.respelled) == ((P, ALIKE), (P, ALIKE), False)
    assert (orphan.spelled(BASE), orphan.spelled(VIEW), orphan.respelled) == ((Q, ONE), (Q, ONE), False)
    assert Suspect((P, ONE)).spelled(BASE) == Suspect((P, ONE)).spelled(VIEW) == (P, ONE)


def test_the_same_spelling_on_both_sides_is_not_respelled() -> None:
    found = suspects()
    found.note(VIEW, (P, ONE))
    assert not found.note(BASE, (P, ONE)).respelled


def test_several_rows_of_the_base_under_one_key_are_noticed() -> None:
    found = suspects()
    assert not found.note(BASE, (P, ONE)).several
    assert not found.note(BASE, (P, ONE)).several
    assert found.note(BASE, (P, ALIKE)).several
    assert found.note(BASE, (P, ALIKE)).several
    # The view has one row of a key.
    other = suspects()
    other.note(VIEW, (P, ONE))
    assert not other.note(VIEW, (P, ALIKE)).several
