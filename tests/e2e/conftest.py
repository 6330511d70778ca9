"""A desk for each test: a working folder in which the command line is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.commands import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose commands know no server."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Desk(folder)
