"""TLS as a profile asks for it."""

from __future__ import annotations

import ssl

from balancebook.settings import Tls
from balancebook.store.errors import StoreError


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """A context that always verifies the chain, and the host name unless the profile says otherwise."""
    path = tls.ca
    try:
        context = ssl.create_default_context(cafile=str(tls.ca))
        context.check_hostname = tls.check_hostname
        if tls.cert:
            path = tls.cert
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise StoreError(
            "tls",
            f"The TLS file {path} cannot be used: {error.strerror or error}.",
            "Give PEM files: tls.ca, and tls.cert with tls.key if the server asks for them.",
        ) from error
    return context
