"""What the parts of a profile share: strict models, the error that names a key, and secrets by reference."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

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


def none_if_empty(value: object) -> object:
    """TOML has no null."""
    return None if value == "" else value


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
