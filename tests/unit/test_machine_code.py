"""Kernels as machine code: kept whole, made anew if not, and never with what could raise or allocate."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from balancebook.sketch.machine_code import Kernel, kernel_folder
from balancebook.sketch.sketch import key_lane

_USE = "import sys\nfrom balancebook.sketch.sketch import key_lane\nprint(key_lane([b'x'], 5), 'numba' in sys.modules)"


def told(cache: Path) -> list[str]:
    """The lane of a key, and whether numba was imported for it, in a process of its own."""
    env = os.environ | {"BALANCEBOOK_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", _USE], env=env, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.split()


def test_what_one_process_compiled_the_next_one_loads_without_numba(tmp_path: Path) -> None:
    lane = str(key_lane([b"x"], 5))
    assert told(tmp_path) == [lane, "True"]
    assert told(tmp_path) == [lane, "False"]
    (kept,) = kernel_folder({"BALANCEBOOK_CACHE": str(tmp_path)}).iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert told(tmp_path) == [lane, "True"]
    assert kept.stat().st_size == len(whole)
    assert list(kept.parent.iterdir()) == [kept]


def test_without_a_place_to_keep_them_kernels_still_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert told(tmp_path / "file") == [str(key_lane([b"x"], 5)), "True"]


def test_what_allocates_or_raises_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from balancebook.sketch import compiler, finding  # noqa: PLC0415 (takes a second)
    from balancebook.sketch.machine_code import machine  # noqa: PLC0415

    def allocates(size: int) -> int:
        return int(np.empty(size)[0])

    def raises(size: int) -> int:
        if size:
            raise ValueError
        return 0

    for function in (allocates, raises):
        monkeypatch.setattr(finding, "refused", compiler.kernel(function), raising=False)
        with pytest.raises(TypeError, match="refused raises or allocates"):
            compiler.object_code(Kernel("finding.refused", "i8"), machine())


@pytest.mark.parametrize(
    "body",
    [np.zeros(8, np.int8), np.zeros((2, 4), np.uint8), np.zeros(16, np.uint8)[::2]],
    ids=["dtype", "dimensions", "contiguous"],
)
def test_arrays_that_are_not_as_declared_are_refused(body: np.ndarray) -> None:
    lane = Kernel("finding.key_lane", "u1[:] u8[:]")
    with pytest.raises(TypeError, match="contiguous array of uint8, 1 dimensions"):
        lane(body, np.zeros(4, np.uint64))


def test_the_command_line_does_not_load_numba() -> None:
    code = "import sys, balancebook.cli, balancebook.runs.reconcile_command; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
