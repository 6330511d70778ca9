"""Keeping known secrets out of what a run leaves.

Outputs are scrubbed while they are still structures, before they become JSON or HTML, so that a secret is
found however it is going to be escaped, and the files stay well-formed. What was already escaped when it was
printed (JSON inside a string, HTML inside MIME data, a Python repr, a URL) is looked for in those forms too.

Not found: a secret drawn into a picture, split by the cell's own code, encoded otherwise (base64, reversed),
or written by a cell into files of its own.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from balancebook.errors import UsageError

MASK = "[secret]"
MIN_LENGTH = 4
# Tracebacks colour source code token by token, in the middle of a secret.
_COLOUR = r"(?:\x1b\[[0-9;]*m)*"


class Scrubber:
    """Replaces every known secret by `[secret]`.

    Raises UsageError for a secret shorter than 4 characters: masking it would mask ordinary words and numbers
    everywhere and destroy the evidence, and not masking it would leak it. An empty one is no secret.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        known = {secret for secret in secrets if secret}
        if any(len(secret) < MIN_LENGTH for secret in known):
            raise UsageError(
                f"A secret of the profile is shorter than {MIN_LENGTH} characters and could not be kept out of "
                "the records.",
                "Use a longer one.",
                parameter="profile",
            )
        self._numbers = known
        forms = {form for secret in known for form in _forms(secret)}
        # The longest first: a form may begin with another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        pattern = "|".join(_COLOUR.join(re.escape(character) for character in form) for form in ordered)
        self._pattern = re.compile(pattern) if pattern else None

    def finds(self, text: str) -> bool:
        """Whether the text holds a known secret in any form."""
        return bool(self._pattern and self._pattern.search(text))

    def text(self, text: str) -> str:
        """The text with every known secret masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A JSON-like value with every known secret masked: in strings, keys, and numbers that are a secret."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return type(value)({self.text(key): self.value(item) for key, item in value.items()})
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if str(value) in self._numbers else value
        return value

    def notebook(self, nb: Any) -> None:
        """Mask, in place, all that a notebook can carry: sources, outputs of every kind, metadata."""
        if self._pattern is None:
            return
        nb["metadata"] = self.value(nb["metadata"])
        for cell in nb["cells"]:
            # The structure of the format (cell_type, output_type, MIME names) is not text of anybody's.
            for key in ("source", "metadata", "attachments"):
                if key in cell:
                    cell[key] = self.value(cell[key])
            for output in cell.get("outputs", ()):
                self._output(output)

    def _output(self, output: Any) -> None:
        for key in ("text", "ename", "evalue", "traceback"):
            if key in output:
                output[key] = self.value(output[key])
        for key in ("data", "metadata"):
            for name in output.get(key, ()):
                output[key][name] = self.value(output[key][name])


def _forms(secret: str) -> set[str]:
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    escaped |= {secret, ascii(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)}
    escaped |= {form.replace('"', '\\"') for form in escaped} | {form.replace("'", "\\'") for form in escaped}
    marked_up = {form for text in escaped for form in _html_forms(text)}
    return escaped | marked_up | {json.dumps(form)[1:-1] for form in marked_up | escaped}


def _html_forms(text: str) -> set[str]:
    # &#x27; by html.escape, &#39; and &#34; by Jinja and others, bare quotes in text nodes.
    full = html.escape(text)
    return {
        html.escape(text, quote=False),
        full,
        full.replace("&#x27;", "&#39;"),
        full.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        full.replace("&quot;", '"'),
        full.replace("&#x27;", "'"),
    }
