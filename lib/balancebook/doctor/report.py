"""What an examination found: one row a question, the statements to paste, and which checks can work."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from balancebook.errors import BalancebookError, ExitCode
from balancebook.verdict import MARKS, Json, Verdict, merge

_NOTE = "· note"
_EXIT_CODES = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
}
_SUMMARY = {
    Verdict.PASS: "the target can be reached and read.",
    Verdict.FAIL: "something is wrong there.",
    Verdict.UNKNOWN: "not everything could be reached or read.",
}
_WIDTH = 110
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One thing looked at. Fail: it was read, and is wrong. Unknown: it could not be read. None: a note, which decides
    nothing. `remedy` says what to do; `provides` is the need of checks (see abilities) that a pass meets. `cause`:
    the text without its subject; rows that could not be read for the same cause are printed as one."""

    subject: str
    verdict: Verdict | None
    text: str
    remedy: str = ""
    provides: str | None = None
    cause: str = ""


def not_read(subject: str, error: BalancebookError) -> Row:
    """The row of something that could not be read, with the error's own remedy."""
    # "reading system.peers: no connection": what was tried, and then what happened.
    cause = error.message.partition(": ")[2]
    return Row(subject, Verdict.UNKNOWN, error.message, error.remedy, cause=cause)


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether one check can work here: it can if it lacks nothing and does not refuse. refusal: what it will say by
    itself if it is asked with the parameters that the notebooks have; skipped: whether it then has no verdict at all.
    """

    code: str
    name: str
    lacks: tuple[str, ...]
    refusal: str = ""
    skipped: bool = False

    @property
    def can_work(self) -> bool:
        return not self.lacks and not self.refusal

    @property
    def text(self) -> str:
        if self.refusal:
            return f"{'skipped' if self.skipped else 'cannot work'}: {self.refusal}"
        return f"lacks {', '.join(self.lacks)}" if self.lacks else "can work"


class ReportJson(TypedDict):
    """`balancebook doctor --json`; the verdict of a note is null."""

    profile: str
    verdict: str
    exit_code: int
    findings: list[dict[str, Json]]
    grants: list[str]
    checks: list[dict[str, Json]]


@dataclass(frozen=True, slots=True)
class Report:
    """`grants` are whole CQL statements that an administrator may paste."""

    profile: str
    rows: tuple[Row, ...]
    grants: tuple[str, ...]
    abilities: tuple[Ability, ...]

    @property
    def verdict(self) -> Verdict:
        """Of all rows but the notes: fail > unknown > pass."""
        return merge(row.verdict for row in self.rows if row.verdict)

    @property
    def exit_code(self) -> ExitCode:
        return _EXIT_CODES[self.verdict]

    def to_json(self) -> ReportJson:
        return {
            "profile": self.profile,
            "verdict": str(self.verdict),
            "exit_code": int(self.exit_code),
            "findings": [_finding(row) for row in self.rows],
            "grants": list(self.grants),
            "checks": [
                {
                    "code": a.code,
                    "name": a.name,
                    "can_work": a.can_work,
                    "lacks": list(a.lacks),
                    "refusal": a.refusal or None,
                    "skipped": a.skipped,
                }
                for a in self.abilities
            ],
        }

    def text(self) -> str:
        """The rows, the GRANT statements and the table of checks, as lines for a terminal."""
        lines = [line for row in _merged(self.rows) for line in _lines(row)]
        if self.grants:
            lines += ["", "Missing permissions. An administrator pastes:", "", *self.grants]
        lines += ["", "Which checks can work here:", *map(_ability_line, self.abilities)]
        return "\n".join([*lines, "", f"{MARKS[self.verdict]}: {_SUMMARY[self.verdict]}"])


def _finding(row: Row) -> dict[str, Json]:
    verdict = str(row.verdict) if row.verdict else None
    return {"subject": row.subject, "verdict": verdict, "message": row.text, "remedy": row.remedy or None}


def _merged(rows: Sequence[Row]) -> list[Row]:
    """The rows, those of one cause as one, in the place of the first."""
    merged: dict[object, list[Row]] = {}
    for number, row in enumerate(rows):
        merged.setdefault((row.cause, row.remedy) if row.cause else number, []).append(row)
    return [some[0] if len(some) == 1 else _one_of(some) for some in merged.values()]


def _one_of(rows: Sequence[Row]) -> Row:
    subjects = [row.subject for row in rows]
    more = [f"{len(subjects) - _SHOWN:,} more"] if len(subjects) > _SHOWN else []
    return replace(rows[0], subject=", ".join(subjects[:_SHOWN] + more), text=rows[0].cause)


def _lines(row: Row) -> list[str]:
    mark = MARKS[row.verdict] if row.verdict else _NOTE
    lines = [f"{mark:<10}{row.subject}: {row.text}"]
    wrapped = textwrap.wrap(row.remedy, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines + [f"{'':12}{line}" for line in wrapped]


def _ability_line(ability: Ability) -> str:
    return f"  {ability.code} {ability.name:27} {ability.text}"
