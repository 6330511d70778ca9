"""The one session that may write: the demo's own tables, never another cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import FallthroughRetryPolicy

from balancebook.errors import UsageError
from balancebook.settings import Profile
from balancebook.store.connect import close, connect
from balancebook.store.errors import translate


class Writer:
    """A writing session. The driver retries nothing by itself: a write that timed out may have been applied."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close(self._session)

    def execute(self, cql: str, params: Sequence[object] = ()) -> None:
        """Run one statement, its parameters bound to `?`. Raises StoreError."""
        try:
            statement = self._session.prepare(cql) if params else cql
            self._session.execute(statement, params or None)
        except Exception as error:
            raise translate(error, what="writing") from error

    def execute_many(self, cql: str, rows: Iterable[Sequence[Any]], *, concurrency: int = 32) -> None:
        """Run one prepared statement for each of the rows. Raises StoreError at the first that fails."""
        try:
            prepared = self._session.prepare(cql)
            execute_concurrent_with_args(
                self._session, prepared, rows, concurrency=concurrency, raise_on_first_error=True
            )
        except Exception as error:
            raise translate(error, what="writing") from error


def open_writer(profile: Profile) -> Writer:
    """A writing session to the embedded database. Raises UsageError for any other profile, StoreError if it is down."""
    if not profile.embedded:
        raise UsageError(
            f"Profile {profile.name!r} is not the embedded database: nothing is written to it.",
            "Use the profile embedded.",
            parameter="profile",
        )
    return Writer(connect(profile, retry_policy=FallthroughRetryPolicy()))
