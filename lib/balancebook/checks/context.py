"""What a check may look at: the target's store and gateway, the assets, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from balancebook.assets import Registry
from balancebook.balances import Target, account_of
from balancebook.core.redact import Scrubber
from balancebook.errors import BalancebookError
from balancebook.gateway import GatewayClient
from balancebook.settings import GatewaySettings, LedgerSchema, Profile
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view

NO_GATEWAY = "the profile has no [gateway]"


class NotAsked(Exception):
    """Raised by a check whose question does not arise on this target; its argument says why. It has no verdict."""


@dataclass
class Context:
    """One target, opened once for the checks of one run. Connects at the first read, not before; at the first after
    `close` again, for whoever asks more in a notebook that ran to its end.

    A database that cannot be opened raises the same StoreError at every read, so that each check says unknown.
    """

    profile: Profile
    opener: Callable[[Profile], Reader] = open_reader
    sleep: Callable[[float], None] = time.sleep
    _reader: Reader | BalancebookError | None = field(default=None, init=False, repr=False)

    @property
    def keyspace(self) -> str:
        return self.profile.keyspace

    @property
    def registry(self) -> Registry:
        return self.profile.registry

    @property
    def ledger(self) -> LedgerSchema:
        return self.profile.ledger

    @property
    def grace_s(self) -> float:
        """Seconds after which a view must have caught up with its base."""
        return self.profile.grace_s

    @property
    def reader(self) -> Reader:
        """The reading session. Raises StoreError if the database cannot be opened."""
        if self._reader is None:
            try:
                self._reader = self.opener(self.profile)
            except BalancebookError as error:
                self._reader = error
        if isinstance(self._reader, BalancebookError):
            raise self._reader
        return self._reader

    def find_view(self) -> View | None:
        """The view as the server describes it now, or None if there is none of that name."""
        return read_view(self.reader, self.profile.keyspace, self.profile.view)

    @cached_property
    def view(self) -> View:
        """The view. Raises BalancebookError if it is not there."""
        view = self.find_view()
        if view is None:
            raise BalancebookError(
                f"View {self.profile.keyspace}.{self.profile.view} does not exist.", "See V001."
            )
        return view

    @cached_property
    def target(self) -> Target:
        """The view, its base by introspection, and the ledger's columns."""
        return Target(self.profile.keyspace, self.profile.view, self.view.base_name, self.ledger)

    def account(self, given: int | str, parameter: str = "user_id") -> Any:
        """The value of the ledger's account column that a parameter's number or text means, whatever its CQL type.

        Raises AccountRefused (a UsageError) if it means none, StoreError if that cannot be read.
        """
        return account_of(self.reader, self.target, given, parameter)

    @cached_property
    def gateway(self) -> GatewayClient:
        """The client of the profile's gateway; connects at the first request. Raises NotAsked if there is none."""
        return GatewayClient(self.gateway_settings)

    @property
    def gateway_settings(self) -> GatewaySettings:
        """The profile's gateway. Raises NotAsked if it has none."""
        if self.profile.gateway is None:
            raise NotAsked(NO_GATEWAY)
        return self.profile.gateway

    @cached_property
    def scrubber(self) -> Scrubber:
        """Masks the profile's secrets: a server or gateway may repeat what it was sent. Raises UsageError for one too
        short to be masked."""
        return Scrubber(self.profile.readable_secrets())

    def close(self) -> None:
        """Ends the sessions, and forgets what was read of the schema."""
        if isinstance(self._reader, Reader):
            self._reader.close()
        self._reader = None
        if "gateway" in self.__dict__:
            self.gateway.close()
        for known in ("view", "target"):
            self.__dict__.pop(known, None)
