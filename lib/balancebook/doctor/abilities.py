"""What each check needs of a target."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from balancebook.checks import CHECKS
from balancebook.doctor.report import Ability

SESSION = "a database session"
SCHEMA = "the schema"
VIEW = "the view"
ROWS = "reading the view"
BASE = "reading the base"
STATUS = "the build status"
LEDGER = "the ledger's columns"
GATEWAY = "the gateway"
DEFINITION = "a view_definition in the profile"
HEALTH = "a health_path of the gateway in the profile"

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
    "V002": (VIEW, DEFINITION),
    "V003": (VIEW, STATUS),
    "V004": (VIEW, ROWS, BASE),
    "V005": (VIEW, ROWS, BASE),
    "Q001": _BALANCES,
    "Q002": _BALANCES,
    "Q003": _BALANCES,
    "Q004": _BALANCES,
    **dict.fromkeys(("B001", "L001", "L002", "L003", "L004", "L005", "L006", "L007"), (VIEW, BASE, LEDGER)),
    "G001": (GATEWAY, HEALTH, VIEW, STATUS),
    "G002": (GATEWAY,),
    "G003": (GATEWAY, *_BALANCES),
    "G004": (GATEWAY, *_BALANCES),
    "G005": (GATEWAY, VIEW, LEDGER),
    "G006": (GATEWAY, *_BALANCES),
}


def list_abilities(provided: Collection[str]) -> tuple[Ability, ...]:
    """Every registered check, by code, with what it lacks of what is provided."""
    return tuple(Ability(code, CHECKS[code].name, _lacks(NEEDS[code], provided)) for code in sorted(CHECKS))


def _lacks(needs: Iterable[str], provided: Collection[str]) -> tuple[str, ...]:
    missing = (_first_missing(need, provided) for need in needs if need not in provided)
    return tuple(dict.fromkeys(missing))


def _first_missing(need: str, provided: Collection[str]) -> str:
    below = _RESTS_ON.get(need)
    return need if below is None or below in provided else _first_missing(below, provided)
