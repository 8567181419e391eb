"""Descriptions of places to listen on: what ``--listen`` takes, and what systemd passes."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from twisted.internet.endpoints import serverFromString

# The file descriptor of the first socket that systemd passes (SD_LISTEN_FDS_START of sd_listen_fds(3)).
_FIRST_PASSED = 3


class Place(NamedTuple):
    """A place to listen on, and the layers of its connections."""

    #: Whether a PROXY header comes first.
    proxy: bool
    #: Whether the connections are encrypted.
    tls: bool
    #: The description of a server endpoint of Twisted's.
    endpoint: str

    @property
    def kind(self) -> str:
        """The kind of the endpoint: ``tcp``, ``tcp6``, ``unix``, ``systemd``, ..."""
        return self.endpoint.partition(":")[0]


def parse_place(text: str) -> Place:
    """
    Parse the value of ``--listen``, ``[proxy+][tls+]ENDPOINT``, and check the endpoint.

    :raises ValueError: if it is none; says what is wrong.
    """
    rest = text.removeprefix("proxy+")
    endpoint = rest.removeprefix("tls+")
    place = Place(proxy=rest != text, tls=endpoint != rest, endpoint=endpoint)
    _check(place)
    return place


def _check(place: Place) -> None:
    """
    Check that Twisted can make the endpoint; nothing listens yet.

    :raises ValueError: if it cannot, or if the endpoint would lose answers; says what is wrong.
    """
    from twisted.internet import reactor

    if place.kind in ("ssl", "tls", "haproxy"):
        prefix = "proxy+" if place.kind == "haproxy" else "tls+"
        raise ValueError(
            f"Twisted's {place.kind}: loses answers to clients that half-close; use {prefix}tcp:"
        )
    try:
        serverFromString(reactor, place.endpoint)
    except LookupError as error:  # in a list of systemd's, or a dictionary
        passed = ", ".join(_names_of_passed()) or "nothing"
        raise ValueError(f"systemd has not passed it; it has passed {passed}") from error
    except TypeError as error:  # about the parameters of a function, which mean nothing to a user
        raise ValueError(f"not an endpoint: {str(error).rpartition('() ')[2]}") from error
    except Exception as error:  # what else a parser raises depends on the kind, and on plugins
        raise ValueError(f"not an endpoint: {error}") from error


def _names_of_passed() -> list[str]:
    """Return the names of the sockets that systemd has passed (sd_listen_fds(3))."""
    names = os.environ.get("LISTEN_FDNAMES")
    # Twisted has taken LISTEN_PID and LISTEN_FDS away, unless the sockets were for another process.
    return names.split(":") if names and "LISTEN_PID" not in os.environ else []


def passed_by_systemd() -> list[Place]:
    """Return the places of the sockets that systemd has passed."""
    places = []
    for index in range(len(_names_of_passed())):
        with socket.socket(fileno=os.dup(_FIRST_PASSED + index)) as passed:
            family = passed.family.name.removeprefix("AF_")
        places.append(Place(proxy=False, tls=False, endpoint=f"systemd:domain={family}:index={index}"))
    return places
