"""What ``--listen`` takes, and what systemd passes: descriptions of places to listen on."""

from __future__ import annotations

import os
import socket

from twisted.internet.endpoints import serverFromString

# The descriptor of the first socket that systemd passes (SD_LISTEN_FDS_START of sd_listen_fds(3)).
_FIRST_PASSED = 3


def parse_description(text: str) -> tuple[bool, bool, str]:
    """
    Split what ``--listen`` takes, ``[proxy+][tls+]ENDPOINT``, and check the endpoint.

    :return: whether a PROXY header comes first, whether TLS comes then, and the endpoint.
    :raises ValueError: if it is none; says what is wrong.
    """
    rest = text.removeprefix("proxy+")
    endpoint = rest.removeprefix("tls+")
    check_endpoint(endpoint)
    return rest != text, endpoint != rest, endpoint


def check_endpoint(description: str) -> None:
    """
    Find out whether Twisted can make an endpoint of ``description``; nothing listens yet.

    :raises ValueError: if not, or if it would lose answers; says what is wrong.
    """
    from twisted.internet import reactor

    kind = description.partition(":")[0]
    if kind in ("ssl", "tls", "haproxy"):
        prefix = "proxy+" if kind == "haproxy" else "tls+"
        raise ValueError(f"Twisted's {kind}: loses answers to clients that half-close; use {prefix}tcp:")
    try:
        serverFromString(reactor, description)
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


def passed_by_systemd() -> list[str]:
    """Return the description of an endpoint for each socket that systemd has passed."""
    descriptions = []
    for index in range(len(_names_of_passed())):
        with socket.socket(fileno=os.dup(_FIRST_PASSED + index)) as passed:
            family = passed.family.name.removeprefix("AF_")
        descriptions.append(f"systemd:domain={family}:index={index}")
    return descriptions
