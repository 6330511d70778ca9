"""Tokens as the driver computes them, which are the server's."""

import numpy as np
import pytest
from cassandra.metadata import Murmur3Token
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebook.sketch.machine_code import Kernel

_LOWEST = -(2**63)
token = Kernel("murmur3.token", "u1[:] i8 i8")


def token_of(key: bytes, before: int = 3) -> int:
    return token(np.frombuffer(bytes(before) + key, np.uint8), before, len(key))


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=1, max_size=100), st.integers(0, 9))
def test_tokens_are_the_drivers(key: bytes, before: int) -> None:
    assert token_of(key, before) == Murmur3Token.hash_fn(key)


@pytest.mark.parametrize("size", range(1, 34))
def test_bytes_above_127_in_a_tail_of_any_size(size: int) -> None:
    for key in (b"\xff" * size, b"\x80" + b"\x01" * (size - 1), b"\x7f" * (size - 1) + b"\xfe"):
        assert token_of(key) == Murmur3Token.hash_fn(key)


def test_an_empty_key_has_the_lowest_token() -> None:
    assert token_of(b"") == _LOWEST
