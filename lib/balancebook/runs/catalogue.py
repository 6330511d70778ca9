"""The notebooks and runbooks that can be run: found by name or path, described without executing anything.

Files are read as plain JSON: importing nbformat to list them would take longer than all the rest.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import balancebook
from balancebook.errors import UsageError
from balancebook.runs.schema import read_schema
from balancebook.runs.values import Choices, Parameter, Range

Kind = Literal["notebook", "runbook"]
FOLDERS: dict[Kind, str] = {"notebook": "notebooks", "runbook": "runbooks"}
_CODE = re.compile(r"[A-Z][0-9]{3}")


@dataclass(frozen=True)
class Entry:
    """One notebook or runbook. `required` and `optional` are the codes of the checks that it declares."""

    name: str
    kind: Kind
    path: Path
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    sha256: str
    document: Mapping[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """What `balancebook list --json` says of it: all but the document."""
        return {
            "name": self.name,
            "kind": self.kind,
            "path": os.fspath(self.path),
            "title": self.title,
            "description": self.description,
            "parameters": [_parameter(parameter) for parameter in self.parameters],
            "required": list(self.required),
            "optional": list(self.optional),
            "sha256": self.sha256,
        }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """`range` is [low, high], null for an open end; `choices` a list of texts; null where there is none."""
    limits = parameter.limits
    return {
        "name": parameter.name,
        "type": parameter.type_text,
        "default": parameter.default,
        "help": parameter.help,
        "range": [limits.low, limits.high] if isinstance(limits, Range) else None,
        "choices": list(limits.values) if isinstance(limits, Choices) else None,
    }


def describe(entries: Sequence[Entry]) -> str:
    """The entries as lines for a terminal: name, title, checks, then one line a parameter."""
    return "\n\n".join(_described(entry) for entry in entries) or "There are no notebooks."


def _described(entry: Entry) -> str:
    lines = [f"{entry.name} ({entry.kind}): {entry.title}"]
    lines += [f"  requires {' '.join(entry.required)}"] if entry.required else []
    lines += [f"  optional {' '.join(entry.optional)}"] if entry.optional else []
    width = max((len(_signature(parameter)) for parameter in entry.parameters), default=0)
    for parameter in entry.parameters:
        limits = f" {parameter.limits}" if parameter.limits else ""
        lines.append(f"  -p {_signature(parameter):{width}}  {parameter.help}{limits}".rstrip())
    return "\n".join(lines)


def _signature(parameter: Parameter) -> str:
    default = json.dumps(parameter.default, ensure_ascii=False) if parameter.default is not None else "none"
    return f"{parameter.name}: {parameter.type_text} = {default}"


def list_entries() -> list[Entry]:
    """Everything that is shipped, notebooks first, each by name. Raises UsageError for a malformed one."""
    return [read_entry(path, kind) for kind in FOLDERS for path in _shipped(kind)]


def find_entry(name_or_path: str) -> Entry:
    """The entry of that name, or in that file. Raises UsageError, with a likely name, if there is none."""
    if name_or_path.endswith(".ipynb") or os.sep in name_or_path or "/" in name_or_path:
        return read_entry(Path(name_or_path), _kind_of(Path(name_or_path)))
    known = {path.stem: (path, kind) for kind in FOLDERS for path in _shipped(kind)}
    if name_or_path in known:
        return read_entry(*known[name_or_path])
    suggestion = next(iter(difflib.get_close_matches(name_or_path, known, n=1)), None)
    remedy = f"Did you mean {suggestion}?" if suggestion else f"Known: {', '.join(known) or 'none'}."
    raise UsageError(
        f"There is no notebook or runbook {name_or_path!r}.", remedy, parameter="name", suggestion=suggestion
    )


def shipped_folder() -> Path:
    """The folder that holds notebooks/ and runbooks/: in a wheel inside the package, in a checkout beside lib/."""
    package = Path(balancebook.__file__).parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parents[1]


def _shipped(kind: Kind) -> list[Path]:
    return sorted(
        path for path in (shipped_folder() / FOLDERS[kind]).glob("*.ipynb") if not path.name.startswith(".")
    )


def _kind_of(path: Path) -> Kind:
    return "runbook" if path.absolute().parent.name == FOLDERS["runbook"] else "notebook"


def read_entry(path: Path, kind: Kind) -> Entry:
    """What a notebook file says of itself. Raises UsageError, naming the file, if it is no usable notebook."""
    content = _read(path)
    document = _parse(content, path)
    required, optional = _declared(document["metadata"], path)
    title, description = _headline(document["cells"])
    return Entry(
        name=path.stem,
        kind=kind,
        path=path,
        title=title or path.stem,
        description=description,
        parameters=read_schema(document, path.stem),
        required=required,
        optional=optional,
        sha256=hashlib.sha256(content).hexdigest(),
        document=document,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The notebook {path} cannot be read: {error.strerror}.",
            "`balancebook list` shows what there is.",
            parameter="name",
        ) from error


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"it is no JSON ({error})") from error
    if not isinstance(document, dict) or document.get("nbformat") != 4:
        raise _unusable(path, "it is no notebook of format 4")
    cells, metadata = document.get("cells"), document.get("metadata")
    if not isinstance(cells, list) or not isinstance(metadata, dict) or not all(map(_is_cell, cells)):
        raise _unusable(path, "its cells or metadata are malformed")
    return document


def _is_cell(cell: Any) -> bool:
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("source"), str | list)
        and isinstance(cell.get("metadata"), dict)
    )


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} cannot be run: {why}.", "Open and save it in JupyterLab to see.", parameter="name"
    )


def _declared(metadata: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    own = metadata.get("balancebook", {})
    checks = own.get("checks", {}) if isinstance(own, dict) else None
    if not isinstance(checks, dict):
        checks = {"required": None}
    required, optional = checks.get("required", []), checks.get("optional", [])
    if not _are_codes(required) or not _are_codes(optional):
        raise _unusable(path, "metadata.balancebook.checks must be {required: [codes], optional: [codes]}")
    if len({*required, *optional}) < len(required) + len(optional):
        raise _unusable(path, "metadata.balancebook.checks names a check twice")
    return tuple(required), tuple(optional)


def _are_codes(codes: Any) -> bool:
    return isinstance(codes, list) and all(isinstance(c, str) and _CODE.fullmatch(c) for c in codes)


def _headline(cells: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(the first heading, the first paragraph below it) of the first markdown cell."""
    text = next(("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), "")
    heading, _, body = text.strip().partition("\n")
    if not heading.startswith("#"):
        heading, body = "", text
    paragraph = body.strip().split("\n\n", maxsplit=1)[0]
    return heading.lstrip("# ").strip(), " ".join(paragraph.split())
