"""A server that does not let one read, stands still, or is dead: nothing passes, and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.demo.node import Node
from balancebook.demo.schema import create_schema
from balancebook.profile import Limits, Secret
from balancebook.settings import Profile, retarget
from balancebook.store.connect import close, connect
from balancebook.verdict import Result, Verdict
from checking import GRACE_S, NOBODY, THREE_ASSETS, Ask, behind, booker
from scripted_gateway import by_target, entries, entry, http, serving

KEYSPACE = "k"
_USER: dict[str, Any] = {"user_id": THREE_ASSETS}
_NOBODY: dict[str, Any] = {"unknown_user_id": NOBODY}
QUESTIONS: dict[str, dict[str, Any]] = {
    "V001": {},
    "V002": {},
    "V003": {},
    "V004": {},
    "V005": {},
    "Q001": {"strategy": "group_by"} | _USER,
    "Q002": {"strategy": "group_by"} | _NOBODY,
    "Q003": {"strategy": "group_by"} | _USER,
    "G001": {},
    "G003": _USER,
    "G004": _USER | _NOBODY,
    "G006": _USER,
}
# Without a GRANT everybody may read the schema.
OF_THE_SCHEMA = {"V001", "V002"}
OF_THE_BUILD = {"V003", "G001"}
# Each way to read once: a paused server costs every read its timeout.
OF_EACH_WAY = ("V001", "V003", "V004", "V005", "Q001", "G001")


def _secret(folder: Path, password: str) -> Secret:
    path = folder / f"{password}.txt"
    path.write_text(password)
    return Secret(kind="file", value=str(path))


def _prepared(admin: Profile) -> None:
    """A ledger of one row, and a role that may log in and nothing else."""
    patient = admin.limits.model_copy(update={"request_timeout_s": 30.0})
    session = connect(admin.model_copy(update={"limits": patient}))
    create_schema(session.execute, KEYSPACE, indexes=False)
    booker(session, KEYSPACE)((THREE_ASSETS, 1, 1, 9100 * 10**8, 0))
    session.execute("CREATE ROLE reader WITH LOGIN = true AND PASSWORD = 'secret'")
    close(session)


def _granted(admin: Profile, *statements: str) -> None:
    session = connect(admin)
    for statement in statements:
        session.execute(statement)
    close(session)


def _eventually_passes(ask: Ask, profile: Profile, code: str) -> None:
    """The server keeps for some seconds what a role may do."""
    deadline = time.monotonic() + 30
    while (result := ask(code, profile, **QUESTIONS[code])).verdict is not Verdict.PASS:
        assert time.monotonic() < deadline, result
        time.sleep(0.3)


def _within(ctx: Context, code: str, seconds: float) -> Result:
    began = time.monotonic()
    result = CHECKS[code].run(ctx, **QUESTIONS[code])
    assert time.monotonic() - began < seconds, result
    return result


@pytest.mark.e2e
@pytest.mark.check("V003", "unknown")
@pytest.mark.check("V004", "unknown")
@pytest.mark.check("V005", "unknown")
@pytest.mark.check("Q001", "unknown")
@pytest.mark.check("Q002", "unknown")
@pytest.mark.check("Q003", "unknown")
@pytest.mark.check("G001", "unknown")
@pytest.mark.check("G003", "unknown")
@pytest.mark.check("G004", "unknown")
@pytest.mark.check("G006", "unknown")
def test_no_grant_then_paused_then_dead(
    ask: Ask, disposable: Callable[..., Node], profile_of: Callable[..., Profile], tmp_path: Path
) -> None:
    node = disposable(auth=True)
    quick = {"limits": Limits(request_timeout_s=1.0, connect_timeout_s=2.0), "grace_s": GRACE_S}
    admin = profile_of(node, username="cassandra", password=_secret(tmp_path, "cassandra"), **quick)
    _prepared(admin)
    # It needs no database: what it says is right, and still nothing passes.
    gateway = by_target(
        {
            "/health": http('{"status":0,"msg":"Healthy"}'),
            f"/api/user/balance?user_id={THREE_ASSETS}": entries(entry()),
        },
        entries(),
    )
    with serving(gateway) as url:
        profile = profile_of(node, username="reader", password=_secret(tmp_path, "secret"), **quick)
        profile = behind(retarget(profile, keyspace=KEYSPACE), url)
        for code, params in QUESTIONS.items():
            result = ask(code, profile, **params)
            expected = Verdict.PASS if code in OF_THE_SCHEMA else Verdict.UNKNOWN
            assert result.verdict is expected, result
            assert code in OF_THE_SCHEMA or "GRANT SELECT ON " in result.message, result

        _granted(admin, f"GRANT SELECT ON {KEYSPACE}.balance_ledger TO reader")
        for code in QUESTIONS.keys() - OF_THE_BUILD:
            _eventually_passes(ask, profile, code)
        assert (
            "GRANT SELECT ON system_distributed.view_build_status TO reader" in ask("V003", profile).message
        )
        _granted(admin, "GRANT SELECT ON system_distributed.view_build_status TO reader")
        for code in OF_THE_BUILD:
            _eventually_passes(ask, profile, code)

        opened = Context(profile)
        assert opened.view
        node.pause()
        for code in OF_EACH_WAY:
            assert _within(opened, code, seconds=15).verdict is Verdict.UNKNOWN, code
        node.kill()
        for code in QUESTIONS:
            assert _within(opened, code, seconds=15).verdict is Verdict.UNKNOWN, code
        opened.close()
        for code, params in QUESTIONS.items():
            assert ask(code, profile, **params).verdict is Verdict.UNKNOWN, code
