"""Known secrets do not survive in anything that a notebook carries, however they were escaped."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from balancebook.errors import UsageError
from balancebook.runs.scrub import MASK, Scrubber

SECRETS = ["plain-word", 'q"uote', "it's", "a<b>&c", "ümläut/slash", "back\\slash\ttab", "two\nlines"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "written",
    [
        str,
        repr,
        ascii,
        html.escape,
        lambda s: html.escape(s, quote=False),
        lambda s: html.escape(s).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        json.dumps,
        lambda s: json.dumps(s, ensure_ascii=False),
        lambda s: json.dumps({"inner": json.dumps(s)}),
        lambda s: json.dumps(html.escape(s)),
        lambda s: html.escape(json.dumps(s)),
        quote,
        "\x1b[31m".join,
    ],
)
def test_every_written_form_is_found(secret: str, written: Any) -> None:
    text = f"before {written(secret)} after"
    scrubbed = Scrubber([secret]).text(text)
    assert MASK in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")


def test_all_parts_of_a_notebook() -> None:
    secret = "hunter-two"
    nb = {
        "metadata": {"papermill": {"parameters": {"x": secret}}, secret: 1},
        "cells": [
            {"cell_type": "markdown", "metadata": {"note": [secret]}, "source": secret},
            {
                "cell_type": "code",
                "metadata": {},
                "source": f"p = '{secret}'",
                "outputs": [
                    {"output_type": "stream", "name": "stdout", "text": f"is {secret}\n"},
                    {"output_type": "error", "ename": "E", "evalue": secret, "traceback": [f"at {secret}"]},
                    {
                        "output_type": "display_data",
                        "data": {
                            "text/html": f"<b>{secret}</b>",
                            "application/json": {secret: [{"k": secret}]},
                        },
                        "metadata": {"x": {"y": secret}},
                    },
                ],
            },
        ],
    }
    Scrubber([secret]).notebook(nb)
    text = json.dumps(nb)
    assert "hunter" not in text
    assert text.count(MASK) == 12
    assert nb["cells"][1]["outputs"][2]["data"]["text/html"] == f"<b>{MASK}</b>"  # type: ignore[index]


def test_numbers_that_are_a_secret() -> None:
    scrubber = Scrubber(["20261123"])
    assert scrubber.value({"a": 20261123, "b": 202611230, "c": True}) == {
        "a": MASK,
        "b": 202611230,
        "c": True,
    }


def test_a_longer_secret_is_masked_before_one_that_it_begins_with() -> None:
    assert Scrubber(["word", "word-and-more"]).text("word-and-more word") == f"{MASK} {MASK}"


def test_short_secrets_are_refused_without_repeating_them_and_empty_ones_are_none() -> None:
    with pytest.raises(UsageError, match="shorter than 4") as refused:
        Scrubber(["xyz"])
    assert "xyz" not in str(refused.value)
    assert not Scrubber(["", *()]).finds("anything")


OTHERWISE: list[Callable[[str], str]] = [
    str.lower,
    str.upper,
    str.title,
    lambda s: quote(s, safe="").lower(),
    lambda s: quote(s.lower(), safe=""),
    lambda s: quote(s).replace("%20", "+"),
    lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    lambda s: "".join(f"%{byte:02x}" for byte in s.lower().encode()),
    lambda s: s[:2] + "".join(f"%{byte:02x}" for byte in s[2:].encode()),
    lambda s: s[:3] + "\x1b[0;31m" + s[3:].upper(),
]


@pytest.mark.parametrize("secret", [*SECRETS, "Bearer AbC/dEf+12=="])
@pytest.mark.parametrize("written", OTHERWISE)
def test_capitals_and_percent_encoding_hide_nothing(secret: str, written: Callable[[str], str]) -> None:
    assert Scrubber([secret]).text(f"<{written(secret)}>") == f"<{MASK}>"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_hides_no_long_secret(before: str, encode: Callable[[bytes], bytes]) -> None:
    secret = "sw0rdfish??>>~~of-the-test"
    scrubbed = Scrubber([secret]).text(encode(f"{before}{secret}!".encode()).decode())
    assert MASK in scrubbed
    # What is left of it decodes to less than a group at either end.
    assert len(scrubbed.replace(MASK, "")) <= len(before) * 2 + 12


def test_where_the_text_around_changes_its_length() -> None:
    assert Scrubber(["word-one"]).text("İ word-one İ WORD-ONE %C3%BC") == f"İ {MASK} İ {MASK} %C3%BC"


def test_a_picture_is_left_as_it_is() -> None:
    scrubber = Scrubber(["iVBORw0K"])
    assert scrubber.mime("image/png", "iVBORw0KGgo") == "iVBORw0KGgo"
    assert scrubber.mime("image/svg+xml", "<text>iVBORw0K</text>") == f"<text>{MASK}</text>"


def test_a_megabyte_is_masked_in_seconds() -> None:
    text = "The quick brown fox jumps over <td>12345</td> %20 \x1b[31mBTC\x1b[0m\n" * 10_000
    started = time.monotonic()
    Scrubber(SECRETS).text(text)
    assert time.monotonic() - started < 20
