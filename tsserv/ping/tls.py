"""TLS: what is checked, and when the server's certificate expires."""

from __future__ import annotations

import ssl
import time
from typing import NamedTuple


class TLS(NamedTuple):
    """What is known of a connection's TLS."""

    version: str
    #: How long the handshake took, in nanoseconds.
    handshake: int
    #: When the server's certificate expires, in seconds since 1970; ``None`` if that is not known.
    expires: int | None


def make_context(cafile: str | None, *, insecure: bool) -> ssl.SSLContext:
    """
    Return a context that trusts the CAs in a file, or those of the system, or everybody.

    :raises OSError: if the file cannot be read, or has no certificates in it.
    """
    context = ssl.create_default_context(cafile=cafile)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def expires(secure: ssl.SSLSocket) -> int | None:
    """Return when the certificate of the other side expires, in seconds since 1970, if that can be known."""
    if checked := secure.getpeercert():
        return int(ssl.cert_time_to_seconds(str(checked["notAfter"])))
    # The standard library reads only certificates that it has checked.
    try:
        from cryptography.x509 import load_der_x509_certificate

        certificate = load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except (ImportError, ValueError):
        return None
    return int(certificate.not_valid_after_utc.timestamp())


def expiry(expires: int | None, now: float) -> str:
    """
    Return when a certificate expires, in words.

    :param expires: in seconds since 1970; ``None`` if that is not known.
    :param now: the same.
    """
    if expires is None:
        return "when its certificate expires is unknown (to see it without a check, install cryptography)"
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires))
    if expires < now:
        return f"its certificate expired on {day}"
    return f"its certificate expires on {day}, in {(expires - now) / 86400:.0f} days"
