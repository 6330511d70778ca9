"""Masking secrets in what a run leaves: see core.redact."""

from balancebook.core.redact import MASK, MIN_LENGTH, Scrubber

__all__ = ["MASK", "MIN_LENGTH", "Scrubber"]
