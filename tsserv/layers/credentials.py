"""The certificate of TLS listeners, and its reload while they serve."""

from __future__ import annotations

import errno
import os
import ssl
import stat
from pathlib import Path

from twisted.logger import Logger

from tsserv.layers.expiry import expiry

_log = Logger("tsserv")

_KINDS_DIFFER = "the key is of another kind (RSA, EC, ...) than that of the certificate"

# OpenSSL's reasons, in plain words.
_REASONS = {
    "KEY_VALUES_MISMATCH": "they do not match",
    "KEY_TYPE_MISMATCH": _KINDS_DIFFER,
    "NO_CERTIFICATE_ASSIGNED": _KINDS_DIFFER,  # for a key of this kind
    "EE_KEY_TOO_SMALL": "the key is too short for the OpenSSL of this system; RSA takes 2048 bits",
    "NO_CERTIFICATE_OR_CRL_FOUND": "it holds no certificate in PEM",
}


def _refuse_password() -> str:
    """Refuse to give the password of a key: OpenSSL would ask for it on the terminal."""
    raise ValueError("the key is encrypted, and nobody is there to type its passphrase")


class Credentials:
    """
    The certificate of TLS listeners and what they ask of their clients, read from files.

    :param certificate: path of a PEM file: the certificate, and those between it and the root.
    :param private_key: path of a PEM file, not encrypted.
    :param client_ca: path of a PEM file; clients must have a certificate whose chain
        leads to one of those in it.
    :raises ValueError: if they cannot be used; says which, and why.
    """

    def __init__(self, certificate: str, private_key: str, client_ca: str | None = None) -> None:
        # By their absolute paths, so that they are found again: twistd changes its directory.
        self._files = {
            option: str(Path(name).absolute())
            for option, name in (
                ("certificate", certificate),
                ("private-key", private_key),
                ("client-ca", client_ca),
            )
            if name is not None
        }
        #: For new connections.
        self.context = self._load()
        self._handshakes_before = 0  # with earlier contexts

    def reload(self) -> None:
        """Read the files again; if they cannot be used, log it and go on with the old context."""
        handshakes = self.handshakes
        try:
            self.context = self._load()
        except ValueError as error:
            _log.error("TLS goes on with the old certificate: {error}", error=error)
        else:
            self._handshakes_before = handshakes
            _log.info("TLS has read its certificate again: {path!r}", path=self._files["certificate"])

    @property
    def handshakes(self) -> int:
        """How many clients have completed a handshake."""
        return self._handshakes_before + self.context.session_stats()["accept_good"]

    def _load(self) -> ssl.SSLContext:
        for option, path in self._files.items():
            try:
                _check_file(path)
            except OSError as error:
                raise ValueError(f"--{option}: cannot read {path!r}: {error.strerror}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # with which a client could make it work for nothing
        context.num_tickets = 1  # enough to resume a session; OpenSSL's two take 7 % more of a handshake
        certificate, private_key = self._files["certificate"], self._files["private-key"]
        try:
            context.load_cert_chain(certificate, private_key, password=_refuse_password)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--certificate and --private-key: cannot use {certificate!r} with {private_key!r}: "
                + (_reason(error) or "they are not a certificate and its key in PEM")
            ) from error
        if "client-ca" in self._files:
            path = self._files["client-ca"]
            try:
                context.load_verify_locations(path)
            except OSError as error:
                reason = _reason(error) or "it is damaged"
                raise ValueError(f"--client-ca: cannot use {path!r}: {reason}") from error
            context.verify_mode = ssl.CERT_REQUIRED
            # Every certificate in the file is trusted, an intermediate one without its root too.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        #: When the certificate expires, in seconds since 1970.
        self.expires = expiry(Path(certificate).read_bytes())
        return context


def _check_file(path: str) -> None:
    """
    Check that a file can be read, since OpenSSL does not say which one it cannot read.

    :raises OSError: if it cannot, or is a FIFO, a terminal, ...: these may never answer, and not twice.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)


def _reason(error: OSError | ValueError) -> str | None:
    """Return why OpenSSL did not take a file, in plain words, or ``None`` if it gives no reason."""
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason, error.reason)
    return error.strerror if isinstance(error, OSError) else str(error)
