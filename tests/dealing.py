"""How `make test` deals the tests to its workers: a file at a time, and all of the demo exchange to one."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Whoever loads the exchange works half a minute for it, and faults in it are not for others to see.
_OF_THE_EXCHANGE = (
    "tests/database/test_demo_gateway.py",
    "tests/database/test_doctor.py",
    "tests/database/test_needs.py",
    "tests/e2e/test_reconcile.py",
    "tests/notebooks/test_stored_outputs.py",
    "tests/notebooks/test_verdicts.py",
    "tests/soak/test_reconcile_ways.py",
)


def dealt_as(node_id: str) -> str:
    """The name of what is dealt as one: the test's file, whose fixtures are then made once, or `exchange`."""
    return "exchange" if node_id.startswith(_OF_THE_EXCHANGE) else node_id.partition("::")[0]


class Dealing(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """By `dealt_as`. Not by marks (--dist loadgroup): with pytest 9.2, pytest-xdist 3.8 overlooks them in silence."""

    def _split_scope(self, nodeid: str) -> str:
        return dealt_as(nodeid)
