"""Below CQL: the profile's secrets, a TCP connection to every contact point, TLS with the certificate verified."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from balancebook.doctor.report import Row, not_read
from balancebook.settings import Profile, SettingsError, Tls
from balancebook.store.errors import StoreError, translate
from balancebook.store.tls import ssl_context
from balancebook.verdict import Verdict

_DAY_S = 86_400
_SOON_DAYS = 14


def look_at_profile(profile: Profile, source: str) -> Row:
    """What the profile says, and whether its secrets can be read; `source` is where it was read from."""
    login = f"login as {profile.username}" if profile.username else "no login"
    text = (
        f"{profile.name} ({source}): {', '.join(profile.contact_points)} port {profile.port}, data centre"
        f" {profile.local_dc}, {profile.keyspace}.{profile.view}, {'TLS' if profile.tls else 'no TLS'}, {login}"
    )
    try:
        profile.secrets()
    except SettingsError as error:
        return Row("profile", Verdict.UNKNOWN, f"{text}. {error.message}", error.remedy)
    return Row("profile", Verdict.PASS, text)


def look_at_points(profile: Profile) -> Iterator[Row]:
    """One row a contact point, in their order; all are tried at once, each within the connect timeout."""
    with ThreadPoolExecutor(max_workers=min(32, len(profile.contact_points))) as pool:
        yield from pool.map(lambda point: _look_at_point(profile, point), profile.contact_points)


def _look_at_point(profile: Profile, point: str) -> Row:
    subject = f"contact point {point}"
    limit = profile.limits.connect_timeout_s
    started = time.monotonic()
    try:
        with socket.create_connection((point, profile.port), timeout=limit) as plain:
            took = f"port {profile.port} accepts connections ({1000 * (time.monotonic() - started):.0f} ms)"
            if profile.tls is None:
                return Row(subject, Verdict.PASS, took)
            return _look_at_tls(subject, profile.tls, point, plain)
    except (OSError, StoreError) as error:
        return not_read(subject, translate(error, what=f"connecting to port {profile.port}"))


def _look_at_tls(subject: str, tls: Tls, point: str, plain: socket.socket) -> Row:
    name = tls.server_hostname or point
    with ssl_context(tls).wrap_socket(plain, server_hostname=name) as channel:
        certificate = channel.getpeercert() or {}
    return judge_certificate(subject, ssl.cert_time_to_seconds(str(certificate["notAfter"])), time.time())


def judge_certificate(subject: str, ends: float, now: float) -> Row:
    """Pass for a verified certificate, with its last day, and a remedy in time before it."""
    days = int((ends - now) // _DAY_S)
    remedy = "Have the certificate renewed before then." if days <= _SOON_DAYS else ""
    until = time.strftime("%Y-%m-%d", time.gmtime(ends))
    text = f"TLS, certificate verified, it expires on {until} (in {days} days)"
    return Row(subject, Verdict.PASS, text, remedy)
