"""Addresses that a profile or a parameter names: hosts, and the URL of a gateway. Parsed by httpx, then checked.

The parser alone takes too much: a port of 99999 wraps around to another one in the system call, an empty label is a
host that no resolver knows, and a password before the host would be written into every record.
"""

from __future__ import annotations

import ipaddress
import re

# RFC 1123 section 2.1 and RFC 1035 section 2.3.4; the underscore is no part of them, but container networks use it.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_HOST = 253
# A last label like this makes a name an IPv4 address to most resolvers (WHATWG URL, section 3.5).
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_SPACE_OR_INVISIBLE = re.compile(r"[\s\\]|[^\x21-\U0010ffff]")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def checked_host(host: str) -> str:
    """The host if it is an IP address (IPv6 without brackets) or a name whose ASCII form (IDNA) a resolver can take.

    Raises ValueError, the end of a sentence, for anything else.
    """
    if ":" in host:
        _require_ip(host, ipaddress.IPv6Address)
        return host
    labels = _ascii(host).removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(".".join(labels)) > _LONGEST_HOST:
        raise ValueError("is not a host name")
    if _NUMBER.fullmatch(labels[-1]):
        _require_ip(host, ipaddress.IPv4Address)
    return host


def _require_ip(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> None:
    try:
        kind(host)
    except ValueError as error:
        raise ValueError(f"is not an {kind.__name__.removesuffix('Address')} address") from error


def _ascii(host: str) -> str:
    if host.isascii() and "xn--" not in host.lower():
        return host
    # httpx takes 80 ms to import, which a profile of plain names need not wait for.
    import httpx  # noqa: PLC0415

    try:
        url = httpx.URL(scheme="http", host=host)
        # Decoded too: "xn--a" is the ASCII form of nothing.
        return url.raw_host.decode() if url.host else ""
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError("is not a host name (IDNA)") from error


def checked_url(url: str) -> str:
    """The URL if it is http or https, a host and perhaps a port, and nothing else.

    Raises ValueError, a sentence about "it" that repeats nothing of the URL: what was refused may hold a password.
    """
    import httpx  # noqa: PLC0415 (see _ascii)

    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ValueError("it must begin with http:// or https://")
    authority, *path = re.split("([/?#])", rest, maxsplit=1)
    if "@" in authority:
        raise ValueError(
            "it holds a user name or password, which every record would show; give the gateway a header instead"
        )
    if _SPACE_OR_INVISIBLE.search(url):
        raise ValueError("it holds a space, a backslash or an invisible character")
    if path:
        raise ValueError("it must end after host and port; paths are keys of their own in the profile")
    _check_authority(authority)
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError("it is not a URL") from error
    return url


def _check_authority(authority: str) -> None:
    """Host and port as they were written: the parser mends what must be refused."""
    if authority.startswith("["):
        name, bracket, end = authority[1:].partition("]")
        if not bracket or ":" not in name or "%" in name or end[:1] not in ("", ":"):
            raise ValueError("its host is not an IPv6 address in brackets")
        port = end[1:] if end else None
    else:
        name, colon, end = authority.partition(":")
        port = end if colon else None
    try:
        checked_host(name)
    except ValueError as error:
        raise ValueError(f"its host {error}") from error
    if port is not None and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
        raise ValueError("its port is not a number from 1 to 65535")
