"""What may end a run early: Ctrl-C, SIGTERM, or its time limit. Each kills the kernel and is remembered.

Nothing is raised in the runner's own code: the executing client finds the kernel dead within a second and the
run ends on its ordinary path, with a record.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

Cause = Literal["interrupted", "timed_out"]
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Guard:
    """A context within which interruptions and the time limit stop the kernel that is being watched."""

    def __init__(self, timeout_s: float) -> None:
        self.cause: Cause | None = None
        self._stop: Callable[[], None] | None = None
        self._timer = threading.Timer(timeout_s, self._end, ("timed_out",))
        self._timer.daemon = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Guard:
        # Only the main thread may handle signals; a run in another thread is interrupted by its owner.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the run has to end; at once if it already has to."""
        self._stop = stop
        if self.cause:
            stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.cause == "interrupted":
            raise KeyboardInterrupt  # asked twice: leave without a record
        self._end("interrupted")

    def _end(self, cause: Cause) -> None:
        self.cause = self.cause or cause
        if self._stop:
            self._stop()
