"""How much of a view is built, from the server's progress rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from balancebook.store.dialects import CASSANDRA
from balancebook.store.health import NodeBuild, overall, percent_built
from balancebook.store.health import _node as asked_node
from balancebook.store.reader import RING

_FULL = str(2**63 - 1), str(-(2**63))
PERCENT: list[tuple[list[tuple[str, str, str | None]], int, float | None]] = [
    ([], RING, 0.0),
    ([("0", "100", None)], 200, 0.0),
    ([("0", "100", "0")], 200, 0.0),
    ([("0", "100", "50")], 200, 25.0),
    ([("0", "100", "100")], 200, 50.0),
    ([("0", "100", "100"), ("100", "200", "150")], 200, 75.0),
    # The last range wraps; rows as Cassandra 5.0.6 gave them.
    ([("7136916386737116156", "-9003984677758741507", "-9003984677758741507")], RING, 12.5),
    ([(str(2**63 - 10), str(-(2**63) + 9), str(-(2**63)))], 20, 50.0),
    ([("0", "100", "50")], 0, None),
]


@pytest.mark.parametrize(("rows", "span", "percent"), PERCENT)
def test_percent_of_the_node_s_own_tokens(
    rows: list[tuple[str, str, str | None]], span: int, percent: float | None
) -> None:
    found = percent_built(rows, span)
    assert found == (None if percent is None else pytest.approx(percent, abs=0.001))


def _node(percent: float | None) -> NodeBuild:
    return NodeBuild("127.0.0.1", UUID(int=0), "STARTED", percent)


@pytest.mark.parametrize(
    ("percents", "mean"), [([], None), ([50.0], 50.0), ([100.0, 0.0], 50.0), ([100.0, None], None)]
)
def test_the_whole_is_the_mean_and_unknown_if_one_node_is(
    percents: list[float | None], mean: float | None
) -> None:
    assert overall([_node(percent) for percent in percents]) == mean


@pytest.mark.parametrize(
    ("status", "progress", "shown", "known"),
    [
        ("STARTED", [], "STARTED", True),
        # A SUCCESS that the node itself does not confirm is of the view before, and so is its time.
        ("SUCCESS", [], "none", False),
        ("SUCCESS", [("0", "100", "50", 1_000_000)], "none", True),
        ("STARTED", [("0", "100", None, None)], "STARTED", True),
    ],
)
def test_since_when_nothing_was_written(
    status: str, progress: list[tuple[str, str, str | None, int | None]], shown: str, known: bool
) -> None:
    rows = {CASSANDRA.locally_built: [], CASSANDRA.build_progress: progress}
    reader: Any = SimpleNamespace(rows_on=lambda _host, cql, _params: rows[cql])
    host: Any = SimpleNamespace(address="127.0.0.1", host_id=UUID(int=0))
    view: Any = SimpleNamespace(keyspace="k", name="v")
    found = asked_node(reader, view, CASSANDRA, host, status, 1_000_000, {host.host_id: RING})
    assert (found.status, found.still_s is not None) == (shown, known)
