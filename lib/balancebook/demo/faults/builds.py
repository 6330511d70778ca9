"""A view that is still being built, or whose build was stopped: by dropping it and creating it anew."""

from __future__ import annotations

import time

from balancebook.demo.faults.kinds import FaultError
from balancebook.demo.faults.target import Key, Target
from balancebook.store.health import ViewHealth, view_health

_BEGIN_S = 20.0
# A small build may be over before its progress is seen: the view is created again, and the build stopped at once.
_STOP_AT_PERCENT = (5.0, 0.0, 0.0, 0.0)
_ATTEMPTS = len(_STOP_AT_PERCENT)
_POLL_S = 0.005


def rebuild(target: Target) -> None:
    """Drop the view and create it again; returns while its build is under way. FaultError if it is over each time."""
    for _ in range(_ATTEMPTS):
        _recreate(target)
        if _begun(target).state == "building":
            return
    raise _too_few(target)


def stop_build(target: Target) -> list[Key]:
    """Drop the view, create it anew, and stop its build in the middle: the keys that the view lacks, at least one.

    FaultError if the build is over each time.
    """
    for least in _STOP_AT_PERCENT:
        _recreate(target)
        _wait_for(target, least)
        target.admin.stop_view_build()
        # A build may be stopped when all its rows are there, and only its status is not.
        if _stopped(target) and (lost := target.missing_keys()):
            return lost
    raise _too_few(target)


def definition_of(target: Target) -> str:
    """CQL that creates the view: the server's own text, which has every option of it, where our to_cql has none."""
    [row] = target.execute(f"DESCRIBE MATERIALIZED VIEW {target.view.cql_name}")
    return str(row[-1])


def _recreate(target: Target) -> None:
    definition = definition_of(target)
    target.execute(f"DROP MATERIALIZED VIEW {target.view.cql_name}")
    target.execute(definition)


def _begun(target: Target) -> ViewHealth:
    """The first state in which the server says that it has begun, or is done."""
    deadline = time.monotonic() + _BEGIN_S
    while time.monotonic() < deadline:
        health = view_health(target.reader, target.keyspace, target.view.name, ask_tasks=False)
        if health.state == "healthy" or any(node.status == "STARTED" for node in health.nodes):
            return health
        time.sleep(_POLL_S)
    raise FaultError(f"The build of {target.view.cql_name} did not begin within {_BEGIN_S:.0f} s.")


def _wait_for(target: Target, least: float) -> None:
    while (health := _begun(target)).state == "building" and (health.percent or 0.0) < least:
        time.sleep(_POLL_S)


def _stopped(target: Target) -> bool:
    deadline = time.monotonic() + _BEGIN_S
    while time.monotonic() < deadline:
        health = view_health(target.reader, target.keyspace, target.view.name)
        if health.state == "healthy":
            return False
        if any(node.running is False for node in health.nodes):
            return True
    raise FaultError(f"The build of {target.view.cql_name} does not stop.")


def _too_few(target: Target) -> FaultError:
    return FaultError(
        f"The build of {target.view.cql_name} was over before it could be caught.",
        "The base has too few rows.",
    )
