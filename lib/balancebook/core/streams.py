"""Streams of a command that never raise: what cannot be written is remembered, and the command goes on.

A reader that leaves (`balancebook run x | head`) or a full disk behind stdout says nothing about a verdict.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TextIO

__all__ = ["Outputs", "guard_outputs"]


class _Outlet(io.FileIO):
    """A file descriptor of which every write succeeds. `error` is the first one that did not."""

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        """The number of bytes taken, which is all of them once nothing can be written."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outputs:
    """The guarded stdout, None if the process has none."""

    stdout: _Outlet | None

    def lost(self) -> OSError | None:
        """Why stdout could not be written; None if all was written, or if its reader has left."""
        if self.stdout is None:
            return None
        sys.stdout.flush()
        error = self.stdout.error
        return None if isinstance(error, BrokenPipeError) else error


def guard_outputs() -> Outputs:
    """Replace sys.stdout and sys.stderr by streams on the same descriptors that never raise."""
    sys.stderr, _ = _guarded(sys.stderr)
    sys.stdout, outlet = _guarded(sys.stdout)
    return Outputs(outlet)


def _guarded(stream: TextIO | None) -> tuple[TextIO, _Outlet | None]:
    if stream is None or not isinstance(stream, io.TextIOWrapper):
        # The process was started without it.
        return stream, None  # type: ignore[return-value]
    stream.flush()
    outlet = _Outlet(stream.fileno(), "w", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )
    return text, outlet
