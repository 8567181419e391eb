"""Descriptions of places to listen on: what ``--listen`` takes, and what systemd passes."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, _SystemdParser, serverFromString
from twisted.python.systemd import ListenFDs

# Twisted has more kinds, and plugins add to them, but what is promised of listeners holds for these.
_KINDS = ("tcp", "tcp6", "unix", "systemd")


class Place(NamedTuple):
    """A place to listen on, and the layers of its connections."""

    #: Whether a PROXY header comes first.
    proxy: bool
    #: Whether the connections are encrypted.
    tls: bool
    #: The description of a server endpoint of Twisted's.
    endpoint: str
    #: The file descriptor of the socket, if systemd has passed it.
    passed: int | None = None

    @property
    def kind(self) -> str:
        """The kind of the endpoint: ``tcp``, ``tcp6``, ``unix`` or ``systemd``."""
        return self.endpoint.partition(":")[0]


def parse_place(text: str) -> Place:
    """
    Parse the value of ``--listen``, ``[proxy+][tls+]ENDPOINT``, and check the endpoint; nothing listens yet.

    :raises ValueError: if it is none; says what is wrong.
    """
    rest = text.removeprefix("proxy+")
    endpoint = rest.removeprefix("tls+")
    place = Place(proxy=rest != text, tls=endpoint != rest, endpoint=endpoint)
    if place.kind in ("ssl", "tls", "haproxy"):
        prefix = "proxy+" if place.kind == "haproxy" else "tls+"
        raise ValueError(
            f"Twisted's {place.kind}: loses answers to clients that half-close; use {prefix}tcp:"
        )
    if place.kind not in _KINDS:
        raise ValueError(f"not an endpoint of one of these kinds: {', '.join(_KINDS)}")
    made = _make(endpoint)
    if not isinstance(made, AdoptedStreamServerEndpoint):
        return place
    family = _family(made.fileno)
    if made.addressFamily != family:
        raise ValueError(f"its domain is {family.name.removeprefix('AF_')}")
    return place._replace(passed=made.fileno)


def _make(endpoint: str) -> object:
    """
    Return the endpoint.

    :raises ValueError: if Twisted cannot make it; says what is wrong.
    """
    from twisted.internet import reactor

    try:
        return serverFromString(reactor, endpoint)
    except LookupError as error:  # in a list of systemd's, or a dictionary
        passed = ", ".join(_SystemdParser._sddaemon.inheritedNamedDescriptors()) or "nothing"
        raise ValueError(f"systemd has not passed it; it has passed {passed}") from error
    except TypeError as error:  # about the parameters of a function, which mean nothing to a user
        reason = str(error).rpartition("() ")[2]
        if "multiple values" in reason or "were given" in reason:
            reason = r"has too many parts; a colon in a value is written \: as in tcp6:21567:interface=\:\:1"
        raise ValueError(f"not an endpoint: {reason}") from error
    except Exception as error:  # what else a parser raises depends on the kind
        raise ValueError(f"not an endpoint: {error}") from error


def _passed() -> ListenFDs:
    """
    Return the sockets that systemd has passed (sd_listen_fds(3)).

    Their names are optional, but Twisted forgets sockets without names.  It also takes the variables from
    the environment as soon as it is imported, so they are read where the system keeps them.
    """
    try:
        variables = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:  # not Linux, so no systemd
        variables = []
    environ = dict(variable.split("=", 1) for variable in variables if "=" in variable)
    count = environ.get("LISTEN_FDS", "")
    names = environ.get("LISTEN_FDNAMES")
    if count.isdecimal() and not (names and len(names.split(":")) == int(count)):
        environ["LISTEN_FDNAMES"] = ":".join(["unknown"] * int(count))  # as sd_listen_fds_with_names() says
    return ListenFDs.fromEnvironment(environ)


_SystemdParser._sddaemon = _passed()


def passed_by_systemd() -> list[Place]:
    """
    Return the places of the sockets that systemd has passed.

    :raises ValueError: if one is not a listening stream socket; says which.
    """
    return [
        parse_place(f"systemd:domain={_family(fd).name.removeprefix('AF_')}:index={index}")
        for index, fd in enumerate(_SystemdParser._sddaemon.inheritedDescriptors())
    ]


def _family(fd: int) -> socket.AddressFamily:
    """
    Return the address family of a socket that systemd has passed.

    :raises ValueError: if it is not a socket on which clients can be accepted.
    """
    try:
        with socket.socket(fileno=os.dup(fd)) as passed:
            if (
                passed.type == socket.SOCK_STREAM
                and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                and passed.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
            ):
                return passed.family
    except OSError:  # it is not open, or not a socket
        pass
    raise ValueError(f"systemd has passed file descriptor {fd}, which is not a listening stream socket")
