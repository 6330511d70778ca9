"""Client of the balance gateway: asks, bounds, and hands over only what is an answer of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from balancebook import strict_json
from balancebook.core.redact import MIN_LENGTH, Scrubber
from balancebook.errors import BalancebookError
from balancebook.gateway.answers import AnswerReader, GatewayAnswer, GatewayHealth, Probe
from balancebook.gateway.errors import GatewayError, quoted
from balancebook.settings import GatewaySettings
from balancebook.store.cql.values import text_of

if TYPE_CHECKING:
    from balancebook.bounded_http import Answer, BoundedHttp

# Said of who asks, not of what was asked (RFC 9110 section 15.5, RFC 6585 section 4).
_DENIED = frozenset({401, 403, 407, 429})


class GatewayClient:
    """Thread-safe; reuses connections. Each call ends within the settings' timeout_s and max_bytes.

    Raises SettingsError, at the first call, if the value of a header cannot be read or sent.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._reader = AnswerReader(settings.fields)
        self._place = settings.url

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        http = self.__dict__.pop("_http", None)
        if http:
            http.close()

    def balance(self, account: object) -> GatewayAnswer:
        """The balances of an account, exact. Raises GatewayError for anything but a right answer, UsageError for an
        account that cannot be asked for."""
        asked = text_of(account)
        with self._named():
            answer = self._get(self._settings.target(asked))
            if answer.status == self._settings.unknown_account_status:
                # Not by a page of whatever stands before the gateway.
                _document(self._masked(answer))
                return GatewayAnswer(asked, ())
            if answer.status != 200:
                raise GatewayError("http_status", f"answered HTTP {answer.status}{self._said(answer)}.")
            return self._read(answer, asked)

    def health(self) -> GatewayHealth:
        """What the gateway says of itself, healthy or not. Raises GatewayError if it says nothing that counts, and
        BalancebookError if the profile has no health_path."""
        path = self._settings.health_path
        if path is None:
            raise BalancebookError(
                "The profile's gateway has no health_path.", "Name it, if the gateway has one."
            )
        with self._named():
            answer = self._get(path)
            if answer.status not in (200, 503):
                raise GatewayError(
                    "http_status", f"answered {path} with HTTP {answer.status}{self._said(answer)}."
                )
            return self._reader.health(_document(self._masked(answer)), answer.status)

    def probe(self, account: str | None) -> Probe:
        """How the question for what is no account is answered, a redirect too; None leaves the account out.

        Raises GatewayError only if no whole answer came, or one that says nothing of the question.
        """
        settings = self._settings
        target = settings.target_without_account() if account is None else settings.target(account)
        with self._named():
            answer = self._fetch(target)
            self._refuse_denied(answer)
        try:
            document = _document(answer)
        except GatewayError:
            document = None
        return self._reader.probe(document, answer.status)

    @cached_property
    def _http(self) -> BoundedHttp:
        # Imported at the first question: httpx takes 50-80 ms that a run without a gateway need not spend.
        from balancebook.bounded_http import BoundedHttp  # noqa: PLC0415

        settings = self._settings
        return BoundedHttp(settings.url, settings.timeout_s, settings.max_bytes, settings.revealed_headers())

    @cached_property
    def _scrubber(self) -> Scrubber:
        # One that is too short to be told from ordinary words is refused where a run begins.
        return Scrubber([secret for secret in self._settings.secrets() if len(secret) >= MIN_LENGTH])

    def _fetch(self, target: str) -> Answer:
        from balancebook.bounded_http import HttpError  # noqa: PLC0415 (see _http)

        try:
            return self._http.get(target)
        except HttpError as error:
            raise GatewayError(error.kind, f"gave no usable answer: {error.detail}.") from error

    def _get(self, target: str) -> Answer:
        answer = self._fetch(target)
        self._refuse_denied(answer)
        if 300 <= answer.status < 400:
            raise GatewayError("redirect", f"answered HTTP {answer.status}, a redirect; none is followed.")
        return answer

    def _refuse_denied(self, answer: Answer) -> None:
        if answer.status in _DENIED:
            raise GatewayError("denied", f"denies an answer: HTTP {answer.status}{self._said(answer)}.")

    def _said(self, answer: Answer) -> str:
        """The gateway's own words on its error, if it gave any."""
        try:
            return f" ({self._reader.message(_document(self._masked(answer)))})"
        except GatewayError:
            return ""

    def _read(self, answer: Answer, account: object) -> GatewayAnswer:
        try:
            return self._reader.balances(_document(answer), account)
        except GatewayError as error:
            if self._masked(answer) == answer:
                raise
            # An error quotes what was sent, cut perhaps in the middle of a secret.
            raise GatewayError(
                error.kind, "sent a wrong answer, not shown since it repeats a header of the profile."
            ) from None

    def _masked(self, answer: Answer) -> Answer:
        """The answer without the values of the headers: a gateway may repeat what it was sent."""
        body = answer.body.decode("utf-8", "surrogateescape")
        return replace(answer, body=self._scrubber.text(body).encode("utf-8", "surrogateescape"))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Puts the gateway's address before the message of an error."""
        try:
            yield
        except GatewayError as error:
            raise GatewayError(error.kind, f"The gateway at {self._place} {error.message}") from error


def _document(answer: Answer) -> Any:
    """The JSON of an answer, whatever its HTTP status."""
    if answer.content_encoding not in ("", "identity"):
        raise GatewayError("not_json", f"sent {quoted(answer.content_encoding)} encoded data, unasked.")
    media_type = answer.content_type.partition(";")[0].strip()
    if media_type != "application/json":
        raise GatewayError("not_json", f"sent {quoted(media_type)}, not application/json.")
    try:
        return strict_json.parse(answer.body)
    except strict_json.StrictJsonError as error:
        raise GatewayError(error.kind, f"sent an answer that {error.detail}.") from error
