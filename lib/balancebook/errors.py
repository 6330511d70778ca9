"""The errors that reach a person: one line of what is wrong, one of what to do, and an exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code says. 1 is left to a crash of Python itself, so fail and crash never share one."""

    PASS = 0
    USAGE = 2
    FAIL = 10
    UNKNOWN = 11
    BROKEN = 12
    INTERRUPTED = 130


class BalancebookError(Exception):
    """An error meant for a person. `message` names the input, `remedy` says what to do about it."""

    exit_code = ExitCode.UNKNOWN
    code = "error"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[object, ...]:
        # As it crosses from a worker process: by its fields, since its own arguments are not the exception's.
        return _again, (type(self), self.args, self.__dict__)


def _again(
    kind: type[BalancebookError], arguments: tuple[object, ...], values: dict[str, object]
) -> BalancebookError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(values)
    return error


class UsageError(BalancebookError):
    """A bad parameter, profile or command: nothing ran. `suggestion` is a likely intended value, if any."""

    exit_code = ExitCode.USAGE
    code = "usage"

    def __init__(
        self, message: str, remedy: str = "", *, parameter: str | None = None, suggestion: str | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.parameter = parameter
        self.suggestion = suggestion


class BrokenRun(BalancebookError):
    """A run that ended without an honest verdict: a cell raised, the kernel died, the disk is full."""

    exit_code = ExitCode.BROKEN
    code = "broken"


class NotThere(UsageError):
    """Something was named that is not there. Only what was asked of it has no answer: a page says so, and goes on."""
