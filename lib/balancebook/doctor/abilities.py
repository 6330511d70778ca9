"""What each check needs of a target: what was seen to be there, and what the check itself asks for (checks.needs)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from balancebook.checks import CHECKS, NotAsked
from balancebook.checks.context import Context
from balancebook.checks.needs import require
from balancebook.doctor.report import Ability
from balancebook.errors import BalancebookError

SESSION = "a database session"
SCHEMA = "the schema"
VIEW = "the view"
ROWS = "reading the view"
BASE = "reading the base"
STATUS = "the build status"
LEDGER = "the ledger's columns"
GATEWAY = "the gateway"

# What cannot be there without something else: only the first thing missing is worth telling.
_RESTS_ON = {
    SCHEMA: SESSION,
    STATUS: SESSION,
    VIEW: SESSION,
    ROWS: VIEW,
    BASE: VIEW,
    LEDGER: VIEW,
}
_BALANCES = (VIEW, ROWS, BASE, LEDGER)
NEEDS: dict[str, tuple[str, ...]] = {
    "V001": (SCHEMA,),
    "V002": (VIEW,),
    "V003": (VIEW, STATUS),
    "V004": (VIEW, ROWS, BASE),
    "V005": (VIEW, ROWS, BASE),
    "Q001": _BALANCES,
    "Q002": _BALANCES,
    "Q003": _BALANCES,
    "Q004": _BALANCES,
    **dict.fromkeys(("B001", "L001", "L002", "L003", "L004", "L005", "L006", "L007"), (VIEW, BASE, LEDGER)),
    "G001": (GATEWAY, VIEW, STATUS),
    "G002": (GATEWAY,),
    "G003": (GATEWAY, *_BALANCES),
    "G004": (GATEWAY, *_BALANCES),
    "G005": (GATEWAY, VIEW, LEDGER),
    "G006": (GATEWAY, *_BALANCES),
}


def refusals_of(ctx: Context) -> dict[str, NotAsked | BalancebookError]:
    """What the checks will say by themselves, by code, if asked with the parameters that the notebooks have."""
    found: dict[str, NotAsked | BalancebookError] = {}
    for code in CHECKS:
        try:
            require(code, ctx)
        except (NotAsked, BalancebookError) as refusal:
            found[code] = refusal
    return found


def list_abilities(
    provided: Collection[str], refusals: Mapping[str, NotAsked | BalancebookError] = MappingProxyType({})
) -> tuple[Ability, ...]:
    """Every registered check, by code, with what it lacks of what is provided, else with its own refusal."""
    return tuple(_ability(code, provided, refusals.get(code)) for code in sorted(CHECKS))


def _ability(code: str, provided: Collection[str], refusal: NotAsked | BalancebookError | None) -> Ability:
    name, lacks = CHECKS[code].name, _lacks(NEEDS[code], provided)
    said = str(refusal or "").rstrip(".")
    if isinstance(refusal, NotAsked):
        return Ability(code, name, (), said, skipped=True)
    # What is missing is said better by its own name than by the first read that fails without it.
    return Ability(code, name, lacks, "" if lacks else said)


def _lacks(needs: Iterable[str], provided: Collection[str]) -> tuple[str, ...]:
    missing = (_first_missing(need, provided) for need in needs if need not in provided)
    return tuple(dict.fromkeys(missing))


def _first_missing(need: str, provided: Collection[str]) -> str:
    below = _RESTS_ON.get(need)
    return need if below is None or below in provided else _first_missing(below, provided)
