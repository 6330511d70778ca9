"""`balancebook view pin`: what it writes, V002 takes; and it notices a view made otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from cassandra.cluster import Session

from balancebook.demo.schema import LEDGER, VIEW
from balancebook.errors import UsageError
from balancebook.runs.pin import pin_view
from balancebook.settings import Profile, SettingsError, load_profile
from balancebook.store.errors import StoreError
from balancebook.verdict import Verdict
from checking import run_check
from ports import free_ports

_ASSETS = Path(__file__).parents[2] / "lib" / "balancebook" / "demo" / "assets.toml"


@pytest.fixture(autouse=True)
def config(profile: Profile, keyspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A balancebook.toml with profiles of the shared server: one right, others wrong in one thing each."""
    right = {"port": str(profile.port), "keyspace": keyspace, "view": VIEW}
    changes = {
        "here": {},
        "no_view": {"view": f"{VIEW}s"},
        "no_keyspace": {"keyspace": f"{keyspace}_"},
        "no_server": {"port": str(free_ports(1)[0])},
        "unpinned": {"view_definition": "view.cql"},
    }
    lines = [line for name, change in changes.items() for line in _profile(name, right | change)]
    path = tmp_path / "balancebook.toml"
    path.write_text("\n".join(lines))
    monkeypatch.setenv("BALANCEBOOK_CONFIG", str(path))
    return path


def _profile(name: str, keys: dict[str, str]) -> list[str]:
    return [
        f"[profiles.{name}]",
        'contact_points = ["127.0.0.1"]',
        f"port = {keys['port']}",
        'local_dc = "datacenter1"',
        f'keyspace = "{keys["keyspace"]}"',
        f'view = "{keys["view"]}"',
        f'registry = "{_ASSETS}"',
        *(f'{key} = "{keys[key]}"' for key in ("view_definition",) if key in keys),
    ]


def _v002(path: Path) -> Verdict:
    return run_check("V002", load_profile("here").model_copy(update={"view_definition": path})).verdict


def _recreate(session: Session, keyspace: str, columns: str) -> None:
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
    session.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.{VIEW} AS SELECT {columns} FROM {keyspace}.{LEDGER}"
        " WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL"
        " PRIMARY KEY (user_id, asset_id, seq) WITH CLUSTERING ORDER BY (asset_id ASC, seq DESC)"
    )


def test_pinned_then_changed(session: Session, keyspace: str, tmp_path: Path) -> None:
    path = tmp_path / "view.cql"
    assert str(path) in pin_view("here", path)
    assert path.read_text().startswith("CREATE MATERIALIZED VIEW")
    assert path.read_text().rstrip("\n") == pin_view("here", None)
    assert _v002(path) is Verdict.PASS
    assert sorted(tmp_path.glob(".*")) == []

    _recreate(session, keyspace, "user_id, asset_id, seq, avail")
    assert _v002(path) is Verdict.FAIL
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        pin_view("here", path)
    assert caught.value.exit_code == 2
    assert "columns" in caught.value.message
    assert "--force" in caught.value.remedy
    assert path.read_bytes() == before

    pin_view("here", path, force=True)
    assert _v002(path) is Verdict.PASS


def test_the_file_that_the_profile_names_already_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"balancebook view pin --to view\.cql"):
        load_profile("unpinned")
    pin_view("unpinned", tmp_path / "view.cql")
    assert run_check("V002", load_profile("unpinned")).verdict is Verdict.PASS


def test_what_was_pinned_makes_the_same_view(session: Session, keyspace: str, tmp_path: Path) -> None:
    path = tmp_path / "view.cql"
    pin_view("here", path)
    session.execute(f"DROP MATERIALIZED VIEW {keyspace}.{VIEW}")
    session.execute(path.read_text())
    assert _v002(path) is Verdict.PASS


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "view.cql"
    path.write_text("-- as agreed in spring\n" + (pin_view("here", None)).lower() + "\n")
    before = path.read_bytes()
    assert "already" in pin_view("here", path)
    assert path.read_bytes() == before


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(UsageError):
        pin_view("here", path)
    assert path.read_text() == "my notes"


@pytest.mark.parametrize("place", ["nowhere/view.cql", "balancebook.toml/view.cql", "."])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        pin_view("here", tmp_path / place, force=True)
    assert (caught.value.parameter, caught.value.exit_code) == ("to", 2)


@pytest.mark.parametrize(
    ("name", "said"), [("no_view", f"Did you mean {VIEW}?"), ("no_keyspace", "Did you mean t_")]
)
def test_a_view_that_is_not_there(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        pin_view(name, tmp_path / "view.cql")
    assert caught.value.exit_code == 2
    assert said in caught.value.remedy
    assert not (tmp_path / "view.cql").exists()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        pin_view("no_server", tmp_path / "view.cql")
    assert caught.value.exit_code == 11
