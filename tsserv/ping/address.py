"""A host and a port, as one value."""

from __future__ import annotations

from typing import NamedTuple


class HostPort(NamedTuple):
    """A TCP address: the host is a name or an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``HOST:PORT``, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
