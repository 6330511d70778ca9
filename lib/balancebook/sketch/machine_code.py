"""The kernels as machine code, kept on disk. numba compiles each of them once for a machine and is imported for nothing
else: it would be a good part of the CPU of a command's start.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from platformdirs import user_cache_dir

from balancebook.record import whole

_DIGEST_BYTES = 32
_INT64, _POINTER = ctypes.c_int64, ctypes.c_void_p
_SCALARS = {np.dtype("i8"): ctypes.c_int64, np.dtype("u8"): ctypes.c_uint64}
# What is compiled or loaded is so once, and LLVM is asked by one thread at a time.
_lock = threading.Lock()
# The code is in their memory.
_engines: list[Any] = []


class Kernel:
    """A function of another module of this package, written for numba (see compiler.kernel), called from Python.

    function: "module.function"; it returns a whole number, raises nothing and allocates nothing. arguments: what it
    takes, as dtypes: "i8" and "u8" are numbers, "u1[:]" and "u8[:,:]" arrays, contiguous. The GIL is released while it
    runs.
    """

    def __init__(self, function: str, arguments: str) -> None:
        self.module, self.name = function.split(".")
        self.arguments = [_argument(each) for each in arguments.split()]
        self._native: Callable[..., int] | None = None

    def __call__(self, *given: Any) -> int:
        """What it returns. Raises TypeError for what is not as declared: the machine code would not notice."""
        native = self._native or self._loaded()
        words: list[Any] = []
        for value, (dtype, dimensions) in zip(given, self.arguments, strict=True):
            if not dimensions:
                words.append(value)
                continue
            if value.dtype != dtype or value.ndim != dimensions or not value.flags.c_contiguous:
                raise TypeError(f"{self.name} takes a contiguous array of {dtype}, {dimensions} dimensions.")
            words.append(value.__array_interface__["data"][0])
            words += value.shape
        return native(*words)

    def _loaded(self) -> Callable[..., int]:
        with _lock:
            if self._native is None:
                types: list[Any] = []
                for dtype, dimensions in self.arguments:
                    types += [_POINTER] + [_INT64] * dimensions if dimensions else [_SCALARS[dtype]]
                address = _load(self._object_code(), self.name)
                self._native = ctypes.CFUNCTYPE(_INT64, *types)(address)
            return self._native

    def _object_code(self) -> bytes:
        path = kernel_folder() / f"{self.name}.o"
        code = _kept(path)
        if code is None:
            # Takes a second to import, and seconds to work.
            from balancebook.sketch.compiler import object_code  # noqa: PLC0415

            code = object_code(self, machine())
            _keep(path, code)
        return code


def _argument(declared: str) -> tuple[np.dtype[Any], int]:
    return np.dtype(declared.split("[", maxsplit=1)[0]), declared.count(":")


def kernel_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of the machine code, below BALANCEBOOK_CACHE or the user's cache.

    Its name holds a digest of all that the code depends on: this package's sources, what compiled it, the processor.
    """
    own = env.get("BALANCEBOOK_CACHE")
    root = Path(own).expanduser().absolute() if own else Path(user_cache_dir("balancebook"))
    return root / "kernels" / _origin()


@cache
def _origin() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    features = llvm.get_host_cpu_features().flatten()
    versions = [metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    digest.update(repr([*versions, llvm.get_process_triple(), llvm.get_host_cpu_name(), features]).encode())
    return digest.hexdigest()[:16]


@cache
def machine() -> Any:
    """This machine, as LLVM writes code for it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, codemodel="jitdefault", jit=True
    )


def _load(code: bytes, name: str) -> int:
    """The address of a function of the object code."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(name))


def _kept(path: Path) -> bytes | None:
    """The code in a file, or None if it is not there in full."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, code = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _keep(path: Path, code: bytes) -> None:
    """Write it for the next process, if files can be made there; if not, each compiles for itself."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may be at it.
        with whole(path) as aside:
            aside.write_bytes(hashlib.sha256(code).digest() + code)
