"""What the parts of a profile share: strict models, the error that names a key, and secrets by reference."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr

from balancebook.config.address import checked_host
from balancebook.errors import UsageError

_SECRET_TIMEOUT_S = 30


class SettingsError(UsageError):
    """A profile that cannot be used: the key is in `parameter`."""

    code = "settings"


class Model(BaseModel):
    """A table of the profile: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def pairs(value: object) -> object:
    """A table as pairs, which unlike it can be hashed."""
    return tuple(value.items()) if isinstance(value, dict) else value


def _name(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("it must be a name: not empty, no spaces around it, no invisible characters")
    return text


def _identifier(text: str) -> str:
    if not IDENTIFIER.fullmatch(text):
        raise ValueError("it must be 1 to 48 letters, digits or _, as stored (case matters, no quotes)")
    return text


def _host(text: str) -> str:
    try:
        return checked_host(text)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} {error}; a port is a key of its own: port = 9042") from error


def distinct(roles: Mapping[str, str | None], what: str) -> None:
    """Raises ValueError if two roles have one and the same name: one of them would be read as the other."""
    seen: dict[str, str] = {}
    for role, name in roles.items():
        if name is not None and name in seen:
            raise ValueError(f"{seen[name]} and {role} name the same {what} {name!r}")
        if name is not None:
            seen[name] = role


# Cassandra's rule for keyspace and table names, quoted or not: SchemaConstants.PATTERN_WORD_CHARS, length 48.
IDENTIFIER = re.compile(r"\w{1,48}", re.ASCII)
Name = Annotated[StrictStr, AfterValidator(_name)]
"""Something that has a name: a column (whatever stands in it was quoted), a role, a data centre."""
Identifier = Annotated[StrictStr, AfterValidator(_identifier)]
"""A keyspace, a table or a view."""
Host = Annotated[StrictStr, AfterValidator(_host)]
"""An IP address or a host name."""


def none_if_empty(value: object) -> object:
    """TOML has no null."""
    return None if value == "" else value


OptionalName = Annotated[Name | None, BeforeValidator(none_if_empty)]
"""In a profile "" where there is none."""
# What a socket can wait, with room: infinity and 1e10 are refused by the system only when it has to wait.
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Secret(Model):
    """A reference to a secret; the value is read when it is needed and kept nowhere."""

    kind: Literal["env", "file", "command"]
    value: str

    def reveal(self) -> str:
        """The secret itself. Raises SettingsError if the reference leads nowhere."""
        secret = {"env": self._from_env, "file": self._from_file, "command": self._from_command}[self.kind]()
        if not secret:
            raise SettingsError(
                f"The secret {self.kind}:{self.value} is empty.", "Set it, or name another reference."
            )
        return secret

    def _from_env(self) -> str:
        if self.value not in os.environ:
            raise SettingsError(
                f"The variable {self.value} is not set.", f"export {self.value}=... and run again."
            )
        return os.environ[self.value]

    def _from_file(self) -> str:
        try:
            return Path(self.value).expanduser().read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"The secret file {self.value} cannot be read: {getattr(error, 'strerror', error)}.",
                "Check its path.",
            ) from error

    def _from_command(self) -> str:
        try:
            argv = shlex.split(self.value)
        except ValueError as error:
            raise SettingsError(
                f"The secret command cannot be split into words: {error}.", "Balance its quotes."
            ) from error
        try:
            # The command comes from the user's own profile: running it is its documented purpose.
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECRET_TIMEOUT_S, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise SettingsError(
                f"The secret command {argv[0]!r} failed ({type(error).__name__}).",
                "Run it by hand to see why.",
            ) from error
        return done.stdout.rstrip("\r\n")


def secret_reference(value: object) -> object:
    """The parts of a reference given as text. Raises ValueError for text that is none."""
    if not isinstance(value, str):
        return value
    kind, colon, rest = value.partition(":")
    if not colon or kind not in ("env", "file", "command") or not rest.strip():
        # The value is not repeated: it may be the password itself.
        raise ValueError("a secret is given by reference: env:NAME, file:PATH or command:PROGRAM ARGS")
    return {"kind": kind, "value": rest.strip()}
