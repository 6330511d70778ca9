"""Keeping known secrets out of what a run leaves.

Outputs are scrubbed while they are still structures, before they become JSON or HTML, so that a secret is
found however it is going to be escaped, and the files stay well-formed. What was already escaped when it was
printed (JSON inside a string, HTML inside MIME data, a Python repr, a URL) is looked for in those forms too: in
capitals or not, each character percent-encoded or not, and in base64 if the secret has 8 characters or more.

Not found: a secret drawn into a picture, split by the cell's own code, encoded otherwise (reversed, compressed),
or written by a cell into files of its own.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from balancebook.errors import UsageError

MASK = "[secret]"
MIN_LENGTH = 4
# Of a shorter one base64 leaves four or five characters, which ordinary words have too.
_MIN_LENGTH_BASE64 = 8
# Tracebacks colour source code token by token, in the middle of a secret.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# RFC 3986 section 2.1. What is decoded is UTF-8, as all that encode non-ASCII text so use.
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


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
        # In small letters, and so compared with text in small letters; base64 alone tells capitals apart.
        self._plain = _any_of(_small(form) for secret in known for form in _forms(secret))
        self._base64 = _any_of(form for secret in known for form in _base64_forms(secret))

    def finds(self, text: str) -> bool:
        """Whether the text holds a known secret in any form."""
        return next(self._spans(text), None) is not None

    def text(self, text: str) -> str:
        """The text with every known secret masked."""
        kept, at = [], 0
        for start, end in sorted(self._spans(text)):
            if start >= at:
                kept += [text[at:start], MASK]
            at = max(at, end)
        return "".join([*kept, text[at:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets stand in the text; some of it may be found more than once."""
        if self._plain is None:
            return
        yield from _found(self._plain, _Reading(text))
        if "\x1b" in text:
            yield from _found(self._plain, _Reading(text, _COLOUR))
        if "%" in text:
            yield from _found(self._plain, _Reading(text, _ENCODED))
        if self._base64 is not None:
            yield from (match.span() for match in self._base64.finditer(text))

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

    def mime(self, kind: str, value: Any) -> Any:
        """As `value`, for data of a MIME type; a picture is left as it is, for its bytes are nobody's text."""
        return value if kind.startswith("image/") and kind != "image/svg+xml" else self.value(value)

    def notebook(self, nb: Any) -> None:
        """Mask, in place, all that a notebook can carry: sources, outputs of every kind, metadata."""
        if self._plain is None:
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
                output[key][name] = self.mime(name, output[key][name])


class _Reading:
    """A text in small letters, without its colours or with its percent-encoding undone; and where each character of it
    stands in the original."""

    def __init__(self, text: str, replaced: re.Pattern[str] | None = None) -> None:
        self._parts: list[str] = []
        # Of each part: where it begins here and in the original, and how long it is there.
        self._starts: list[int] = []
        self._origins: list[tuple[int, int]] = []
        self._length = at = 0
        for match in replaced.finditer(text) if replaced else ():
            self._add(text[at : match.start()], at, match.start() - at)
            at = match.start()
            for character in _decoded(match[0]):
                width = 3 * len(character.encode("utf-8", "surrogateescape"))
                self._add(character, at, width)
                at += width
            at = match.end()
        self._add(text[at:], at, len(text) - at)
        self.text = "".join(self._parts)

    def _add(self, part: str, origin: int, width: int) -> None:
        if part:
            self._parts.append(_small(part))
            self._starts.append(self._length)
            self._origins.append((origin, width))
            self._length += len(part)

    def place(self, of: int) -> tuple[int, int]:
        """Where a character begins and ends in the original."""
        part = bisect_right(self._starts, of) - 1
        (origin, width), into = self._origins[part], of - self._starts[part]
        return (
            (origin, origin + width)
            if width != len(self._parts[part])
            else (origin + into, origin + into + 1)
        )


def _decoded(matched: str) -> str:
    """What a match stands for: nothing if it is a colour."""
    if not matched.startswith("%"):
        return ""
    return bytes.fromhex(matched.replace("%", "")).decode("utf-8", "surrogateescape")


def _small(text: str) -> str:
    """In small letters, character by character where one would become two."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def _found(pattern: re.Pattern[str], reading: _Reading) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(reading.text):
        yield reading.place(match.start())[0], reading.place(match.end() - 1)[1]


def _any_of(forms: Iterable[str]) -> re.Pattern[str] | None:
    # The longest first: a form may begin with another.
    ordered = sorted(set(forms), key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _base64_forms(secret: str) -> set[str]:
    """What of the base64 of any text that holds the secret is of it alone: by its place among the groups of 3 bytes."""
    if len(secret) < _MIN_LENGTH_BASE64:
        return set()
    forms = set()
    for before in range(3):
        text = bytes(before) + secret.encode("utf-8", "surrogatepass")
        # The group that it begins in, and that it ends in, hold bits of its neighbours.
        whole = base64.b64encode(text[: len(text) // 3 * 3]).decode()[4 if before else 0 :]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return forms


def _forms(secret: str) -> set[str]:
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    # A space is a plus sign in the query of a URL.
    escaped |= {secret, ascii(secret)[1:-1], secret.replace(" ", "+")}
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
