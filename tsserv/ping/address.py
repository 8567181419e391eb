"""Where a service listens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class HostPort(NamedTuple):
    """A TCP address: the host is a name or an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``HOST:PORT``, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixPath(NamedTuple):
    """The path of a UNIX socket; the one of a client is empty."""

    path: str

    def __str__(self) -> str:
        """Return ``unix:PATH``."""
        return f"unix:{self.path}"


#: The address of a service, or of one end of a connection.
Endpoint = HostPort | UnixPath


def endpoint(name: tuple[Any, ...] | str) -> Endpoint:
    """
    Return one end of a connection.

    :param name: as :mod:`socket` has it: a path, or a tuple that begins with the host and the port.
    """
    return UnixPath(name) if isinstance(name, str) else HostPort(*name[:2])


def targets(words: Sequence[str], default_port: int) -> list[Endpoint]:
    """
    Return what the words of a command line, or of a line of a file, name.

    A target is ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``, a bare IPv6 address, ``unix:PATH``, or the two words
    ``HOST PORT``.  No word of digits is a host.

    :param default_port: of hosts without one.
    :raises ValueError: if a word is none of these; the text says which.
    """
    found: list[Endpoint] = []
    host = None  # the last word, if it was a host without a port
    for word in words:
        if re.fullmatch("[0-9]+", word):
            if host is None:
                raise ValueError(f"{word!r} is a port, and has no host before it")
            found[-1] = HostPort(host, _port(word))
            host = None
            continue
        target = _target(word)
        host = target if isinstance(target, str) else None
        found.append(HostPort(target, default_port) if isinstance(target, str) else target)
    return found


def _target(word: str) -> Endpoint | str:
    """Return what one word names: a string is a host without a port."""
    if match := re.fullmatch("unix:(.+)", word, re.DOTALL):
        return UnixPath(match[1])
    if match := re.fullmatch(r"([^:\[\]]+)|\[([^\[\]]+)\]|([^\[\]]*:[^\[\]]*:[^\[\]]*)", word):
        return match[1] or match[2] or match[3]
    if match := re.fullmatch(r"(?:([^:\[\]]+)|\[([^\[\]]+)\]):([^:]*)", word):
        return HostPort(match[1] or match[2], _port(match[3]))
    raise ValueError(f"{word!r} is not HOST, HOST:PORT, IPV6, [IPV6]:PORT or unix:PATH")


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= 65535:
        return int(text)
    raise ValueError(f"{text!r} is not a port: those are 1 to 65535")
