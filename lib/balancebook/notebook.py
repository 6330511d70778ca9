"""The few verbs that a notebook's cells call: open, check, show, figure, checklist, close.

    book = notebook.open(keyspace=keyspace, view=view)
    book.check("V001")
    book.close()

What a check found is shown in the cell and emitted as a MIME bundle, from which the runner takes the verdict.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

import pandas as pd
from IPython.display import display as ipython_display

from balancebook.bundle import CLOSE_MIME, MIME, close_bundle, to_bundle
from balancebook.cells import CellRun, this_cell, why_stale
from balancebook.checks import CHECKS, NotAsked
from balancebook.checks.context import Context
from balancebook.core.short_text import LONGEST_MESSAGE, shortened
from balancebook.errors import BalancebookError, NotThere, UsageError
from balancebook.settings import load_profile, retarget
from balancebook.tables import cell_text, table_html
from balancebook.verdict import MARKS, Result, Verdict, merge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
SHOWN_ROWS = 50
_DPI = 110


class VerdictNotPass(Exception):
    """Raised by `close` unless every verdict is pass, so that bare papermill exits non-zero too."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook for an error that is no accident: one line instead of a traceback.
        return [f"VerdictNotPass: {self}"]


def open(*, keyspace: str | None = None, view: str | None = None, gateway_url: str | None = None) -> Book:
    """A Book on the profile's target, or on the keyspace, view and gateway named instead.

    The profile comes from the environment (BALANCEBOOK_PROFILE, BALANCEBOOK_CONFIG, BALANCEBOOK_STATE). Nothing is
    read yet; a database that cannot be opened makes each check unknown. Raises SettingsError, UsageError for a secret
    that is too short to be kept out of what the verbs show.
    """
    profile = retarget(load_profile(), keyspace=keyspace, view=view, gateway_url=gateway_url)
    book = Book(Context(profile))
    if not profile.embedded:
        book.show_banner()
    return book


class Book:
    """One notebook's run: its context and the results so far, in the order of first asking.

    All that its verbs show has a bounded size, and no secret of the profile in it (a gateway may repeat what it was
    sent).

    A result that is of another state of the notebook (a parameter was changed since, or a cell before it ran again) is
    unknown in every conclusion: see cells.why_stale.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._scrubber = ctx.scrubber
        self._opened = this_cell()
        self._asked: dict[str, CellRun] = {}
        self.results: dict[str, Result] = {}
        self.not_asked: dict[str, str] = {}

    def show_banner(self) -> None:
        """Show which cluster is read: never the embedded one without a word."""
        profile = self.ctx.profile
        text = f"Target: {', '.join(profile.contact_points)} · keyspace {profile.keyspace} · profile {profile.name}"
        self._emit({"text/html": f"<p><strong>{html.escape(text)}</strong></p>", "text/plain": text})

    def check(self, code: str, **params: object) -> None:
        """Run a check, show what it found, and emit it; a check that is run again replaces its result.

        One whose question does not arise here is shown as skipped, and has no result: declare it optional.
        Raises KeyError for a code that no check has, TypeError for arguments that it does not take, AccountRefused (a
        UsageError) for an account that the ledger's column cannot hold.
        """
        try:
            result = CHECKS[code].run(self.ctx, **params)
        except NotAsked as reason:
            self.not_asked[code] = str(reason)
            self._emit(_line_bundle("— skipped", f"{code} {CHECKS[code].name}", str(reason)))
            return
        self.results[code] = result
        if asked := this_cell():
            self._asked[code] = asked
        compared, volatile = to_bundle(result)
        self._emit({MIME: compared, **_result_bundle(result)}, {MIME: volatile})

    def show(
        self,
        source: pd.DataFrame | Callable[[Context], pd.DataFrame],
        caption: str = "",
        *,
        limit: int = SHOWN_ROWS,
    ) -> None:
        """Show a table of at most `limit` rows, and say how many there are; exact numbers, no styling.

        `source` may be a function of the context that reads the table. If the read fails, that is said in its
        place: a table decides nothing, and the checks that read the same say unknown by themselves. So is what was
        named and is not there (an asset). A frame's attrs["note"] is said beside it. Raises UsageError, since a
        parameter that cannot be is no failed read.
        """
        frame = self._read(source, caption)
        if frame is not None:
            self._table(frame, caption, limit)

    def figure(self, source: Figure | Callable[[Context], Figure], caption: str) -> None:
        """Show a matplotlib figure as a static picture; the caption stands in where there are no pictures.

        `source` may be a function of the context that reads what is drawn: as for `show`.
        """
        figure = self._read(source, caption)
        if figure is not None:
            picture = BytesIO()
            figure.savefig(picture, format="png", dpi=_DPI)
            self._emit({"image/png": b64encode(picture.getvalue()).decode(), "text/plain": caption})

    def _read(self, source: T | Callable[[Context], T], caption: str) -> T | None:
        try:
            return source(self.ctx) if callable(source) else source
        except NotThere as error:
            self._say(caption, str(error))
        except UsageError:
            raise
        except NotAsked as reason:
            self._say(caption, f"skipped: {reason}.")
        except BalancebookError as error:
            self._say(caption, f"could not be read. {error}")
        return None

    def _say(self, caption: str, sentence: str) -> None:
        text = shortened(self._scrubber.text(f"{caption.rstrip('.')}: {sentence}"), LONGEST_MESSAGE)
        self._emit({"text/html": f"<p>{html.escape(text)}</p>", "text/plain": text})

    def advise(self, steps: Sequence[tuple[str, str]], otherwise: str) -> None:
        """Show what to do next: the text of the first step one of whose checks did not pass, else `otherwise`.

        `steps` are [("Q001 Q003", "what it means and what to do"), ...], the deepest cause first. A check that was not
        asked leads to none.
        """
        asked = ((self._codes_asked(codes), text) for codes, text in steps)
        found = (text for codes, text in asked if codes and self._verdict_of(codes) is not Verdict.PASS)
        text = next(found, otherwise)
        self._emit(
            {"text/html": f"<p><strong>Next:</strong> {html.escape(text)}</p>", "text/plain": f"Next: {text}"}
        )

    def checklist(self, items: Sequence[tuple[str, str]]) -> None:
        """Show claims beside the verdicts that decide them: [(claim, "V003 V005"), ...].

        A claim has the merged verdict of its checks; one that never ran is unknown, one that was not asked is left
        out.
        """
        asked = [(claim, self._codes_asked(codes)) for claim, codes in items]
        rows = [(claim, MARKS[self._verdict_of(codes)], " ".join(codes)) for claim, codes in asked if codes]
        self._table(pd.DataFrame(rows, columns=["claim", "verdict", "decided by"]), "", SHOWN_ROWS)

    def _codes_asked(self, codes: str) -> list[str]:
        return [code for code in codes.split() if code not in self.not_asked]

    def _verdict_of(self, codes: Iterable[str]) -> Verdict:
        results = self._of_now()
        return merge(results[code].verdict if code in results else Verdict.UNKNOWN for code in codes)

    def _of_now(self) -> dict[str, Result]:
        """The results; one that is of another state of the notebook is unknown, and says why."""
        stale = why_stale(self._opened, self._asked, this_cell())
        return {code: _unsaid(result, stale.get(code)) for code, result in self.results.items()}

    def _emit(self, bundle: Mapping[str, object], metadata: Mapping[str, object] | None = None) -> None:
        shown = {kind: self._scrubber.mime(kind, value) for kind, value in bundle.items()}
        ipython_display(shown, raw=True, metadata=self._scrubber.value(dict(metadata or {})))  # type: ignore[no-untyped-call]

    def _table(self, frame: pd.DataFrame, caption: str, limit: int) -> None:
        # Masked before anything is cut, perhaps in the middle of a secret.
        masked = frame.head(limit).astype(object).map(self._scrubber.value)
        shown = masked.map(cell_text)
        capped = f"(first {limit} of {len(frame)} rows)" if len(frame) > limit else ""
        note = shortened(self._scrubber.text(frame.attrs.get("note", "")), LONGEST_MESSAGE)
        note = " ".join(part for part in (caption, capped, note) if part)
        markup = (f"<p>{html.escape(note)}</p>" if note else "") + table_html(shown)
        text = (f"{note}\n" if note else "") + shown.to_string(index=False)
        self._emit({"text/html": markup, "text/plain": text})

    def close(self) -> None:
        """Show every verdict and the conclusion, emit it, end the sessions.

        A notebook that asks no check has no verdict, and this says so. Raises VerdictNotPass unless every verdict is
        pass, BalancebookError if checks were asked and none of their questions arose.
        """
        self.ctx.close()
        if not self.results and not self.not_asked:
            text = "No check was asked, so there is no verdict."
            self._emit({"text/html": f"<p>{text}</p>", "text/plain": text})
            return
        if not self.results:
            raise BalancebookError("Nothing was checked.", "Run the cells above first.")
        results = self._of_now()
        verdict = merge(result.verdict for result in results.values())
        self._table(_verdicts(results), "", SHOWN_ROWS)
        sentence = _conclusion(verdict, results, self.not_asked)
        text = f"{MARKS[verdict]}: {sentence}"
        markup = f"<p><strong>{html.escape(MARKS[verdict])}</strong>: {html.escape(sentence)}</p>"
        self._emit({CLOSE_MIME: close_bundle(verdict), "text/html": markup, "text/plain": text})
        if verdict is not Verdict.PASS:
            raise VerdictNotPass(f"{verdict}: {sentence}")


def _unsaid(result: Result, why: str | None) -> Result:
    if why is None:
        return result
    return replace(
        result, verdict=Verdict.UNKNOWN, message=f"Not of this notebook as it stands: {why}. Run all cells."
    )


def _verdicts(results: Mapping[str, Result]) -> pd.DataFrame:
    rows = [(r.code, r.name, MARKS[r.verdict], r.message) for r in results.values()]
    return pd.DataFrame(rows, columns=["check", "name", "verdict", "what was found"])


def _conclusion(verdict: Verdict, results: Mapping[str, Result], skipped: Iterable[str]) -> str:
    left_out = f" Skipped: {', '.join(skipped)}." if skipped else ""
    if verdict is Verdict.PASS:
        return f"all {len(results)} checks pass.{left_out}"
    named = [code for code, result in results.items() if result.verdict is verdict]
    said = "failed" if verdict is Verdict.FAIL else "could not be answered"
    return f"{len(named)} of {len(results)} checks {said}: {', '.join(named)}.{left_out}"


def _result_bundle(result: Result) -> dict[str, str]:
    bundle = _line_bundle(MARKS[result.verdict], f"{result.code} {result.name}", result.message)
    if result.samples:
        samples = _samples(result)
        bundle["text/html"] += table_html(samples)
        bundle["text/plain"] += f"\n{samples.to_string(index=False)}"
    return bundle


def _line_bundle(mark: str, name: str, message: str) -> dict[str, str]:
    markup = f"<p><strong>{mark}</strong> <code>{html.escape(name)}</code> {html.escape(message)}</p>"
    return {"text/html": markup, "text/plain": f"{mark}  {name}: {message}"}


def _samples(result: Result) -> pd.DataFrame:
    # Object columns keep every integer as it is: pandas would make floats of integers beside a None.
    return pd.DataFrame([dict(sample) for sample in result.samples], dtype=object).map(cell_text)
