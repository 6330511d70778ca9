"""What each check needs of a target."""

from __future__ import annotations

from collections.abc import Collection

from balancebook.checks import CHECKS
from balancebook.doctor.report import Ability

SCHEMA = "the schema"
VIEW = "the view"
ROWS = "reading the view"
BASE = "reading the base"
STATUS = "the build status"
LEDGER = "the ledger's columns"
GATEWAY = "the gateway"
DEFINITION = "a view_definition in the profile"

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
    "G001": (GATEWAY, VIEW, STATUS),
    "G002": (GATEWAY,),
    "G003": (GATEWAY, *_BALANCES),
    "G004": (GATEWAY, *_BALANCES),
    "G005": (GATEWAY,),
    "G006": (GATEWAY, *_BALANCES),
}


def list_abilities(provided: Collection[str]) -> tuple[Ability, ...]:
    """Every registered check, by code, with what it lacks of what is provided."""
    return tuple(
        Ability(code, CHECKS[code].name, tuple(need for need in NEEDS[code] if need not in provided))
        for code in sorted(CHECKS)
    )
