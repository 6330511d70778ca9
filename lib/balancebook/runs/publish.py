"""Pages for people: one for each run, and an index of them. Self-contained, without scripts, in light and dark.

What cells printed is not trusted: HTML passes an allow list, and the page's own policy forbids scripts and any
request to the network even if something got through.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bleach  # type: ignore[import-untyped]
import jinja2
from markupsafe import Markup

from balancebook.core.files import require_writable_file, unwritable
from balancebook.record import Record, RecordError, load_record, write_whole
from balancebook.runs.folders import list_runs
from balancebook.runs.lazy import import_html_exporter, import_nbformat
from balancebook.verdict import Verdict

INDEX_NAME = "index.html"
_TEMPLATES = Path(__file__).parent / "templates"
_TAGS = {
    *bleach.ALLOWED_TAGS,
    *("div", "span", "pre", "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "sub", "sup", "s", "kbd"),
    *(
        "table",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "caption",
        "img",
        "details",
        "summary",
        "dl",
        "dt",
        "dd",
    ),
}
# pandas puts a style sheet before each table; a sanitizer would show its text.
_STYLE = re.compile(r"<(style|script)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_SHOWN_MIME = ["text/html", "image/png", "image/jpeg", "text/markdown", "text/plain"]


def notebook_text(nb: Any) -> str:
    """The notebook as it is stored: format 4 JSON."""
    nbformat = import_nbformat()
    return str(nbformat.writes(nbformat.from_dict(nb))) + "\n"


def render_run(record: Record, nb: Any | None) -> str:
    """The page of one run: its verdict and why, the checks, then the notebook as executed (None: there is none)."""
    cells = Markup(_render_cells(nb)) if nb else ""  # noqa: S704 (every part of it has passed the allow list)
    return _environment().get_template("run.html.j2").render(record=record, why=why(record), cells=cells)


def why(record: Record) -> str:
    """One line: what broke, else what the worst check says."""
    if record.error:
        return f"{record.error.message} {record.error.remedy}".strip()
    if record.verdict is None:
        return "It has no checks, so there is no verdict."
    worst = [result for result in record.results if result.verdict == record.verdict]
    if record.verdict is Verdict.PASS:
        return "The one check passes." if len(worst) == 1 else f"All {len(worst)} checks pass."
    more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
    return (
        f"{worst[0].code} {worst[0].name}: {worst[0].message}{more}"
        if worst
        else "No check has this verdict."
    )


def write_index(out_root: Path) -> Path:
    """Write index.html over all runs in a folder, newest first; returns its path.

    Raises UsageError, before anything is read, if there is no such folder, or nothing can be written there; BrokenRun
    if the disk is full.
    """
    path = out_root / INDEX_NAME
    message, remedy = f"No index can be written in {out_root}", "Name the folder of the runs with --out."
    require_writable_file(path, "out", message=message, remedy=remedy)
    rows = [_row(folder) for folder in list_runs(out_root)]
    try:
        write_whole(path, _environment().get_template("index.html.j2").render(rows=rows))
    except OSError as error:
        raise unwritable(message, error, remedy, parameter="out") from error
    return path


def _row(folder: Path) -> dict[str, Any]:
    try:
        record = load_record(folder)
    except RecordError as error:
        return {"folder": folder.name, "record": None, "why": error.message}
    return {"folder": folder.name, "record": record, "why": why(record)}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # noqa: S704 (our own file)
    return environment


def _render_cells(nb: Any) -> str:
    exporter: Any = import_html_exporter()(
        template_name="basic",
        sanitize_html=True,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config={"NbConvertBase": {"display_data_priority": _SHOWN_MIME}},
    )
    # The exporter's own allow list has no headings, paragraphs, th or thead: it would show their tags as text.
    exporter.register_filter("clean_html", _clean)
    shown = import_nbformat().from_dict(nb)
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _can_be_shown(output)]
    page, _ = exporter.from_notebook_node(shown)
    return str(page)


def _can_be_shown(output: Any) -> bool:
    # The exporter warns of any other on stderr.
    return "data" not in output or any(mime in output.data for mime in _SHOWN_MIME)


def _clean(element: Any) -> str:
    text = element.decode() if isinstance(element, bytes) else str(element)
    return str(bleach.clean(_STYLE.sub("", text), tags=_TAGS, attributes=_is_allowed))


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if tag == "img" and name == "src":
        return value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
    if tag == "a" and name == "href":
        return urlsplit(value).scheme in ("http", "https", "mailto") or value.startswith("#")
    return name in ("class", "alt", "title", "colspan", "rowspan") or (tag == "abbr" and name == "title")
