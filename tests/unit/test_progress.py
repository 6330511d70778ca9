"""Progress is shown in a terminal and nowhere where nobody looks; it leaves nothing behind, and breaks nothing."""

import fcntl
import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from balancebook.progress import Display, Step, Terminal, line_of, status, watched

_MARK = b"\0"


class Pty:
    """A terminal, and what was written to it."""

    def __init__(self, columns: int = 100) -> None:
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w")
        self.resize(columns)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def written(self) -> str:
        """What came since the last time. A terminal hands it over when it likes: all is there when the mark is."""
        os.write(self.stream.fileno(), _MARK)
        came = b""
        while not came.endswith(_MARK):
            came += os.read(self.master, 65536)
        return came.removesuffix(_MARK).decode()

    def hang_up(self) -> None:
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Pty]:
    opened = Pty()
    yield opened
    opened.stream.close()


class Clock:
    """A clock that tests move."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def screen_after(written: str) -> str:
    """What the last line of a terminal shows."""
    line: list[str] = []
    for part in written.split("\r"):
        line[: len(part)] = part
    assert "\n" not in written
    return "".join(line).rstrip()


def test_a_line_tells_pace_and_time_left() -> None:
    assert line_of(Step(16, 64, 50_000), 10) == "16/64 ranges, 50,000 rows, 5,000 rows/s, 30 s left"
    second = Step(1, 4, 7, pass_number=2, note="comparing", unit="partitions")
    assert line_of(second, 100) == "comparing, pass 2, 1/4 partitions, 7 rows, 0 rows/s, 5 min 00 s left"
    assert line_of(Step(1, 10_001, 1), 60).endswith("166 h 40 min left")
    assert line_of(Step(0, 64, 0), 10) == "0/64 ranges, 0 rows"
    assert line_of(Step(64, 64, 100), 10) == "64/64 ranges, 100 rows, 10 rows/s"


def test_nothing_before_a_second_then_one_line_that_is_cleared(terminal: Pty, clock: Clock) -> None:
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 0.9
        show(Step(1, 64, 1000))
        assert terminal.written() == ""
        clock.now += 1.1
        show(Step(2, 64, 2000))
        first = terminal.written()
        assert screen_after(first) == "2/64 ranges, 2,000 rows, 1,000 rows/s, 1 min 02 s left"
        clock.now += 98
        show(Step(50, 64, 200_000, note="view"))
        second = terminal.written()
        assert screen_after(first + second) == "view, 50/64 ranges, 200,000 rows, 2,020 rows/s, 29 s left"
        show(Step(51, 64, 201_000))
        assert terminal.written() == ""
        clock.now += 0.5
        show(Step(64, 64, 9))
        third = terminal.written()
        assert screen_after(first + second + third) == "64/64 ranges, 9 rows, 0 rows/s"
    assert screen_after(first + second + third + terminal.written()) == ""


def test_a_run_of_less_than_a_second_writes_nothing(terminal: Pty, clock: Clock) -> None:
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 0.5
        show(Step(64, 64, 10))
    assert terminal.written() == ""


def test_a_pass_is_timed_from_its_own_beginning(terminal: Pty, clock: Clock) -> None:
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 50
        show(Step(64, 64, 5000))
        terminal.written()
        clock.now += 10
        show(Step(16, 64, 1000, pass_number=2))
        assert "pass 2, 16/64 ranges, 1,000 rows, 100 rows/s, 30 s left" in terminal.written()


def test_a_narrow_terminal_is_never_wrapped(clock: Clock) -> None:
    terminal = Pty(columns=20)
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 2
        show(Step(2, 64, 2000, note="a\nb\r" + "x" * 300))
        assert terminal.written() == "\ra b " + "x" * 15
        terminal.resize(10)
        clock.now += 2
        show(Step(3, 64, 3000))
        assert len(terminal.written()) == 10
    assert terminal.written() == "\r" + " " * 9 + "\r"
    terminal.stream.close()


def test_a_terminal_that_goes_away_does_not_end_the_run(terminal: Pty, clock: Clock) -> None:
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 2
        show(Step(1, 64, 1000))
        terminal.hang_up()
        for done in range(2, 5):
            clock.now += 2
            show(Step(done, 64, 1000))
    read, write = os.pipe()
    os.close(read)

    class Gone:
        def show(self, line: str) -> None:
            os.write(write, line.encode())

        def clear(self) -> None:
            raise AssertionError("a screen that is gone is left alone")

    with Display(Gone(), clock=clock) as show:
        clock.now += 2
        show(Step(1, 64, 1000))
    os.close(write)


def test_an_error_of_the_run_goes_on_and_leaves_a_clear_line(terminal: Pty, clock: Clock) -> None:
    with pytest.raises(KeyError), Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 2
        show(Step(1, 64, 1000))
        raise KeyError("of the run")
    assert screen_after(terminal.written()) == ""


def test_only_a_terminal_is_watched(terminal: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    assert isinstance(watched(), Terminal)
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert watched() is None


def test_a_log_gets_a_line_every_ten_seconds_and_why_it_is_slow(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with status(lambda: "throttled to 5,000 rows/s: balance queries are slow"), Display(clock=clock) as show:
        said = show.above(lambda line: print(line, file=log))
        for second in range(25):
            show(Step(second, 100, 5000 * second))
            clock.now += 1
            if second == 15:
                said("a remark")
    assert log.getvalue().splitlines() == [
        "10/100 ranges, 50,000 rows, 5,000 rows/s, 1 min 30 s left; "
        "throttled to 5,000 rows/s: balance queries are slow",
        "a remark",
        "20/100 ranges, 100,000 rows, 5,000 rows/s, 1 min 20 s left; "
        "throttled to 5,000 rows/s: balance queries are slow",
    ]


def test_rate_and_time_left_are_those_of_the_latest_half_minute(terminal: Pty, clock: Clock) -> None:
    with Display(Terminal(terminal.stream), clock=clock) as show:
        clock.now += 10
        show(Step(500, 1000, 5_000_000))
        for second in range(60):
            clock.now += 1
            show(Step(500 + second // 2, 1000, 5_000_000 + 5000 * second))
    assert "529/1,000 ranges, 5,295,000 rows, 5,000 rows/s, 16 min 13 s left" in terminal.written()


def test_a_notebook_that_a_program_runs_shows_nothing() -> None:
    source = """\
from balancebook.progress import Display, Step
clock = iter([0, *range(10, 20)])
with Display(clock=lambda: next(clock)) as show:
    show(Step(1, 64, 1000))
    assert get_ipython().kernel and show._screen is None
"""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    notebook: Any = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})  # type: ignore[no-untyped-call]
    NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[0].outputs == []
