"""What a check is: a question with a code, a name and a verdict. Here a failed read becomes unknown."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from balancebook.balances import AccountRefused
from balancebook.checks.context import Context, NotAsked
from balancebook.checks.needs import require
from balancebook.core.short_text import LONGEST_MESSAGE, MOST_NAMES, enumerated, shortened, shortened_json
from balancebook.errors import BalancebookError
from balancebook.verdict import Json, Result, Verdict

__all__ = [
    "CHECKS",
    "SAMPLE_LIMIT",
    "Check",
    "Finding",
    "NotAsked",
    "check",
    "enumerated",
    "failed",
    "passed",
    "unknown",
]

# As many samples as names are enumerated in a message.
SAMPLE_LIMIT = MOST_NAMES


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check's function says; the registry adds code, name and seconds."""

    verdict: Verdict
    message: str
    counts: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Json]] = ()


def passed(message: str, *, counts: Mapping[str, int] | None = None) -> Finding:
    """The question was answered, and well."""
    return Finding(Verdict.PASS, message, counts or {})


def failed(
    message: str, *, counts: Mapping[str, int] | None = None, samples: Sequence[Mapping[str, Json]] = ()
) -> Finding:
    """The question was answered, and badly. `samples` come worst first."""
    return Finding(Verdict.FAIL, message, counts or {}, samples)


def unknown(
    message: str, *, counts: Mapping[str, int] | None = None, samples: Sequence[Mapping[str, Json]] = ()
) -> Finding:
    """The question could not be answered."""
    return Finding(Verdict.UNKNOWN, message, counts or {}, samples)


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check."""

    code: str
    name: str
    function: Callable[..., Finding]

    @property
    def question(self) -> str:
        """What it asks and why: the function's docstring."""
        return inspect.getdoc(self.function) or ""

    def run(self, ctx: Context, **params: object) -> Result:
        """The Result. Whatever the function raises is unknown, in this one place.

        Raises TypeError for arguments that the check does not take, AccountRefused for an account that the ledger
        cannot have: those are mistakes in what was asked, not an unreadable database; NotAsked if the question does
        not arise.
        """
        inspect.signature(self.function).bind(ctx, **params)
        started = time.monotonic()
        try:
            require(self.code, ctx, params)
            finding = self.function(ctx, **params)
        except (NotAsked, AccountRefused):
            raise
        except BalancebookError as error:
            finding = unknown(f"Could not read: {error}")
        except Exception as error:  # noqa: BLE001 (a check that crashed has not answered its question)
            finding = unknown(f"The check crashed: {type(error).__name__}: {error}")
        return Result(
            code=self.code,
            name=self.name,
            verdict=finding.verdict,
            # Masked before it is cut, perhaps in the middle of a secret.
            message=shortened(ctx.scrubber.text(finding.message), LONGEST_MESSAGE),
            counts=dict(finding.counts),
            samples=tuple(_shortened(ctx, sample) for sample in finding.samples[:SAMPLE_LIMIT]),
            volatile={"milliseconds": round(1000 * (time.monotonic() - started))},
        )


def _shortened(ctx: Context, sample: Mapping[str, Json]) -> dict[str, Json]:
    return {name: shortened_json(ctx.scrubber.value(cell)) for name, cell in sample.items()}


CHECKS: dict[str, Check] = {}


def check(code: str, name: str) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Register a function `(ctx, **params) -> Finding` under a code that no other has."""

    def register(function: Callable[..., Finding]) -> Callable[..., Finding]:
        if code in CHECKS:
            raise ValueError(f"check code {code} is taken by {CHECKS[code].name}")
        CHECKS[code] = Check(code, name, function)
        return function

    return register
