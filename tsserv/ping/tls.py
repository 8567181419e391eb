"""TLS: the context of the client, and the expiry of the server's certificate."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import NamedTuple

from tsserv.ping.reason import reason


class BadFile(Exception):
    """A file for TLS cannot be used; the text says which, and why."""


class TLS(NamedTuple):
    """What is known of the TLS session of a connection."""

    version: str
    #: How long the handshake took, in nanoseconds.
    handshake: int
    #: When the server's certificate expires, in seconds since 1970; ``None`` if unknown.
    expires: int | None


def make_context(
    cafile: str | None, *, insecure: bool, certificate: str | None, private_key: str | None
) -> ssl.SSLContext:
    """
    Return a client context.

    :param cafile: a file with the CAs to trust; ``None`` for those of the system.
    :param insecure: whether to accept any certificate.
    :param certificate: a file with the client's certificate, if the server wants one, and its chain.
    :param private_key: the file with its key; that of the certificate if ``None``.
    :raises BadFile: if a file cannot be used, or if the file that the environment variable ``SSLKEYLOGFILE``
        names, to which Python writes keys, cannot be written.
    """
    if keys := os.environ.get("SSLKEYLOGFILE"):
        try:
            Path(keys).open("ab").close()
        except OSError as error:
            raise BadFile(f"SSLKEYLOGFILE: cannot write {keys!r}: {error.strerror}") from error
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise BadFile(f"--cafile: cannot read {cafile!r}: {reason(error)}") from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, private_key, _refuse_password)
        except (OSError, ValueError) as error:
            files = repr(certificate) if private_key is None else f"{certificate!r} with {private_key!r}"
            why = reason(error)
            if isinstance(error, ssl.SSLError):
                mismatch = error.reason == "KEY_VALUES_MISMATCH"
                why = "they do not match" if mismatch else "not a certificate and its key in PEM"
            raise BadFile(f"--certificate: cannot use {files}: {why}") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refuse_password() -> str:
    """Refuse to give the password of a key: OpenSSL would ask for it on the terminal."""
    raise ValueError("the key is encrypted")


def expires(secure: ssl.SSLSocket) -> int | None:
    """Return when the server's certificate expires, in seconds since 1970; ``None`` if it cannot be read."""
    try:
        if verified := secure.getpeercert():
            return int(ssl.cert_time_to_seconds(str(verified["notAfter"])))
        # The standard library parses only certificates that it has verified.
        from cryptography.x509 import load_der_x509_certificate

        certificate = load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        return int(certificate.not_valid_after_utc.timestamp())
    except Exception:  # a malformed certificate raises whatever its parser chooses
        return None


def expiry(expires: int | None, now: float) -> str:
    """
    Return when a certificate expires, in words.

    :param expires: in seconds since 1970; ``None`` if unknown.
    :param now: the current time, in seconds since 1970.
    """
    if expires is None:
        return "the expiry of its certificate is unknown (with --insecure, install cryptography to see it)"
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires))
    if expires < now:
        return f"its certificate expired on {day}"
    return f"its certificate expires on {day}, in {(expires - now) / 86400:.0f} days"
