"""What several unit tests share: the entries of a small demo exchange."""

from __future__ import annotations

import pytest

from ledger_rows import Row, demo_entries


@pytest.fixture(scope="module")
def sound() -> list[Row]:
    """All entries of a small demo exchange."""
    return demo_entries()


@pytest.fixture
def rows(sound: list[Row]) -> list[Row]:
    """A copy of them, to be damaged."""
    return [dict(row) for row in sound]
