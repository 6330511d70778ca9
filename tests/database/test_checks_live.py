"""A writer at full speed in the same ledger: no false alarm, and a real fault is found meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cassandra.cluster import ResponseFuture, Session

from balancebook.demo.faults import Injector
from balancebook.demo.schema import LEDGER
from balancebook.settings import Profile
from balancebook.verdict import Verdict
from checking import THREE_ASSETS, WHOLE, Ask, behind
from gateway_process import running_gateway

_SECONDS = 4.0
_IN_FLIGHT = 8
_ACCOUNTS = [(user, asset) for user in range(THREE_ASSETS, THREE_ASSETS + 5) for asset in (1, 2, 3)]


class _Writer:
    """Books row after row, for the user under test too, until it is told to stop."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._insert = session.prepare(
            f"INSERT INTO {keyspace}.{LEDGER} (user_id, asset_id, seq, avail, frozen, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._rows = ((*account, seq) for seq in itertools.count(1) for account in _ACCOUNTS)
        self._stop = threading.Event()
        self.written = 0

    def write(self) -> None:
        under_way: deque[ResponseFuture] = deque()
        for user, asset, seq in self._rows:
            under_way.append(
                self._session.execute_async(self._insert, (user, asset, seq, seq * WHOLE, seq, seq))
            )
            if len(under_way) == _IN_FLIGHT:
                under_way.popleft().result()
                self.written += 1
            if self._stop.is_set():
                break
        for future in under_way:
            future.result()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self.write)
        thread.start()
        try:
            while self.written < len(_ACCOUNTS):
                time.sleep(0.01)
            yield
        finally:
            self._stop.set()
            thread.join()


def _dated_back(seconds: int) -> str:
    return f"USING TIMESTAMP {(time.time_ns() - seconds * 10**9) // 1000}"


@pytest.mark.check("V004", "pass")
@pytest.mark.check("V005", "pass")
@pytest.mark.check("V005", "fail")
@pytest.mark.check("Q001", "pass")
@pytest.mark.check("Q003", "pass")
@pytest.mark.check("G003", "pass")
def test_a_writer_at_full_speed(ask: Ask, alone: Profile, session: Session, inject: Injector) -> None:
    writer = _Writer(session, alone.keyspace)
    with running_gateway(alone.port, "--keyspace", alone.keyspace) as client, writer.at_work():
        profile = behind(alone, client.base_url)
        user = {"user_id": THREE_ASSETS}
        until, rounds = time.monotonic() + _SECONDS, 0
        while time.monotonic() < until or rounds < 2:
            rounds += 1
            for strategy in ("group_by", "in_assets"):
                for code in ("Q001", "Q003"):
                    result = ask(code, profile, strategy=strategy, **user)
                    assert result.verdict is Verdict.PASS, result
            for code, params in (("G003", user), ("V004", {}), ("V005", {})):
                result = ask(code, profile, **params)
                assert result.verdict is Verdict.PASS, result
        assert writer.written > 20 * rounds, "hardly anything was written meanwhile"

        insert = (
            f"INSERT INTO {{table}} (user_id, asset_id, seq, avail) VALUES (7, 1, 1, 1) {_dated_back(3600)}"
        )
        inject.import_cells(LEDGER, [(insert, ())])
        before, found = writer.written, ask("V005", profile)
        assert writer.written > before
    assert found.verdict is Verdict.FAIL
    assert [found.counts[kind] for kind in ("LOST", "MISMATCH", "ORPHAN", "UNKNOWN")] == [1, 0, 0, 0]
    assert found.samples[0]["key"] == "user_id=7, asset_id=1, seq=1"
