"""Types of the benchmarks' arguments: what cannot be measured is refused before anything is started."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` (to `most`)."""

    def parse(text: str) -> int:
        limits = f"of {least} or more" if most is None else f"from {least} to {most}"
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return number

    return parse


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def some_of(names: Collection[str]) -> Callable[[str], list[str]]:
    """Names with commas between them, each of them known and given once."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(names)}")
        if len(set(chosen)) < len(chosen):
            raise argparse.ArgumentTypeError(f"{text!r} names one twice")
        return chosen

    return parse


port = at_least(1, 65_535)
