"""The writing session: the embedded database only."""

from __future__ import annotations

import pytest

from balancebook.errors import ExitCode, UsageError
from balancebook.profile import Profile
from balancebook.store.errors import StoreError
from balancebook.store.reader import open_reader
from balancebook.store.writer import open_writer


def test_it_writes_to_the_embedded_database(profile: Profile, keyspace: str) -> None:
    with open_writer(profile) as writer:
        writer.execute(f"CREATE TABLE {keyspace}.plain (p int PRIMARY KEY, v text)")
        writer.execute(f"INSERT INTO {keyspace}.plain (p, v) VALUES (?, ?)", (1, "one"))
        writer.execute_many(f"INSERT INTO {keyspace}.plain (p) VALUES (?)", [(2,), (3,)])
    with open_reader(profile) as reader:
        assert sorted(reader.rows(f"SELECT p, v FROM {keyspace}.plain")) == [(1, "one"), (2, None), (3, None)]


def test_what_fails_is_told(profile: Profile, keyspace: str) -> None:
    with open_writer(profile) as writer:
        with pytest.raises(StoreError, match="no table nope"):
            writer.execute(f"INSERT INTO {keyspace}.nope (p) VALUES (1)")
        with pytest.raises(StoreError):
            writer.execute_many(
                f"INSERT INTO {keyspace}.settled_trades (trade_id) VALUES (?)", [(1,), ("x",)]
            )


def test_any_other_profile_is_refused(profile: Profile) -> None:
    with pytest.raises(UsageError, match="not the embedded") as caught:
        open_writer(profile.model_copy(update={"embedded": False, "name": "prod"}))
    assert caught.value.exit_code == ExitCode.USAGE
