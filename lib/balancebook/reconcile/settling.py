"""Confirming suspects one by one, within a time allowed: those of as many ranges as can be come first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from balancebook.reconcile.confirm import Confirmation, Seen, settle
from balancebook.reconcile.draws import Suspect
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.lookup import GONE, MOST_FAILURES
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.values import Cells
from balancebook.store.errors import StoreError

_IN_FLIGHT = 16
_NO_TIME = "there was no time to read it again"


@dataclass
class Settling:
    """Reads suspects again, as every comparison does: both sides by key at LOCAL_QUORUM, twice, `grace_s` apart.

    gone: the server did not answer any more, and is not asked again.
    """

    rereader: Rereader
    grace_s: float
    sleep: Callable[[float], None]
    gone: bool = False
    _failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def confirmed(
        self, suspects: Mapping[Cells, Suspect], most: int, until: float
    ) -> dict[Cells, Confirmation]:
        """What became of each. The first `most` are read again, the others and what there is no time for are UNKNOWN.

        `until`, by time.monotonic(), is overrun by one request timeout at the most.
        """
        if not suspects:
            return {}
        asked = dict(list(suspects.items())[:most])
        # Both readings take as long, with the grace in between.
        between = time.monotonic() + max(0.0, until - time.monotonic() - self.grace_s) / 2
        before = self._observed(asked, between)
        readable = {key: asked[key] for key, seen in before.items() if not isinstance(seen, str)}
        if readable:
            self.sleep(self.grace_s)
        after = self._observed(readable, until)
        beyond = f"more than {most:,} rows look wrong: the others were not read again"
        return {
            key: _settled(suspect, before.get(key, beyond), after.get(key, ""))
            for key, suspect in suspects.items()
        }

    def _observed(self, suspects: Mapping[Cells, Suspect], until: float) -> dict[Cells, Seen | str]:
        """The cells on both sides, or why they could not be read."""
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="confirm") as pool:
            seen = pool.map(partial(self._observe, until), suspects.keys(), suspects.values())
            return dict(zip(suspects, seen, strict=True))

    def _observe(self, until: float, key: Cells, suspect: Suspect) -> Seen | str:
        cells: list[Cells | None] = []
        for side in (0, 1):
            if self.gone or self._failures >= MOST_FAILURES:
                return GONE
            if time.monotonic() >= until:
                return _NO_TIME
            raw = suspect.raw[side] or suspect.raw[1 - side] or ()
            try:
                row = self.rereader.by_key(side, raw, key)
            except StoreError as error:
                with self._lock:
                    self._failures += 1
                return str(error)
            cells.append(row.cells if row else None)
        with self._lock:
            self._failures = 0
        return cells[0], cells[1]


def _settled(suspect: Suspect, before: Seen | str, after: Seen | str) -> Confirmation:
    if isinstance(before, str) or isinstance(after, str):
        unread = before if isinstance(before, str) else str(after)
        return Confirmation(Kind.UNKNOWN, suspect.seen, unread)
    return settle(before, after)
