"""How far a long reading has come, and why it is not faster.

A terminal gets one line, rewritten in place; a cell that a person runs (JupyterLab) an output that is updated; a pipe
or a log a line every ten seconds. A notebook run by a program (papermill, nbclient, nbval) gets nothing: there it would
be drift.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

AFTER_S = 1.0
EVERY_S = 0.2
LOG_EVERY_S = 10.0
# Rate and time left are those of the latest half minute: a scan may be held back, and let go again.
_RECENT_S = 30.0
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Step:
    """How far one pass over the data is: `done` of `total` parts, `rows` read in this pass so far.

    unit: what the parts are. pass_number counts from 1; one that is higher, or other parts, begin a new pass.
    """

    done: int
    total: int
    rows: int
    pass_number: int = 1
    note: str = ""
    unit: str = "ranges"


_statuses: list[Callable[[], str]] = []


@contextmanager
def status(says: Callable[[], str]) -> Iterator[None]:
    """Within the block, what `says` returns ends every line of progress: why the reading is not faster."""
    _statuses.append(says)
    try:
        yield
    finally:
        _statuses.remove(says)


class Screen(Protocol):
    """Where a line can be shown, replaced and taken away. OSError and ValueError say that nobody sees it any more."""

    def show(self, line: str) -> None:
        """Show the line in place of the one before."""

    def clear(self) -> None:
        """Leave nothing behind."""


class Display:
    """Shows steps while it is entered; call it with each Step, from one thread.

    Nothing is shown in the first second, nor more than five times a second, and nothing is left at the end; a Log gets
    a line every ten seconds, which stays. It never raises: once the terminal is gone, it is silent.
    """

    def __init__(self, screen: Screen | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._began = clock()
        self._shown, self._shown_at = False, -math.inf
        self._recent: deque[tuple[float, int, int]] = deque()
        self._pass: tuple[int, int, str] | None = None
        self._pass_began = self._told_at = self._began

    def __enter__(self) -> Self:
        self._screen = self._screen or watched()
        self._began = self._pass_began = self._told_at = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen and self._shown:
            self._try(self._screen.clear)
        self._screen = None

    def __call__(self, step: Step) -> None:
        """Take note of a step, and show it if it is time to."""
        now = self._clock()
        if self._pass != (step.pass_number, step.total, step.unit):
            # A pass is first told of when its first part is done: it began where the one before ended.
            self._pass_began = self._told_at
            self._pass = step.pass_number, step.total, step.unit
            self._recent = deque([(self._pass_began, 0, 0)])
        self._told_at = now
        self._recent.append((now, step.done, step.rows))
        while self._recent[1][0] < now - _RECENT_S:
            self._recent.popleft()
        after, every = (LOG_EVERY_S,) * 2 if isinstance(self._screen, Log) else (AFTER_S, EVERY_S)
        due = now - self._began >= after and now - self._shown_at >= every
        if self._screen and due:
            self._shown, self._shown_at = True, now
            says = "; ".join(said for each in _statuses if (said := each()))
            since, done, rows = self._recent[0]
            latest = now - since, step.done - done, step.rows - rows
            screen, line = self._screen, line_of(step, now - self._pass_began, latest, says)
            self._try(lambda: screen.show(line))

    def above(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say`, which leaves no part of a shown line beside its own."""

        def said(line: str) -> None:
            if self._screen and self._shown:
                self._try(self._screen.clear)
                self._shown = False
            say(line)

        return said

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, ValueError):
            # The terminal was closed: what it should have shown is no reason to lose the run.
            self._screen = None


def line_of(
    step: Step, elapsed_s: float, latest: tuple[float, int, int] | None = None, says: str = ""
) -> str:
    """The words for a step of a pass that began `elapsed_s` seconds ago. ASCII, but for the note and what `says` says.

    latest: (seconds, parts, rows) of the latest while, by which the rate and the time left are told; if no part was
    done in it, the time left is told by the whole pass.
    """
    seconds, done, rows = latest or (elapsed_s, step.done, step.rows)
    part_s = seconds / done if done > 0 else elapsed_s / max(1, step.done)
    parts = [f"{step.done:,}/{step.total:,} {step.unit}", f"{step.rows:,} rows"]
    if seconds > 0 and step.rows:
        parts.append(f"{max(0, rows) / seconds:,.0f} rows/s")
    if elapsed_s > 0 and 0 < step.done < step.total:
        parts.append(f"{_duration(part_s * (step.total - step.done))} left")
    if step.pass_number > 1:
        parts.insert(0, f"pass {step.pass_number}")
    line = ", ".join([step.note, *parts] if step.note else parts)
    return f"{line}; {says}" if says else line


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


class Terminal:
    """One line of a terminal. Spaces erase it, which every terminal understands."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._length = 0

    def show(self, line: str) -> None:
        """Show the line, cut to the terminal's width as it is now."""
        # One less: in the last column the cursor would go to the next line.
        cut = " ".join(line.split())[: max(0, self._columns() - 1)]
        self._write(cut.ljust(min(self._length, self._columns() - 1)))
        self._length = len(cut)

    def clear(self) -> None:
        """Erase the line, and go back to its beginning."""
        self._write(" " * min(self._length, self._columns() - 1))
        self._stream.write("\r")
        self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text}")
        self._stream.flush()

    def _columns(self) -> int:
        # A terminal that does not know its width says 0.
        return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH


class Log:
    """A stream that keeps every line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, line: str) -> None:
        """Write the line."""
        self._stream.write(f"{' '.join(line.split())}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Nothing: what is written stays."""


class Cell:
    """An output of the notebook cell that runs now."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, line: str) -> None:
        """Show the line in the cell's output, or in place of what this one shows there."""
        if self._handle is None:
            from IPython.display import display  # noqa: PLC0415 (it is loaded already where there is a cell)

            self._handle = display({"text/plain": line}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update({"text/plain": line}, raw=True)

    def clear(self) -> None:
        """Empty the output. An output cannot be taken away alone."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)


def watched() -> Screen | None:
    """Where progress is shown: to the person who watches this process, in its log, or nowhere."""
    kernel = _kernel()
    if kernel is not None:
        # Front ends with a person before them say so by allow_stdin; nbclient (and papermill) and nbval send false.
        return Cell() if getattr(kernel, "_allow_stdin", False) else None
    stream = sys.stderr
    try:
        if stream is None:
            return None
        return Terminal(stream) if stream.isatty() else Log(stream)
    except ValueError:
        # A closed stream.
        return None


def _kernel() -> Any:
    """The kernel that this process is, or None."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None)
