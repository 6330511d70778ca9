"""Verdicts are three-valued. What could not be read is unknown, and unknown is never pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

_CODE = re.compile(r"[A-Z]\d{3}")


class Verdict(StrEnum):
    """The answer to one question."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


# The worst verdict decides: a proven fault outweighs what is not known, which outweighs any number of passes.
_MERGE_ORDER = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS)


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of several: fail > unknown > pass.

    Raises ValueError when there are none (nothing checked is no pass) or when one is not a Verdict.
    """
    seen = {Verdict(verdict) for verdict in verdicts}
    if not seen:
        raise ValueError("no verdicts to merge: a run without checks has no verdict")
    return next(verdict for verdict in _MERGE_ORDER if verdict in seen)


# How people see a verdict, everywhere.
MARKS = {Verdict.PASS: "✔ pass", Verdict.FAIL: "✘ FAIL", Verdict.UNKNOWN: "? unknown"}


def mark_of(verdict: Verdict | None) -> str:
    """The mark of a verdict, or of none: a notebook without checks."""
    return MARKS[verdict] if verdict else "- none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check found.

    `counts` are exact; `samples` are bounded, worst first. Both hold only what the same data always gives.
    `volatile` holds what differs from run to run (seconds, write times); it never enters a comparison.
    """

    code: str
    name: str
    verdict: Verdict
    message: str
    counts: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[Mapping[str, Json], ...] = ()
    volatile: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"check code {self.code!r} is not a letter and three digits")
        Verdict(self.verdict)
