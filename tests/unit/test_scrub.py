"""Known secrets do not survive in anything that a notebook carries, however they were escaped."""

from __future__ import annotations

import html
import json
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
