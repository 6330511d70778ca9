"""numba: from functions to machine code. Imported by what is compiled, and by machine_code when it has to be."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
from numba import types
from numba.np.numpy_support import carray

from balancebook.sketch.machine_code import Kernel

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """A function for numba: it raises nothing and allocates nothing."""
    compiled: Any = numba.njit(error_model="numpy")(function)
    return cast(Function, compiled)


def part(function: Function) -> Function:
    """The function compiled into the kernels that call it."""
    compiled: Any = numba.njit(forceinline=True, error_model="numpy")(function)
    return cast(Function, compiled)


def object_code(declared: Kernel, machine: Any) -> bytes:
    """An object file with the kernel as a C function of its name: of each array its address, then its shape."""
    entry = _entry(declared)
    module = llvm.parse_assembly(entry.inspect_llvm())
    for function in module.functions:
        if not function.is_declaration and function.name != entry.native_name:
            function.linkage = "internal"
    module.get_function(entry.native_name).name = declared.name
    # As nothing else is called from outside, what numba adds to raise and to count references is seen to be unused. The
    # code itself is optimized already.
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    needed = [each.name for each in module.functions if each.is_declaration]
    if foreign := [name for name in needed if not name.startswith("llvm.")]:
        raise TypeError(f"{declared.name} raises or allocates: it needs {', '.join(foreign)}.")
    return bytes(machine.emit_object(module))


def _entry(declared: Kernel) -> Any:
    """The kernel as numba's C callback."""
    function = getattr(importlib.import_module(f"balancebook.sketch.{declared.module}"), declared.name)
    signature: list[Any] = []
    taken, passed = [], []
    for number, (dtype, dimensions) in enumerate(declared.arguments):
        kind, name = numba.from_dtype(dtype), f"a{number}"
        shape = [f"{name}_{axis}" for axis in range(dimensions)]
        pointer = types.CPointer(kind)  # type: ignore[no-untyped-call]
        signature += [pointer, *[types.int64] * dimensions] if dimensions else [kind]
        taken += [name, *shape]
        passed.append(f"carray({name}, ({', '.join(shape)},))" if dimensions else name)
    source = f"lambda {', '.join(taken)}: function({', '.join(passed)})"
    entry = eval(source, {"function": function, "carray": carray})  # noqa: S307 (made of names and numbers)
    return numba.cfunc(types.int64(*signature), error_model="numpy")(entry)
