"""The certificate of TLS listeners, and its renewal while they serve."""

from __future__ import annotations

import ssl
from pathlib import Path

from twisted.logger import Logger

_log = Logger("tsserv")


def _no_password() -> str:
    """Refuse to give the password of a key: OpenSSL would ask for it on the terminal."""
    raise ValueError("the key is encrypted, and nobody is there to type its passphrase")


class Credentials:
    """
    What TLS listeners show to their clients, read from files again when it is renewed.

    :param certificate: name of a PEM file: the certificate, and those between it and the root.
    :param private_key: name of a PEM file, not encrypted.
    :param client_ca: name of a PEM file; clients must have a certificate that one of those in it has signed.
    :raises ValueError: if they cannot be used; says which, and why.
    """

    def __init__(self, certificate: str, private_key: str, client_ca: str | None = None) -> None:
        # By their absolute names, to be found again: twistd changes its folder.
        self._files = {
            option: str(Path(name).absolute())
            for option, name in (
                ("certificate", certificate),
                ("private-key", private_key),
                ("client-ca", client_ca),
            )
            if name is not None
        }
        #: For connections that come now.
        self.context = self._load()

    def reload(self) -> None:
        """Read the files again; if they cannot be used, log it and go on with what there was."""
        try:
            self.context = self._load()
        except ValueError as error:
            _log.error("TLS goes on with the old certificate: {error}", error=error)
        else:
            _log.info("TLS has read its certificate again: {path}", path=self._files["certificate"])

    def _load(self) -> ssl.SSLContext:
        for option, path in self._files.items():
            try:
                Path(path).read_bytes()  # OpenSSL does not say which file it cannot read
            except OSError as error:
                raise ValueError(f"--{option}: cannot read {path!r}: {error.strerror}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # with which a client could make it work for nothing
        certificate, private_key = self._files["certificate"], self._files["private-key"]
        try:
            context.load_cert_chain(certificate, private_key, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            why = str(error)
            if isinstance(error, ssl.SSLError):
                matching = error.reason != "KEY_VALUES_MISMATCH"
                why = "they are not a certificate and its key in PEM" if matching else "they do not match"
            raise ValueError(
                f"--certificate and --private-key: cannot use {certificate!r} with {private_key!r}: {why}"
            ) from error
        if "client-ca" in self._files:
            try:
                context.load_verify_locations(self._files["client-ca"])
            except ssl.SSLError as error:
                raise ValueError(f"--client-ca: no certificate in {self._files['client-ca']!r}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context
