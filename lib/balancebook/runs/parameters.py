"""Strict parameters: what a person or a program gives, held against the notebook's schema before a kernel starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from balancebook.errors import UsageError
from balancebook.runs.scrub import Scrubber
from balancebook.runs.values import Parameter, Value, ValueRefused, shown


def parse_assignments(
    assignments: Iterable[str], schema: Sequence[Parameter], scrubber: Scrubber
) -> dict[str, Value]:
    """Every parameter of the schema with its typed value, from texts `key=value`; defaults fill the rest.

    Raises UsageError (the parameter in `.parameter`, a likely name in `.suggestion`) for an unknown name, one
    given twice, a value of another type or beyond its limits, or one that holds a known secret.
    """
    given: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        # Before anything is said about it: a complaint must not repeat a secret.
        _refuse_secret(name, assignment, scrubber)
        if not equals:
            raise UsageError(f"-p {shown(assignment)} has no value.", "Write -p name=value.")
        if name in given:
            raise UsageError(f"{name} is given twice.", "Give it once.", parameter=name)
        _known(name, schema)
        given[name] = text
    return _complete(schema, {p.name: _parse(p, given[p.name]) for p in schema if p.name in given})


def check_values(
    values: Mapping[str, object], schema: Sequence[Parameter], scrubber: Scrubber
) -> dict[str, Value]:
    """As `parse_assignments`, from Python values: real types only (True is no int, 5.0 is no int)."""
    for name, value in values.items():
        _refuse_secret(name, str(value), scrubber)
        _known(name, schema)
    return _complete(schema, {p.name: _check(p, values[p.name]) for p in schema if p.name in values})


def _complete(schema: Sequence[Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    return {p.name: given.get(p.name, p.default) for p in schema}


def _refuse_secret(name: str, text: str, scrubber: Scrubber) -> None:
    if scrubber.finds(text):
        name = scrubber.text(name)
        raise UsageError(
            f"{shown(name)} would carry a secret, and parameters are written into every record.",
            "Give secrets by the profile only, as env:, file: or command: references.",
            parameter=name,
        )


def _known(name: str, schema: Sequence[Parameter]) -> None:
    names = [parameter.name for parameter in schema]
    if name in names:
        return
    suggestion = next(iter(difflib.get_close_matches(name, names, n=1)), None)
    remedy = f"Did you mean {suggestion}?" if suggestion else f"It takes: {', '.join(names) or 'none'}."
    raise UsageError(f"There is no parameter {shown(name)}.", remedy, parameter=name, suggestion=suggestion)


def _parse(parameter: Parameter, text: str) -> Value:
    try:
        return parameter.parse(text)
    except ValueRefused as error:
        raise _refused(parameter, error, text) from error


def _check(parameter: Parameter, value: object) -> Value:
    try:
        return parameter.check(value)
    except ValueRefused as error:
        raise _refused(parameter, error, value) from error


def _refused(parameter: Parameter, error: ValueRefused, value: object) -> UsageError:
    limits = f" {parameter.limits}" if parameter.limits else ""
    choices = getattr(parameter.limits, "values", ())
    close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return UsageError(
        f"{parameter.name} {error}.",
        f"Did you mean {close[0]}?" if close else f"It takes {parameter.type_text}{limits}.",
        parameter=parameter.name,
        suggestion=close[0] if close else None,
    )
