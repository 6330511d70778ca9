"""Whether a file or folder can be written, found out before anything is read; and what it means if it cannot."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from balancebook.errors import BalancebookError, BrokenRun, UsageError

# Another path does not help, or nobody can know whether it would: the machine is at its end, not the path wrong.
_EXHAUSTED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
_PROBE = ".balancebook-"


def reason_of(error: OSError) -> str:
    """The system's words for it; not every library fills them in."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def unwritable(message: str, error: OSError, remedy: str, *, parameter: str | None) -> BalancebookError:
    """The error for a path that cannot be written: `message` (the beginning of a sentence), and the system's reason.

    UsageError for a path that is wrong, BrokenRun where the disk is full or the like.
    """
    text = f"{message}: {reason_of(error)}."
    if error.errno in _EXHAUSTED:
        return BrokenRun(text, "Make room there, or name another place.")
    return UsageError(text, remedy, parameter=parameter)


def aside_of(path: Path) -> Path:
    """The file beside `path` in which its content is made before it takes that place."""
    return path.with_name(f".{path.name}.{os.getpid()}.aside")


_NAME_A_FILE = "Name a file in a folder that exists and can be written to."


def require_writable_file(
    path: Path, parameter: str, *, message: str = "", remedy: str = _NAME_A_FILE
) -> None:
    """Raises UsageError (BrokenRun if the disk is full) unless a file can be put there, in place of one of that name.

    It asks the file system itself: permission bits say nothing for root, or of /proc.
    """
    message = message or f"{path} cannot be written"
    try:
        if not path.name or path.is_dir():
            raise UsageError(f"{message}: it is a folder.", remedy, parameter=parameter)
        if path.exists() and not path.is_file():
            raise UsageError(f"{message}: it is not a regular file.", remedy, parameter=parameter)
        aside = aside_of(path)
        aside.open("wb").close()
        aside.unlink()
    except OSError as error:
        raise unwritable(message, error, remedy, parameter=parameter) from error


def require_writable_folder(path: Path, what: str, parameter: str) -> None:
    """Raises UsageError (BrokenRun if the disk is full) unless folders can be made in `path`, which may not exist yet.

    `what` is kept there, for the message. Nothing is left behind.
    """
    absolute = path.absolute()
    try:
        existing = next(folder for folder in (absolute, *absolute.parents) if os.path.lexists(folder))
        Path(tempfile.mkdtemp(prefix=_PROBE, dir=existing)).rmdir()
    except OSError as error:
        raise unwritable(
            f"{what} cannot be kept in {path}",
            error,
            f"Name a folder that can be written to with --{parameter}.",
            parameter=parameter,
        ) from error
