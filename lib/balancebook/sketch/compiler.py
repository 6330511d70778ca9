"""numba, with compiled kernels kept on disk: compiling them takes seconds, loading them a fraction of one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from platformdirs import user_cache_dir

Function = TypeVar("Function", bound=Callable[..., object])


def kernel_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of the compiled kernels: NUMBA_CACHE_DIR, else one below BALANCEBOOK_CACHE or the user's cache.

    Its name holds a digest of this package's sources: numba looks for changes in a kernel's own file only, and would
    take an old kernel when a function that it calls, in another file, has changed.
    """
    if named := env.get("NUMBA_CACHE_DIR"):
        return Path(named)
    own = env.get("BALANCEBOOK_CACHE")
    root = Path(own).expanduser().absolute() if own else Path(user_cache_dir("balancebook"))
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return root / "kernels" / digest.hexdigest()[:16]


def writable(folder: Path) -> bool:
    """Whether files can be made there; the folder is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


_folder = kernel_folder()
# Without a place to keep them, kernels are compiled anew by each process.
_KEPT = writable(_folder)
if _KEPT:
    # numba reads it once, when it is imported.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_folder))

import numba  # noqa: E402
from numba.core import config  # noqa: E402

if _KEPT:
    # Somebody may have imported numba before.
    setattr(config, "CACHE_DIR", str(_folder))  # noqa: B010 (numba makes its settings at run time)


def kernel(function: Function) -> Function:
    """The function compiled by numba, called from Python: without Python objects, the GIL released."""
    compiled: Any = numba.njit(nogil=True, cache=_KEPT, error_model="numpy")(function)
    return cast(Function, compiled)


def part(function: Function) -> Function:
    """The function compiled into the kernels that call it."""
    compiled: Any = numba.njit(forceinline=True, error_model="numpy")(function)
    return cast(Function, compiled)
