"""A file that is named for an extract: looked at before anything runs, and before a scan."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from balancebook.core.short_text import shortened
from balancebook.errors import UsageError
from balancebook.explore.extract import METADATA_KEY, Origin

_SHOWN = 200


def usable_path(given: str) -> Path:
    """The path of an extract that can be read, or can be written where nothing is yet.

    Raises UsageError for a URL, a folder, a device, a FIFO, a file that is not an extract, and a place where no file
    can be made.
    """
    if "://" in given:
        raise _refused(given, "is a URL; an extract is a local file", "Name a file.")
    try:
        path = Path(given).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError:
        _require_writable(given, path)
        return path
    except RuntimeError as error:
        raise _refused(given, "begins with a ~ that names no home folder", "Write the whole path.") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a path"
        raise _refused(given, f"cannot be used: {why}", "Name another file.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise _refused(given, f"is {kind}", "Name a file.")
    origin_of(path)
    return path


def origin_of(path: Path) -> Origin:
    """Where an extract comes from, as its file's metadata say. Raises UsageError if it is not an extract."""
    try:
        return Origin(**json.loads((pq.read_schema(path).metadata or {})[METADATA_KEY]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise _refused(
            str(path),
            f"is not an extract of balances ({type(error).__name__})",
            "Name one that balance_explorer wrote, or a file that is not there yet.",
        ) from error


def require_origin(path: Path, keyspace: str, base: str, as_of: str | None) -> None:
    """Raises UsageError if there is a file, and it is of another table, or of another time (as utc_text writes it)."""
    if not path.exists():
        return
    origin = origin_of(path)
    if (origin.keyspace, origin.table) != (keyspace, base):
        raise _refused(
            str(path),
            f"is an extract of {origin.keyspace}.{origin.table}, not of {keyspace}.{base}",
            "Name another file, or the keyspace it is of.",
        )
    if as_of is not None and origin.as_of != as_of:
        raise _refused(
            str(path),
            f"is as of {origin.as_of or 'when it was read'}, not {as_of}",
            "Leave out as_of, or name another file.",
        )


def _require_writable(given: str, path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise _refused(
            given, f"cannot be written: {folder} is not a folder", "Make it, or name another file."
        )
    try:
        # Tried, since permissions do not tell of a read-only or virtual file system.
        tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name[:50]}.").close()
    except OSError as error:
        raise _refused(given, f"cannot be written: {error.strerror}", "Name another file.") from error


def _refused(given: str, why: str, remedy: str) -> UsageError:
    return UsageError(f"extract {shortened(given, _SHOWN)!r} {why}.", remedy, parameter="extract")
