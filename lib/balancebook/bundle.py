"""How a Result crosses from a kernel to the runner: as a JSON bundle in a cell's output.

nbval compares the bundle and cannot leave parts of it out, so it holds only what the same data always gives;
everything else travels in the output's metadata, which nbval skips. Integers are written as JSON integers of
any size: readers that keep numbers as doubles (JavaScript, jq before 1.7) round them beyond 2^53.

This module is imported by every kernel: it stays free of third-party imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balancebook.verdict import Json, Result, Verdict

MIME = "application/vnd.balancebook.result+json"
CLOSE_MIME = "application/vnd.balancebook.close+json"
# The closing verb raises an error of this name unless the verdict is pass, so that bare papermill exits non-zero.
VERDICT_ERROR = "VerdictNotPass"


def to_bundle(result: Result) -> tuple[dict[str, Json], dict[str, Json]]:
    """(what enters comparisons, what differs from run to run), both plain JSON.

    Raises TypeError for a value with no exact JSON form (a float, a Decimal, a key that is no text) in the
    compared part; only the volatile part may hold floats.
    """
    compared: dict[str, Json] = {
        "code": result.code,
        "name": result.name,
        "verdict": str(result.verdict),
        "message": result.message,
        "counts": _exact(result.counts, "counts"),
        "samples": [_exact(sample, "samples") for sample in result.samples],
    }
    return compared, dict(result.volatile)


def from_bundle(compared: Mapping[str, Any], volatile: Mapping[str, Any]) -> Result:
    """The Result that `to_bundle` took apart. Raises ValueError for a bundle that it did not make."""
    try:
        fields: dict[str, Any] = {key: compared[key] for key in ("code", "name", "message", "counts")}
        samples = tuple(dict(sample) for sample in compared["samples"])
        verdict = Verdict(compared["verdict"])
        if not all(isinstance(fields[key], str) for key in ("code", "name", "message")):
            raise TypeError("code, name and message must be text")
        if any(type(count) is not int for count in fields["counts"].values()):
            raise TypeError("counts must be integers")
        _exact(compared, "bundle")
        return Result(**fields, samples=samples, verdict=verdict, volatile=dict(volatile))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"malformed result bundle: {type(error).__name__}: {error}") from error


def close_bundle(verdict: Verdict) -> dict[str, Json]:
    """What the closing verb emits: a notebook without it never came to its end."""
    return {"verdict": str(verdict)}


def _exact(value: object, where: str) -> Json:
    """`value` as plain JSON. Strict, since json.dumps would turn 1.0, NaN and integer keys into something else."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {_key(key, where): _exact(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item, where) for item in value]
    raise TypeError(f"{where}: {type(value).__name__} has no exact JSON form; give an int or a string")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where}: the key {key!r} is no text")
    return str(key)
