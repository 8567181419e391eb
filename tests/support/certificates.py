"""Certificates for tests, in files."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import trustme
from processes import Twistd


class Files:
    """A certificate of 127.0.0.1, in files."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.root = folder / "root.pem"
        self.ca.cert_pem.write_to_path(self.root)
        self.renew()

    def renew(self) -> int:
        """Write another certificate and its key; return its serial number."""
        issued = self.ca.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return int(ssl._ssl._test_decode_cert(str(self.certificate))["serialNumber"], 16)  # type: ignore[attr-defined]

    @property
    def options(self) -> list[str]:
        """The options of the service that name them."""
        return [
            "--listen=tls+tcp:0:interface=127.0.0.1",
            f"--certificate={self.certificate}",
            f"--private-key={self.key}",
        ]

    def context(self) -> ssl.SSLContext:
        """Return what a client trusts."""
        return ssl.create_default_context(cafile=str(self.root))


def tls_port(service: Twistd) -> int:
    """Return the port on which it listens with TLS."""
    return int(re.findall(r"listening on \S+:(\d+)\n", service.output)[-1])
