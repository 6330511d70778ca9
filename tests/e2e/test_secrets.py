"""A gateway that repeats the key it was sent, in whatever spelling: no artefact of any way to run shows it."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from balancebook.demo.node import Node
from checking import THREE_ASSETS
from e2e.commands import HANGS_S, KEYSPACE, Desk
from scripted_gateway import BALANCE, Server, by_target, entries, entry, http

KEY = "Key/of+the Gateway==0815"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "lower": str.lower,
    "upper": str.upper,
    "percent": lambda key: quote(key, safe=""),
    "percent, lower": lambda key: quote(key, safe="").lower(),
    "every character": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "query": lambda key: quote(key, safe="").replace("%20", "+"),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a login": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
}
# What no artefact may hold, without capitals: a part long enough to be worth something to a thief.
TRACES = tuple(
    {SPELLINGS[name](KEY).lower() for name in SPELLINGS} | {"of+the gateway", "of%2bthe%20gateway"}
)


@pytest.fixture
def asking(at: Desk, server: Node) -> Iterator[tuple[Desk, str]]:
    """A desk whose gateway answers with assets of those names, and the notebook that asks it."""
    said = KEY.lower()
    spelt = [spell(KEY) for spell in SPELLINGS.values()]
    answer = entries(
        entry(), *(entry(asset=f"{number}{each}", avail="1") for number, each in enumerate(spelt))
    )
    asked = f"{BALANCE.removesuffix('?')}?user_id={THREE_ASSETS}"
    behave = by_target(
        {"/health": http(f'{{"status":0,"msg":"{said}"}}'), asked: answer},
        http(f'{{"status":1,"msg":"{said}"}}'),
    )
    at.env["GATEWAY_KEY"] = KEY
    with closing(Server(behave)) as gateway:
        headers = {"X-Api-Key": "env:GATEWAY_KEY"}
        at.profile(port=server.config.cql_port, keyspace=KEYSPACE, gateway=gateway.url, headers=headers)
        at.notebook(
            "book.check('G001')",
            f"for code in ('G002', 'G003', 'G006'): book.check(code, user_id={THREE_ASSETS})",
            f"from balancebook.checks import overview\nbook.show(lambda ctx: overview.layers(ctx, {THREE_ASSETS}))",
            f"book.check('G004', unknown_user_id=999, user_id={THREE_ASSETS})",
            required=("G001", "G002", "G003", "G004", "G006"),
        )
        yield at, "asked.ipynb"
        assert {request["x-api-key"] for request in gateway.headers} == {KEY}


def _traces(text: str) -> list[str]:
    return [trace for trace in TRACES if trace in text.lower()]


def _assert_clean(folder: Path, *streams: str) -> None:
    assert not _traces("\n".join(streams))
    for path in folder.rglob("*"):
        assert not path.is_file() or not _traces(path.read_bytes().decode("utf-8", "replace")), path


def test_neither_the_runner_nor_plain_papermill_shows_it(asking: tuple[Desk, str]) -> None:
    desk, notebook = asking
    told = desk.run(notebook)
    assert told.code == 10
    assert "[secret]" in told.message("G003")
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "--log-output"]
    done = subprocess.run(  # noqa: S603 (our own command)
        command, cwd=desk.folder, env=desk.env, capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert done.returncode != 0
    assert "[secret]" in (desk.folder / "out.ipynb").read_text()
    assert (desk.folder / "out.ipynb").read_text().count("G003") > 0
    _assert_clean(desk.folder, told.stdout, told.stderr, done.stdout, done.stderr)


def test_the_doctor_does_not_show_it(asking: tuple[Desk, str]) -> None:
    desk, _ = asking
    for arguments in (("doctor",), ("doctor", "--json")):
        told = desk(*arguments)
        _assert_clean(desk.folder, told.stdout, told.stderr)
