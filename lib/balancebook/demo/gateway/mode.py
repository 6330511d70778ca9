"""How the gateway answers."""

from enum import StrEnum


class Mode(StrEnum):
    """As it should, or as the one in the report did."""

    FIXED = "fixed"
    SEED = "seed"
