"""From a fault of the ledger to what `balancebook run ledger_audit` says of it, and to its undo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from balancebook.assets import label
from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.demo.faults import command
from balancebook.demo.faults.journal import Fault
from balancebook.demo.faults.kinds import KINDS, FaultKind
from balancebook.settings import Profile, retarget
from balancebook.verdict import Result
from checking import GRACE_S, run_check
from e2e.commands import HANGS_S
from small_exchange import filled

BROKEN = [each for each in KINDS.values() if each.of_ledger]
# A balance that does not add up, and half a trade, are missed by the sums too.
CODES = [f"L00{number}" for number in range(1, 8)]
ALSO = {"ledger_sum": {"L007"}, "ledger_trade": {"L007"}}


@pytest.fixture(scope="module")
def damaged(session: Session, profile: Profile) -> Profile:
    """A small ledger for faults that are undone."""
    name = f"damaged_ledger_{os.getpid()}"
    filled(session, name)
    return retarget(profile, keyspace=name)


def audited(profile: Profile, environment: dict[str, str], out: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and record of the notebook on that ledger."""
    arguments = ["run", "ledger_audit", "-p", f"keyspace={profile.keyspace}", "--out", str(out), "--json"]
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", "balancebook.cli", *arguments],
        env=environment | {"BALANCEBOOK_GRACE_S": str(GRACE_S)},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS_S,
    )
    return done.returncode, json.loads(done.stdout)


def asked(profile: Profile) -> dict[str, Result]:
    """What each check of the notebook says, by one audit."""
    ctx = Context(profile.model_copy(update={"grace_s": GRACE_S}))
    try:
        return {code: CHECKS[code].run(ctx) for code in CODES}
    finally:
        ctx.close()


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.name)
def test_a_fault_of_the_ledger_is_named_exactly(
    damaged: Profile, environment: dict[str, str], kind: FaultKind
) -> None:
    """Each finds the ledger whole again, as the undo of the one before has left it."""
    fault = command.inject(kind.name, damaged, options={"rows": 3}, env=environment)
    found = asked(damaged)
    command.undo(damaged, env=environment)
    failing = {str(kind.found_as)} | ALSO.get(kind.name, set())
    assert {each for each, result in found.items() if result.verdict == "fail"} == failing
    assert {result.verdict.value for each, result in found.items() if each not in failing} == {"pass"}
    _are_those_injected(found[str(kind.found_as)].samples, fault, damaged)


def _are_those_injected(samples: Sequence[Mapping[str, Any]], fault: Fault, place: Profile) -> None:
    keys = [each["key"] for each in fault.injected]
    assert sorted((each["account"], each["entry"]) for each in samples) == sorted(
        (key["user_id"], key["seq"]) for key in keys
    )
    assert {each["asset"] for each in samples} == {label(key["asset_id"], place.registry) for key in keys}
    assert all(each["expected"] and each["found"] and each["expected"] != each["found"] for each in samples)


def test_the_notebook_fails_and_undone_it_passes(
    damaged: Profile, environment: dict[str, str], tmp_path: Path
) -> None:
    fault = command.inject("ledger_sum", damaged, options={"rows": 3}, env=environment)
    code, record = audited(damaged, environment, tmp_path)
    command.undo(damaged, env=environment)
    assert code == 10, record["error"]
    named = next(result for result in record["results"] if result["code"] == "L001")
    _are_those_injected(named["samples"], fault, damaged)
    code, record = audited(damaged, environment, tmp_path)
    assert (code, record["verdict"]) == (0, "pass")
    assert sorted(each["code"] for each in record["results"]) == sorted(CODES)
    assert run_check("V005", damaged.model_copy(update={"grace_s": GRACE_S})).verdict == "pass"
