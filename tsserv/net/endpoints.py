"""Descriptions of places to listen on: what ``--listen`` takes, and what systemd passes."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any, NamedTuple

from twisted.python.systemd import ListenFDs

# Twisted has more kinds, and plugins add to them, but what is promised of listeners holds for these.
_KINDS = ("tcp", "tcp6", "unix", "systemd")

# What keeps an endpoint of --status from other machines, by its kind.
_LOOPBACK = {"tcp": ":interface=127.0.0.1", "tcp6": r":interface=\:\:1", "unix": ""}


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


def parse_place(text: str, *, absent: bool = False) -> Place:
    """
    Parse the value of ``--listen``, ``[proxy+][tls+]ENDPOINT``, and check the endpoint; nothing listens yet.

    :param absent: whether a socket of systemd's need not be there.
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
    if place.kind == "systemd":
        place = place._replace(endpoint=re.sub(":name=([^:]*)", _index_of_name, endpoint))
    made = _make(place.endpoint, absent)
    if place.kind != "systemd" or made is None:
        return place
    family = _family(made.fileno)
    if made.addressFamily != family:
        raise ValueError(f"its domain is {family.name.removeprefix('AF_')}")
    return place._replace(passed=made.fileno)


def _index_of_name(name: re.Match[str]) -> str:
    """Return a socket's index in place of its name, which Twisted before 22.10 does not know."""
    none = len(_SOCKETS.inheritedDescriptors())
    return f":index={_INDEX.get(name[1], none)}"


def parse_status(text: str) -> Place:
    """
    Parse the value of ``--status``: a port, or an endpoint; on loopback, if it gives no address.

    :raises ValueError: if it is none; says what is wrong.
    """
    endpoint = f"tcp:{text}" if text.isdecimal() else text
    kind = endpoint.partition(":")[0]
    if kind not in _LOOPBACK:
        raise ValueError(f"{text!r}: not a port, and not an endpoint of one of these kinds: tcp, tcp6, unix")
    if "interface=" not in endpoint:
        endpoint += _LOOPBACK[kind]
    try:
        return parse_place(endpoint)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _make(endpoint: str, absent: bool) -> Any:  # noqa: ANN401 (any endpoint)
    """
    Return the endpoint; ``None`` for a socket of systemd's that is not there, if it may be ``absent``.

    :raises ValueError: if Twisted cannot make it; says what is wrong.
    """
    from twisted.internet import reactor

    try:
        return server_endpoint(reactor, endpoint)
    except LookupError as error:  # in a list of systemd's, or a dictionary
        if absent:
            return None
        raise ValueError(
            f"systemd has not passed it; it has passed {', '.join(_INDEX) or 'nothing'}"
        ) from error
    except TypeError as error:  # about the parameters of a function, which mean nothing to a user
        reason = str(error).rpartition("() ")[2]
        if "multiple values" in reason or "were given" in reason:
            reason = r"has too many parts; a colon in a value is written \: as in tcp6:21567:interface=\:\:1"
        raise ValueError(f"not an endpoint: {reason}") from error
    except Exception as error:  # what else a parser raises depends on the kind
        raise ValueError(f"not an endpoint: {error}") from error


def server_endpoint(reactor: Any, description: str) -> Any:  # noqa: ANN401 (any reactor, any endpoint)
    """Return an endpoint of Twisted's, which finds the sockets that systemd has passed."""
    from twisted.internet.endpoints import _SystemdParser, serverFromString

    _SystemdParser._sddaemon = _SOCKETS
    return serverFromString(reactor, description)


def _passed() -> tuple[ListenFDs, dict[str, int]]:
    """
    Return the sockets that systemd has passed, and the index of each name (sd_listen_fds_with_names(3)).

    Names are optional, but newer versions of Twisted forget sockets without them, and older ones than 22.10
    know no names.  Twisted also takes the variables from the environment as soon as it is imported, so they
    are read where the system keeps them.
    """
    try:
        variables = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:  # not Linux, so no systemd
        variables = []
    environ = dict(variable.split("=", 1) for variable in variables if "=" in variable)
    count = environ.get("LISTEN_FDS", "")
    names = list(filter(None, environ.get("LISTEN_FDNAMES", "").split(":")))
    if count.isdecimal() and len(names) != int(count):
        names = ["unknown"] * int(count)
    sockets = ListenFDs.fromEnvironment({**environ, "LISTEN_FDNAMES": ":".join(names)})
    ours = len(sockets.inheritedDescriptors())  # none, if the variables are of another process
    return sockets, {name: index for index, name in enumerate(names[:ours])}


_SOCKETS, _INDEX = _passed()


def passed_by_systemd() -> list[Place]:
    """
    Return the places of the sockets that systemd has passed.

    :raises ValueError: if one is not a listening stream socket; says which.
    """
    return [
        parse_place(f"systemd:domain={_family(fd).name.removeprefix('AF_')}:index={index}")
        for index, fd in enumerate(_SOCKETS.inheritedDescriptors())
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
