"""What the benchmarks' arguments may be: a wrong one is refused, with what it takes, before anything starts."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """A whole number, `least` or more."""

    def parsed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return number

    return parsed


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def port(text: str) -> int:
    """A TCP port."""
    number = at_least(1)(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")
    return number


def some_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """One or more of the names, with commas between them."""

    def parsed(text: str) -> list[str]:
        found = text.split(",")
        wrong = [name for name in found if name not in names]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not one of {', '.join(names)}")
        return found

    return parsed
